"""Needs several failures in a row before False and several successes before True."""

import json
import struct

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import checker, lifecycle
from wit_world.imports import probe

import schema

U32_MAX = 0xFFFFFFFF
DEFAULTS = {
    "path": "/readyz",
    "method": "GET",
    "status": [200, 299],
    "failures": 3,
    "successes": 1,
    "timeoutMs": 1000,
    "retryMs": 1000,
    "need": "one",
}


class Lifecycle(exports.Lifecycle):
    def describe(self):
        summary = "needs several failures in a row before False and several successes before True"
        return lifecycle.Description("health-threshold", "0.1.0", summary, schema.TEXT, [])

    def validate(self, settings):
        try:
            parse(settings)
        except ValueError as error:
            raise Err([lifecycle.Problem("", str(error))])


class Checker(exports.Checker):
    def check(self, context, subject):
        try:
            settings = parse(context.settings)
        except ValueError as error:
            raise Err(checker.Fault_Inconclusive(str(error)))
        success, findings = observe(settings, subject.endpoints)
        failures, successes = count(context.memory, success)
        available = context.was in (checker.State.UP, checker.State.DEGRADED)
        state, next_ms = context.was, None
        if success and (available or successes >= settings["successes"]):
            state, reason, message = checker.State.UP, "Passed", "all checks passed"
        elif success:
            reason, next_ms = "AwaitingSuccesses", settings["retryMs"]
            message = f"{successes} of {settings['successes']} successes in a row"
        elif failures >= settings["failures"] or context.was == checker.State.DOWN:
            state, reason, message = checker.State.DOWN, "FailedHealthCheck", f"{failures} failures in a row"
        else:
            reason, next_ms = "AwaitingFailures", settings["retryMs"]
            message = f"{failures} of {settings['failures']} failures in a row"
            state = checker.State.DEGRADED if available else context.was
        memory = struct.pack("<II", failures, successes)
        return checker.Verdict(state, reason, message, findings, next_ms, memory, [])


def count(memory, success):
    """Each call runs in a fresh instance, so the count travels with the verdict."""
    failures, successes = struct.unpack("<II", memory) if len(memory) == 8 else (0, 0)
    return (0, min(successes + 1, U32_MAX)) if success else (min(failures + 1, U32_MAX), 0)


def observe(settings, endpoints):
    """Asks every endpoint as far as the settings need it, and says what each bad one did."""
    findings = []
    for index in range(len(endpoints)):
        message = ask(settings, index)
        if message is None and settings["need"] == "one":
            # What another endpoint did does not belong to the message of a success.
            return True, []
        if message is not None:
            findings.append(checker.Finding(index, checker.State.DOWN, message))
            if settings["need"] == "all":
                break
    return settings["need"] == "all" and bool(endpoints) and not findings, findings


def ask(settings, endpoint):
    method, path = settings["method"], settings["path"]
    request = probe.Request(endpoint, method, path, [], settings["timeoutMs"], 0, [])
    try:
        status = probe.send(request).status
    except Err as error:
        return getattr(error.value, "value", "too many endpoints for one check")
    first, last = settings["status"]
    return None if first <= status <= last else f"{method} {path} answered {status}"


def parse(text):
    given = json.loads(text)
    for key, value in given.items():
        if key not in DEFAULTS:
            raise ValueError(f"unknown field {key}")
        if type(value) is not type(DEFAULTS[key]):
            wanted = type(DEFAULTS[key]).__name__
            raise ValueError(f"{key}: invalid type: {type(value).__name__}, expected {wanted}")
    settings = DEFAULTS | given
    path, status = settings["path"], settings["status"]
    numbers = [settings[key] for key in ("failures", "successes", "timeoutMs", "retryMs")]
    if not path.startswith("/") or any(letter.isspace() for letter in path):
        raise ValueError("path must start with / and hold no spaces")
    if settings["method"] not in ("GET", "HEAD"):
        raise ValueError("method must be GET or HEAD")
    if not all(1 <= number <= U32_MAX for number in numbers):
        raise ValueError("failures, successes, timeoutMs and retryMs must be at least 1")
    if len(status) != 2 or not all(type(bound) is int for bound in status) or status[0] > status[1]:
        raise ValueError("status must be [first, last], such as [200, 299]")
    if settings["need"] not in ("one", "all"):
        raise ValueError(f"need is {settings['need']}; one and all are known")
    return settings
