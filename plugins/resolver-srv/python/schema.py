"""The same as ../settings.schema.json: a component carries its schema."""

TEXT = r"""{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "name": {"type": "string", "minLength": 1, "default": "_https._tcp.{host}"},
    "freshSecondsMax": {"type": "integer", "minimum": 1, "default": 300},
    "staleSeconds": {"type": "integer", "minimum": 0, "default": 600},
    "lookupAddresses": {"type": "boolean", "default": true}
  }
}
"""
