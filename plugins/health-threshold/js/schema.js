// The same as ../settings.schema.json: a component carries its schema.
export default String.raw`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "path": {"type": "string", "pattern": "^/\\S*$", "default": "/readyz"},
    "method": {"enum": ["GET", "HEAD"], "default": "GET"},
    "status": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "minItems": 2, "maxItems": 2, "default": [200, 299]},
    "failures": {"type": "integer", "minimum": 1, "default": 3},
    "successes": {"type": "integer", "minimum": 1, "default": 1},
    "timeoutMs": {"type": "integer", "minimum": 1, "default": 1000},
    "retryMs": {"type": "integer", "minimum": 1, "default": 1000},
    "need": {"enum": ["one", "all"], "default": "one"}
  }
}
`;
