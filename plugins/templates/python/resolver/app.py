"""Finds the endpoints of a service by the addresses of <name>.<namespace>.<zone>."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Description, Problem
from wit_world.exports.resolver import (
    Endpoint,
    Fault_NotFound,
    Fault_Other,
    Fault_Unavailable,
    Resolution,
)
from wit_world.imports import dns

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["zone"],
    "properties": {
        "zone": {"type": "string", "minLength": 1, "description": "DNS zone below which services have names"}
    },
}


def parse(text):
    """The one setting; what is wrong with it is raised as problems."""
    try:
        zone = json.loads(text).get("zone")
    except ValueError as error:
        raise Err([Problem("", str(error))])
    if not isinstance(zone, str) or not zone:
        raise Err([Problem("/zone", "needs a DNS zone such as svc.example.com")])
    return zone


class Lifecycle(exports.Lifecycle):
    def describe(self):
        summary = "finds endpoints by the addresses of a name in a DNS zone"
        return Description("example-plugin", "0.1.0", summary, json.dumps(SCHEMA), [])

    def validate(self, settings):
        parse(settings)


class Resolver(exports.Resolver):
    def resolve(self, context, target):
        # The host has had these settings validated before the first call.
        name = f"{target.name}.{target.namespace}.{parse(context.settings)}"
        try:
            addresses = dns.addresses(name, dns.Family.ANY)
        except Err as error:
            raise Err(translate(name, error.value))
        endpoints = [Endpoint(address.ip, target.port, 0, 1, None, []) for address in addresses]
        fresh_ms = min(address.ttl_ms for address in addresses)
        return Resolution(endpoints, fresh_ms, 600_000, [])


def translate(name, fault):
    if isinstance(fault, (dns.Fault_NoSuchName, dns.Fault_NoData)):
        return Fault_NotFound(f"{name} has no address")
    if isinstance(fault, dns.Fault_TimedOut):
        return Fault_Unavailable(f"{name}: no answer in time")
    if isinstance(fault, dns.Fault_Failed):
        return Fault_Unavailable(f"{name}: {fault.value}")
    # Denied: the text says what to add to the manifest.
    return Fault_Other(fault.value)
