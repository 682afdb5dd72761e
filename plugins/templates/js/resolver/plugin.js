// Finds the endpoints of a service by the addresses of <name>.<namespace>.<zone>.

import dns from "umbel:host/dns@0.1.1";
import { parse } from "./settings.js";

const schema = {
  type: "object",
  additionalProperties: false,
  required: ["zone"],
  properties: { zone: { type: "string", minLength: 1, description: "DNS zone below which services have names" } },
};

function check({ zone }) {
  if (typeof zone === "string" && zone !== "") return [];
  return [{ path: "/zone", message: "needs a DNS zone such as svc.example.com" }];
}

/** @type {import("umbel:lifecycle/lifecycle@0.1.0").Lifecycle} */
export const lifecycle = {
  describe: () => ({
    name: "example-plugin",
    version: "0.1.0",
    summary: "finds endpoints by the addresses of a name in a DNS zone",
    settingsSchema: JSON.stringify(schema),
    extra: [],
  }),
  validate(settings) {
    parse(settings, check);
  },
};

/** @type {import("umbel:resolver/resolver@0.1.0").Resolver} */
export const resolver = {
  // What is thrown is the fault.
  resolve(context, target) {
    // The host has had these settings validated before the first call.
    const { zone } = parse(context.settings, check);
    const name = `${target.name}.${target.namespace}.${zone}`;
    const addresses = lookUp(name);
    return {
      endpoints: addresses.map(({ ip }) => ({
        host: ip,
        port: target.port,
        priority: 0,
        weight: 1,
        serverName: null,
        extra: [],
      })),
      freshMs: Math.min(...addresses.map(({ ttlMs }) => ttlMs)),
      staleMs: 600_000,
      extra: [],
    };
  },
};

function lookUp(name) {
  try {
    return dns.addresses(name, "any");
  } catch (fault) {
    // A fault of the host comes as a variant, in an error or as it is.
    const { tag, val } = fault.payload ?? fault;
    switch (tag) {
      case "no-such-name":
      case "no-data":
        throw { tag: "not-found", val: `${name} has no address` };
      case "timed-out":
        throw { tag: "unavailable", val: `${name}: no answer in time` };
      case "failed":
        throw { tag: "unavailable", val: `${name}: ${val}` };
      default:
        // Denied: the text says what to add to the manifest.
        throw { tag: "other", val: String(val) };
    }
  }
}
