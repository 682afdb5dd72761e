// Hides the groups that the settings name from discovery.

import { parse } from "./settings.js";

const schema = {
  type: "object",
  additionalProperties: false,
  required: ["hide"],
  properties: {
    hide: { type: "array", items: { type: "string" }, description: "Groups that discovery does not list" },
  },
};

function check({ hide }) {
  if (Array.isArray(hide) && hide.every((name) => typeof name === "string")) return [];
  return [{ path: "/hide", message: "needs a list of groups, each a text" }];
}

/** @type {import("umbel:lifecycle/lifecycle@0.1.0").Lifecycle} */
export const lifecycle = {
  describe: () => ({
    name: "example-plugin",
    version: "0.1.0",
    summary: "hides groups from discovery",
    settingsSchema: JSON.stringify(schema),
    extra: [],
  }),
  validate(settings) {
    parse(settings, check);
  },
};

/** @type {import("umbel:discovery/transformer@0.1.0").Transformer} */
export const transformer = {
  transform(context, text) {
    // The host has had these settings validated before the first call.
    const { hide } = parse(context.settings, check);
    const { name } = JSON.parse(text).metadata;
    if (hide.includes(name)) return { tag: "hide", val: `the settings of the plugin hide ${name}` };
    // To change the group: tag "replace" with the changed document as JSON.
    return { tag: "keep" };
  },
  order: () => null,
};
