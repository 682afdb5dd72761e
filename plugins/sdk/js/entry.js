// What `umbel plugin build` puts between the host and the plugin's main module. It hands what the plugin prints and
// throws to the gateway's log, and checks what it returns, because the engine would end such a call without a word.

import log from "__LOG__";

const MAIN = "__MAIN__";
const EXPORTS = __EXPORTS__;
const FIELD_MAX = 1000;

// While the component is built there is no log.
let running = false;

function write(level, text) {
  if (!running) return;
  for (const line of text.split("\n")) {
    if (line !== "") log.write(level, line.toWellFormed?.() ?? line, []);
  }
}

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value}\n${value.stack ?? ""}`;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

const print = (level) => (...values) => write(level, values.map(shown).join(" "));

globalThis.console = {
  log: print("info"),
  info: print("info"),
  debug: print("debug"),
  trace: print("debug"),
  warn: print("warn"),
  error: print("error"),
  dir: print("info"),
  assert: (holds, ...values) => holds || print("error")("Assertion failed:", ...values),
};
globalThis.print ??= print("info");

// A static import would run the plugin before there is a console.
const plugin = await import("./__MAIN__");

const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
const brief = (value) => {
  const text = typeof value === "bigint" ? `${value}n` : (JSON.stringify(value) ?? String(value));
  return text.length < 80 ? text : `${text.slice(0, 77)}...`;
};

const RANGES = {
  u8: [0, 2 ** 8 - 1],
  u16: [0, 2 ** 16 - 1],
  u32: [0, 2 ** 32 - 1],
  u64: [0, Number.MAX_SAFE_INTEGER],
  s8: [-(2 ** 7), 2 ** 7 - 1],
  s16: [-(2 ** 15), 2 ** 15 - 1],
  s32: [-(2 ** 31), 2 ** 31 - 1],
  s64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

// Why a value does not have the type that the interface names; undefined where it does.
function mismatch(type, value, place) {
  const wrong = (expected) => `${place} is ${brief(value)}; expected ${expected}`;
  if (type === null) return undefined;
  if (typeof type === "string") {
    if (type in RANGES) {
      const [low, high] = RANGES[type];
      const fits = Number.isInteger(value) && value >= low && value <= high;
      return fits ? undefined : wrong(`a whole number from ${low} to ${high}`);
    }
    if (type === "f32" || type === "f64") return typeof value === "number" ? undefined : wrong("a number");
    if (type === "bool") return typeof value === "boolean" ? undefined : wrong("true or false");
    if (type === "char" || type === "string") return typeof value === "string" ? undefined : wrong("a string");
    return undefined;
  }
  if (type.option !== undefined) {
    return value === null || value === undefined ? undefined : mismatch(type.option, value, place);
  }
  if (type.list !== undefined) {
    if (type.list === "u8" && value instanceof Uint8Array) return undefined;
    if (!Array.isArray(value)) return wrong(type.list === "u8" ? "a Uint8Array" : "an array");
    return firstOf(value, (item, index) => mismatch(type.list, item, `${place}[${index}]`));
  }
  if (type.tuple !== undefined) {
    if (!Array.isArray(value) || value.length !== type.tuple.length) {
      return wrong(`an array of ${type.tuple.length}`);
    }
    return firstOf(type.tuple, (item, index) => mismatch(item, value[index], `${place}[${index}]`));
  }
  if (type.enum !== undefined) return type.enum.includes(value) ? undefined : wrong(`one of ${type.enum.join(", ")}`);
  if (type.record !== undefined) {
    if (typeof value !== "object" || value === null) return wrong("an object");
    return firstOf(Object.entries(type.record), ([name, field]) =>
      mismatch(field, value[camel(name)], `${place}.${camel(name)}`));
  }
  if (type.variant !== undefined) {
    const cases = Object.keys(type.variant);
    if (typeof value !== "object" || value === null || !cases.includes(value.tag)) {
      return wrong(`{tag, val} with the tag ${cases.join(", ")}`);
    }
    return mismatch(type.variant[value.tag], value.val, `${place}.val`);
  }
  return undefined;
}

function firstOf(items, test) {
  let index = 0;
  for (const item of items) {
    const reason = test(item, index++);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

// The frames of the plugin, innermost first.
function frames(error) {
  const lines = String(error?.stack ?? "").split("\n").map((line) => line.trim().replace(/^at /, ""));
  const own = lines.filter((line) => line !== "" && !line.includes(".umbel-entry.js") && !line.startsWith("native"));
  return own.map((line) => line.replaceAll("(/", "(").replace(/^\//, "")).join(" < ").slice(0, FIELD_MAX);
}

function report(text, error) {
  const at = frames(error);
  log.write("error", text.toWellFormed?.() ?? text, at === "" ? [] : [["at", at]]);
}

// What is thrown is the fault where the interface has one; anything else is a mistake of the plugin.
function explain(thrown, fault, name) {
  if (thrown instanceof Error && thrown.payload === undefined) return report(String(thrown), thrown);
  const value = thrown instanceof Error ? thrown.payload : thrown;
  if (fault === undefined) return report(`${name} threw ${brief(value)}; it has no fault to throw`, thrown);
  const reason = mismatch(fault, value, "thrown");
  if (reason !== undefined) report(`${name}: ${reason}`, thrown);
}

function guarded(target, name, place, { result, fault }) {
  return (...values) => {
    running = true;
    let answer;
    try {
      answer = target[name](...values);
    } catch (thrown) {
      explain(thrown, fault, place);
      throw thrown;
    }
    const reason = mismatch(result, answer, "answer");
    if (reason === undefined) return answer;
    const hint = typeof answer?.then === "function" ? "; it is async, and calls of a plugin are not" : "";
    const error = new TypeError(`${place}: ${reason}${hint}`);
    report(String(error), undefined);
    throw error;
  };
}

function exported(name, functions) {
  const target = plugin[name];
  const names = Object.keys(functions).map(camel);
  const form = `export const ${name} = { ${names.map((one) => `${one}() { … }`).join(", ")} };`;
  if (typeof target !== "object" && typeof target !== "function") {
    const present = Object.keys(plugin).join(", ") || "nothing";
    throw new Error(`${MAIN} does not export ${name}, which the world exports; write ${form} It exports ${present}.`);
  }
  const guards = {};
  for (const [kebab, types] of Object.entries(functions)) {
    const one = camel(kebab);
    if (typeof target[one] !== "function") {
      throw new Error(`${name} of ${MAIN} has no function ${one}, which the world exports; write ${form}`);
    }
    guards[one] = guarded(target, one, `${name}.${one}`, types);
  }
  return guards;
}

