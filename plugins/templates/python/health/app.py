"""A backend is available when one of its endpoints answers a path with a status below 400."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.checker import Finding, State, Verdict
from wit_world.exports.lifecycle import Description, Problem
from wit_world.imports import probe

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path"],
    "properties": {
        "path": {"type": "string", "pattern": "^/", "description": "What every endpoint is asked for"}
    },
}


def parse(text):
    """The one setting; what is wrong with it is raised as problems."""
    try:
        path = json.loads(text).get("path")
    except ValueError as error:
        raise Err([Problem("", str(error))])
    if not isinstance(path, str) or not path.startswith("/"):
        raise Err([Problem("/path", "must begin with /, for example /readyz")])
    return path


class Lifecycle(exports.Lifecycle):
    def describe(self):
        summary = "needs one endpoint that answers a path"
        return Description("example-plugin", "0.1.0", summary, json.dumps(SCHEMA), [])

    def validate(self, settings):
        parse(settings)


class Checker(exports.Checker):
    def check(self, context, subject):
        # The host has had these settings validated before the first call.
        path = parse(context.settings)
        findings = []
        for endpoint in range(len(subject.endpoints)):
            message = ask(endpoint, path)
            if message is None:
                return verdict(State.UP, "Ready", f"{path} answers", [])
            findings.append(Finding(endpoint, State.DOWN, message))
        return verdict(State.DOWN, "NotReady", "no endpoint answers well", findings)


def ask(endpoint, path):
    """Why an endpoint does not answer well; None when it does."""
    try:
        answer = probe.send(probe.Request(endpoint, "GET", path, [], 1_000, 0, []))
    except Err as error:
        return getattr(error.value, "value", "too many endpoints for one call")
    return None if answer.status < 400 else f"{path} answered {answer.status}"


def verdict(state, reason, message, findings):
    # `memory` comes back as `context.memory` with the next call: a checker that counts keeps its count there.
    return Verdict(state, reason, message, findings, None, b"", [])
