// Needs several failures in a row before False and several successes before True.
import { send } from "umbel:host/probe@0.1.1";
import schema from "./schema.js";

const U32_MAX = 0xffffffff;
const DEFAULTS = {
  path: "/readyz", method: "GET", status: [200, 299], failures: 3, successes: 1, timeoutMs: 1000, retryMs: 1000, need: "one",
};

export const lifecycle = {
  describe: () => ({
    name: "health-threshold",
    version: "0.1.0",
    summary: "needs several failures in a row before False and several successes before True",
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

export const checker = {
  check(context, subject) {
    const settings = parse(context.settings);
    const { success, findings } = observe(settings, subject.endpoints);
    const { failures, successes } = count(context.memory, success);
    const memory = remember(failures, successes);
    const verdict = (state, reason, message, nextMs) => ({ state, reason, message, findings, nextMs, memory, extra: [] });
    const available = context.was === "up" || context.was === "degraded";
    if (success && (available || successes >= settings.successes)) {
      return verdict("up", "Passed", "all checks passed");
    }
    if (success) {
      const counted = `${successes} of ${settings.successes} successes in a row`;
      return verdict(context.was, "AwaitingSuccesses", counted, settings.retryMs);
    }
    if (failures >= settings.failures || context.was === "down") {
      return verdict("down", "FailedHealthCheck", `${failures} failures in a row`);
    }
    const counted = `${failures} of ${settings.failures} failures in a row`;
    return verdict(available ? "degraded" : context.was, "AwaitingFailures", counted, settings.retryMs);
  },
};

// Each call runs in a fresh instance, so the count travels with the verdict.
function count(memory, success) {
  const bytes = Uint8Array.from(memory);
  const view = new DataView(bytes.buffer);
  const [failures, successes] = bytes.length === 8 ? [view.getUint32(0, true), view.getUint32(4, true)] : [0, 0];
  const more = (number) => Math.min(number + 1, U32_MAX);
  return success ? { failures: 0, successes: more(successes) } : { failures: more(failures), successes: 0 };
}

function remember(failures, successes) {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, failures, true);
  view.setUint32(4, successes, true);
  return bytes;
}

// Asks every endpoint as far as the settings need it, and says what each bad one did.
function observe(settings, endpoints) {
  const findings = [];
  for (const endpoint of endpoints.keys()) {
    const message = ask(settings, endpoint);
    // What another endpoint did does not belong to the message of a success.
    if (message === undefined && settings.need === "one") return { success: true, findings: [] };
    if (message !== undefined) {
      findings.push({ endpoint, state: "down", message });
      if (settings.need === "all") break;
    }
  }
  return { success: settings.need === "all" && endpoints.length > 0 && findings.length === 0, findings };
}

function ask({ method, path, status, timeoutMs }, endpoint) {
  try {
    const answer = send({ endpoint, method, path, headers: [], timeoutMs, bodyMax: 0, extra: [] });
    const good = answer.status >= status[0] && answer.status <= status[1];
    return good ? undefined : `${method} ${path} answered ${answer.status}`;
  } catch (error) {
    const { tag, val } = error.payload ?? error;
    if (tag === undefined) throw error;
    return tag === "budget" ? "too many endpoints for one check" : val;
  }
}

function parse(text) {
  const given = JSON.parse(text);
  for (const [key, value] of Object.entries(given)) {
    if (!(key in DEFAULTS)) throw new Error(`unknown field ${key}`);
    if (typeof value !== typeof DEFAULTS[key]) {
      throw new Error(`${key}: invalid type: ${typeof value}, expected ${typeof DEFAULTS[key]}`);
    }
  }
  const settings = { ...DEFAULTS, ...given };
  const { path, method, status, failures, successes, timeoutMs, retryMs, need } = settings;
  const whole = (number) => Number.isInteger(number) && number >= 0 && number <= U32_MAX;
  const problem =
    !path.startsWith("/") || /\s/.test(path) ? "path must start with / and hold no spaces"
    : !["GET", "HEAD"].includes(method) ? "method must be GET or HEAD"
    : ![failures, successes, timeoutMs, retryMs].every(whole) ? "failures, successes, timeoutMs and retryMs are whole numbers"
    : failures === 0 || successes === 0 ? "failures and successes must be at least 1"
    : !Array.isArray(status) || status.length !== 2 || !status.every(whole) || status[0] > status[1]
      ? "status must be [first, last], such as [200, 299]"
    : timeoutMs === 0 || retryMs === 0 ? "timeoutMs and retryMs must be at least 1"
    : !["one", "all"].includes(need) ? `need is ${need}; one and all are known`
    : undefined;
  if (problem) throw new Error(problem);
  return settings;
}
