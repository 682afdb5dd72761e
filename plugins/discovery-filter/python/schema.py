"""The same as ../settings.schema.json: a component carries its schema."""

TEXT = r"""{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "hide": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "show": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "hideVersions": {
      "type": "array",
      "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["group", "versions"],
        "properties": {
          "group": {"type": "string"},
          "versions": {"type": "array", "items": {"type": "string"}}
        }
      }
    },
    "first": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "last": {"type": "array", "items": {"type": "string", "minLength": 1}}
  }
}
"""
