"""Hides the groups that the settings name from discovery."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Description, Problem
from wit_world.exports.transformer import Outcome_Hide, Outcome_Keep

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["hide"],
    "properties": {
        "hide": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Groups that discovery does not list",
        }
    },
}


def parse(text):
    """The one setting; what is wrong with it is raised as problems."""
    try:
        hide = json.loads(text).get("hide")
    except ValueError as error:
        raise Err([Problem("", str(error))])
    if not isinstance(hide, list) or not all(isinstance(name, str) for name in hide):
        raise Err([Problem("/hide", "needs a list of groups, each a text")])
    return hide


class Lifecycle(exports.Lifecycle):
    def describe(self):
        return Description("example-plugin", "0.1.0", "hides groups from discovery", json.dumps(SCHEMA), [])

    def validate(self, settings):
        parse(settings)


class Transformer(exports.Transformer):
    def transform(self, context, group):
        # The host has had these settings validated before the first call.
        hide = parse(context.settings)
        name = json.loads(group)["metadata"]["name"]
        if name in hide:
            return Outcome_Hide(f"the settings of the plugin hide {name}")
        # To change the group: Outcome_Replace with the changed document as JSON.
        return Outcome_Keep()

    def order(self, context, groups):
        return None
