// Hides and reorders groups by rule.
import schema from "./schema.js";

const DEFAULTS = { hide: [], show: [], hideVersions: [], first: [], last: [] };

export const lifecycle = {
  describe: () => ({
    name: "discovery-filter",
    version: "0.1.0",
    summary: "hides and reorders groups by rule",
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

export const transformer = {
  transform(context, text) {
    const rules = parse(context.settings);
    const group = JSON.parse(text);
    const name = group.metadata?.name ?? "";
    const rule = rules.hide.find((pattern) => matches(pattern, name));
    if (rule !== undefined && place(rules.show, name) < 0) {
      return { tag: "hide", val: `the rule ${JSON.stringify(rule)} hides it` };
    }
    const hidden = rules.hideVersions.filter((rule) => matches(rule.group, name)).flatMap((rule) => rule.versions);
    if (hidden.length === 0) return { tag: "keep" };
    if (!Array.isArray(group.versions)) throw "the group has no versions";
    const versions = group.versions.filter(({ version }) => place(hidden, version ?? "") < 0);
    if (versions.length === group.versions.length) return { tag: "keep" };
    if (versions.length === 0) return { tag: "hide", val: "every version of it is hidden" };
    return { tag: "replace", val: JSON.stringify({ ...group, versions }) };
  },
  order(context, groups) {
    const { first, last } = parse(context.settings);
    if (first.length + last.length === 0) return undefined;
    const rank = (name) => (place(first, name) >= 0 ? place(first, name) - first.length : place(last, name) + 1);
    // Stable: groups of the same place keep their order.
    return groups.map((group) => group.name).sort((a, b) => rank(a) - rank(b));
  },
};

// The index of the first pattern that fits, or -1.
function place(patterns, text) {
  return patterns.findIndex((pattern) => matches(pattern, text));
}

// Whether the whole text fits a pattern in which * stands for any text, the empty one included.
function matches(pattern, text) {
  const parts = pattern.split("*");
  if (parts.length === 1) return pattern === text;
  if (!text.startsWith(parts[0])) return false;
  let at = parts[0].length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.slice(at).endsWith(parts.at(-1));
}

function parse(text) {
  const rules = { ...DEFAULTS, ...JSON.parse(text) };
  for (const [key, value] of Object.entries(rules)) {
    if (!(key in DEFAULTS)) throw new Error(`unknown field ${key}`);
    if (!Array.isArray(value)) throw new Error(`${key}: invalid type: ${typeof value}, expected a list`);
  }
  const patterns = [...rules.hide, ...rules.show, ...rules.first, ...rules.last];
  if (!patterns.every((pattern) => typeof pattern === "string")) throw new Error("invalid type: a list holds what is no text");
  if (patterns.includes("")) {
    throw new Error("a list holds an empty text; write a group or a pattern such as *.example.com");
  }
  for (const { group, versions } of rules.hideVersions) {
    if (typeof group !== "string" || !Array.isArray(versions)) throw new Error("each of hideVersions needs group and versions");
  }
  return rules;
}
