"""Finds the endpoints of a service by DNS SRV records."""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import lifecycle, resolver
from wit_world.imports import dns

import schema

# Annotation on the ExternalName that names the SRV record and wins over the settings.
NAME_ANNOTATION = "resolver-srv.umbel.dev/name"
# Lookups that the host grants to one call; one is spent on the records themselves.
ADDRESS_LOOKUPS = 15
U32_MAX = 0xFFFFFFFF
DEFAULTS = {"name": "_https._tcp.{host}", "freshSecondsMax": 300, "staleSeconds": 600, "lookupAddresses": True}


class Lifecycle(exports.Lifecycle):
    def describe(self):
        summary = "finds endpoints by DNS SRV records"
        return lifecycle.Description("resolver-srv", "0.1.0", summary, schema.TEXT, [])

    def validate(self, settings):
        try:
            parse(settings)
        except ValueError as error:
            raise Err([lifecycle.Problem("", str(error))])


class Resolver(exports.Resolver):
    def resolve(self, context, target):
        try:
            settings = parse(context.settings)
        except ValueError as error:
            raise Err(resolver.Fault_Other(str(error)))
        name = record_name(settings, target)
        records = [record for record in ask(name, dns.services, name) if record.target not in ("", ".")]
        if not records:
            text = f'SRV {name}: the service is decidedly not available (target ".")'
            raise Err(resolver.Fault_Unavailable(text))
        records.sort(key=lambda record: (record.priority, -record.weight))
        return endpoints(settings, records)


def endpoints(settings, records):
    found, absent = [], None
    fresh_ms = min(settings["freshSecondsMax"] * 1000, U32_MAX)
    for index, record in enumerate(records):
        fresh_ms = min(fresh_ms, record.ttl_ms)
        hosts = [record.target]
        if settings["lookupAddresses"] and index < ADDRESS_LOOKUPS:
            try:
                addresses = ask(record.target, dns.addresses, record.target, dns.Family.ANY)
            except Err as fault:
                # One target without an address must not take the others with it. Half an answer would replace a
                # whole one that the host still has.
                if not isinstance(fault.value, resolver.Fault_NotFound):
                    raise
                absent = fault
                continue
            hosts = [address.ip for address in addresses]
            fresh_ms = min([fresh_ms] + [address.ttl_ms for address in addresses])
        weight = share(record, records)
        found += [resolver.Endpoint(host, record.port, record.priority, weight, None, []) for host in hosts]
    if not found and absent:
        raise absent
    return resolver.Resolution(found, fresh_ms, min(settings["staleSeconds"] * 1000, U32_MAX), [])


def share(record, records):
    """RFC 2782 gives a weight of 0 a very small chance beside others; to the host 0 means none at all."""
    weighted = any(other.priority == record.priority and other.weight > 0 for other in records)
    return max(record.weight, 1) if weighted else 1


def record_name(settings, target):
    for key, value in target.annotations:
        if key == NAME_ANNOTATION:
            return value
    host = target.external_name
    if host is None and "{host}" in settings["name"]:
        raise Err(resolver.Fault_NotMine())
    words = {"{host}": host, "{namespace}": target.namespace, "{name}": target.name}
    return re.sub(r"\{\w+\}", lambda word: words[word[0]], settings["name"])


def ask(name, lookup, *arguments):
    """Calls a host function; its fault becomes that of the resolver."""
    try:
        return lookup(*arguments)
    except Err as error:
        match error.value:
            case dns.Fault_NoSuchName():
                raise Err(resolver.Fault_NotFound(f"{name}: no such name"))
            case dns.Fault_NoData():
                raise Err(resolver.Fault_NotFound(f"{name}: no records"))
            case dns.Fault_Denied(text):
                raise Err(resolver.Fault_Other(f"{name}: {text}"))
            case dns.Fault_TimedOut():
                raise Err(resolver.Fault_Unavailable(f"{name}: timed out"))
            case dns.Fault_Failed(text):
                raise Err(resolver.Fault_Unavailable(f"{name}: {text}"))
        raise


def parse(text):
    given = json.loads(text)
    for key, value in given.items():
        if key not in DEFAULTS:
            raise ValueError(f"unknown field {key}")
        if type(value) is not type(DEFAULTS[key]):
            wanted = type(DEFAULTS[key]).__name__
            raise ValueError(f"{key}: invalid type: {type(value).__name__}, expected {wanted}")
    settings = DEFAULTS | given
    if not settings["name"]:
        raise ValueError("name is empty; leave it out or write a name such as _https._tcp.{host}")
    for word, end in re.findall(r"\{([^}]*)(\}?)", settings["name"]):
        if not end:
            raise ValueError("name has a { without }")
        if word not in ("host", "name", "namespace"):
            raise ValueError(f"name has {{{word}}}; {{host}}, {{name}} and {{namespace}} are known")
    for key, least in (("freshSecondsMax", 1), ("staleSeconds", 0)):
        if not least <= settings[key] <= U32_MAX:
            raise ValueError(f"{key} must be at least {least}")
    return settings
