"""Hides and reorders groups by rule."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import lifecycle, transformer

import schema

DEFAULTS = {"hide": [], "show": [], "hideVersions": [], "first": [], "last": []}


class Lifecycle(exports.Lifecycle):
    def describe(self):
        summary = "hides and reorders groups by rule"
        return lifecycle.Description("discovery-filter", "0.1.0", summary, schema.TEXT, [])

    def validate(self, settings):
        try:
            parse(settings)
        except ValueError as error:
            raise Err([lifecycle.Problem("", str(error))])


class Transformer(exports.Transformer):
    def transform(self, context, group):
        try:
            return transform(parse(context.settings), json.loads(group))
        except ValueError as error:
            raise Err(str(error))

    def order(self, context, groups):
        try:
            rules = parse(context.settings)
        except ValueError as error:
            raise Err(str(error))
        first, last = rules["first"], rules["last"]
        if not first and not last:
            return None

        def rank(name):
            at = place(first, name)
            return at - len(first) if at >= 0 else place(last, name) + 1

        # Stable: groups of the same place keep their order.
        return sorted((group.name for group in groups), key=rank)


def transform(rules, group):
    name = group.get("metadata", {}).get("name", "")
    at = place(rules["hide"], name)
    if at >= 0 and place(rules["show"], name) < 0:
        return transformer.Outcome_Hide(f"the rule {json.dumps(rules['hide'][at])} hides it")
    hidden = [version for rule in rules["hideVersions"] if matches(rule["group"], name) for version in rule["versions"]]
    if not hidden:
        return transformer.Outcome_Keep()
    if not isinstance(group.get("versions"), list):
        raise ValueError("the group has no versions")
    versions = [version for version in group["versions"] if place(hidden, version.get("version", "")) < 0]
    if len(versions) == len(group["versions"]):
        return transformer.Outcome_Keep()
    if not versions:
        return transformer.Outcome_Hide("every version of it is hidden")
    return transformer.Outcome_Replace(json.dumps(group | {"versions": versions}))


def place(patterns, text):
    """The index of the first pattern that fits, or -1."""
    return next((index for index, pattern in enumerate(patterns) if matches(pattern, text)), -1)


def matches(pattern, text):
    """Whether the whole text fits a pattern in which * stands for any text, the empty one included."""
    head, *parts = pattern.split("*")
    if not parts:
        return pattern == text
    if not text.startswith(head):
        return False
    text = text[len(head) :]
    for part in parts[:-1]:
        _, found, text = text.partition(part) if part else ("", True, text)
        if not found:
            return False
    return text.endswith(parts[-1])


def parse(text):
    rules = DEFAULTS | json.loads(text)
    for key, value in rules.items():
        if key not in DEFAULTS:
            raise ValueError(f"unknown field {key}")
        if not isinstance(value, list):
            raise ValueError(f"{key}: invalid type: {type(value).__name__}, expected a list")
    patterns = rules["hide"] + rules["show"] + rules["first"] + rules["last"]
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError("invalid type: a list holds what is no text")
    if "" in patterns:
        raise ValueError("a list holds an empty text; write a group or a pattern such as *.example.com")
    if not all(isinstance(rule, dict) and set(rule) == {"group", "versions"} for rule in rules["hideVersions"]):
        raise ValueError("each of hideVersions needs group and versions")
    return rules
