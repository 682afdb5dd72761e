// A backend is available when one of its endpoints answers a path with a status below 400.

import probe from "umbel:host/probe@0.1.1";
import { parse } from "./settings.js";

const schema = {
  type: "object",
  additionalProperties: false,
  required: ["path"],
  properties: { path: { type: "string", pattern: "^/", description: "What every endpoint is asked for" } },
};

function checkSettings({ path }) {
  if (typeof path === "string" && path.startsWith("/")) return [];
  return [{ path: "/path", message: "must begin with /, for example /readyz" }];
}

/** @type {import("umbel:lifecycle/lifecycle@0.1.0").Lifecycle} */
export const lifecycle = {
  describe: () => ({
    name: "example-plugin",
    version: "0.1.0",
    summary: "needs one endpoint that answers a path",
    settingsSchema: JSON.stringify(schema),
    extra: [],
  }),
  validate(settings) {
    parse(settings, checkSettings);
  },
};

/** @type {import("umbel:health/checker@0.1.0").Checker} */
export const checker = {
  check(context, subject) {
    // The host has had these settings validated before the first call.
    const { path } = parse(context.settings, checkSettings);
    const findings = [];
    for (let endpoint = 0; endpoint < subject.endpoints.length; endpoint += 1) {
      const message = ask(endpoint, path);
      if (message === null) return verdict("up", "Ready", `${path} answers`, []);
      findings.push({ endpoint, state: "down", message });
    }
    return verdict("down", "NotReady", "no endpoint answers well", findings);
  },
};

// Why an endpoint does not answer well; null when it does.
function ask(endpoint, path) {
  try {
    const request = { endpoint, method: "GET", path, headers: [], timeoutMs: 1_000, bodyMax: 0, extra: [] };
    const { status } = probe.send(request);
    return status < 400 ? null : `${path} answered ${status}`;
  } catch (fault) {
    // A fault of the host comes as a variant, in an error or as it is.
    const { tag, val } = fault.payload ?? fault;
    return tag === "budget" ? "too many endpoints for one call" : String(val);
  }
}

function verdict(state, reason, message, findings) {
  // `memory` comes back as `context.memory` with the next call: a checker that counts keeps its count there.
  return { state, reason, message, findings, nextMs: null, memory: new Uint8Array(), extra: [] };
}
