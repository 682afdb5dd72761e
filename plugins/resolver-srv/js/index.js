// Finds the endpoints of a service by DNS SRV records.
import { addresses, services } from "umbel:host/dns@0.1.1";
import schema from "./schema.js";

// Annotation on the ExternalName that names the SRV record and wins over the settings.
const NAME_ANNOTATION = "resolver-srv.umbel.dev/name";
// Lookups that the host grants to one call; one is spent on the records themselves.
const ADDRESS_LOOKUPS = 15;
const U32_MAX = 0xffffffff;
const DEFAULTS = { name: "_https._tcp.{host}", freshSecondsMax: 300, staleSeconds: 600, lookupAddresses: true };

export const lifecycle = {
  describe: () => ({
    name: "resolver-srv",
    version: "0.1.0",
    summary: "finds endpoints by DNS SRV records",
    settingsSchema: schema,
    extra: [],
  }),
  validate(text) {
    try {
      parse(text);
    } catch (error) {
      throw [{ path: "", message: error.message }];
    }
  },
};

export const resolver = {
  resolve(context, target) {
    const settings = parse(context.settings);
    const name = recordName(settings, target);
    let records = ask(services, name).filter((record) => record.target !== "" && record.target !== ".");
    if (records.length === 0) {
      throw { tag: "unavailable", val: `SRV ${name}: the service is decidedly not available (target ".")` };
    }
    records = records.sort((a, b) => a.priority - b.priority || b.weight - a.weight);
    return endpoints(settings, records);
  },
};

function endpoints(settings, records) {
  const found = [];
  let absent;
  let freshMs = Math.min(settings.freshSecondsMax * 1000, U32_MAX);
  records.forEach((record, index) => {
    freshMs = Math.min(freshMs, record.ttlMs);
    const add = (host) =>
      found.push({
        host, port: record.port, priority: record.priority, weight: share(record, records), serverName: undefined, extra: [],
      });
    if (!settings.lookupAddresses || index >= ADDRESS_LOOKUPS) return add(record.target);
    try {
      for (const address of ask(addresses, record.target, "any")) {
        freshMs = Math.min(freshMs, address.ttlMs);
        add(address.ip);
      }
    } catch (fault) {
      // One target without an address must not take the others with it. Half an answer would replace a whole one
      // that the host still has.
      if (fault.tag !== "not-found") throw fault;
      absent = fault;
    }
  });
  if (found.length === 0 && absent) throw absent;
  const staleMs = Math.min(settings.staleSeconds * 1000, U32_MAX);
  return { endpoints: found, freshMs, staleMs, extra: [] };
}

// RFC 2782 gives a weight of 0 a very small chance beside others; to the host 0 means none at all.
function share(record, records) {
  const weighted = records.some((other) => other.priority === record.priority && other.weight > 0);
  return weighted ? Math.max(record.weight, 1) : 1;
}

function recordName(settings, target) {
  const annotation = target.annotations.find(([key]) => key === NAME_ANNOTATION);
  if (annotation) return annotation[1];
  const host = target.externalName;
  if ((host === undefined || host === null) && settings.name.includes("{host}")) throw { tag: "not-mine" };
  const words = { host, namespace: target.namespace, name: target.name };
  return settings.name.replace(/\{(host|namespace|name)\}/g, (_, word) => words[word]);
}

// Calls a host function; its fault becomes that of the resolver.
function ask(lookup, name, ...rest) {
  try {
    return lookup(name, ...rest);
  } catch (error) {
    const { tag, val } = error.payload ?? error;
    switch (tag) {
      case "no-such-name": throw { tag: "not-found", val: `${name}: no such name` };
      case "no-data": throw { tag: "not-found", val: `${name}: no records` };
      case "denied": throw { tag: "other", val: `${name}: ${val}` };
      case "timed-out": throw { tag: "unavailable", val: `${name}: timed out` };
      case "failed": throw { tag: "unavailable", val: `${name}: ${val}` };
      default: throw error;
    }
  }
}

function parse(text) {
  const given = JSON.parse(text);
  for (const [key, value] of Object.entries(given)) {
    if (!(key in DEFAULTS)) throw new Error(`unknown field ${key}`);
    if (typeof value !== typeof DEFAULTS[key]) throw new Error(`${key}: invalid type: ${typeof value}, expected ${typeof DEFAULTS[key]}`);
  }
  const settings = { ...DEFAULTS, ...given };
  if (settings.name === "") throw new Error("name is empty; leave it out or write a name such as _https._tcp.{host}");
  for (const [, word, end] of settings.name.matchAll(/\{([^}]*)(\}?)/g)) {
    if (!end) throw new Error("name has a { without }");
    if (!["host", "name", "namespace"].includes(word)) {
      throw new Error(`name has {${word}}; {host}, {name} and {namespace} are known`);
    }
  }
  for (const [key, least] of [["freshSecondsMax", 1], ["staleSeconds", 0]]) {
    if (!Number.isInteger(settings[key]) || settings[key] < least || settings[key] > U32_MAX) {
      throw new Error(`${key} must be at least ${least}`);
    }
  }
  return settings;
}
