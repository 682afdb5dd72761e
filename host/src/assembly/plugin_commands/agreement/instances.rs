//! Settings derived from a schema. They are proposals: `check_settings` decides whether the schema accepts them.

use serde_json::{Map, Value, json};

/// Maximum depth to which properties are followed.
const DEPTH_MAX: usize = 4;
/// Maximum number of properties, and of values that a schema states for one of them.
const PROPERTIES_MAX: usize = 64;
const STATED_MAX: usize = 16;
/// Texts of usual forms: one of them should suit a setting that takes any text.
const TEXTS: [&str; 8] =
    ["example", "a", "1", "/example", "example.com", "https://example.com/", "10.0.0.1", "1s"];

/// Why a schema names a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Default,
    Example,
    /// One of `enum`, or `const`.
    Choice,
}

impl Role {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Example => "example",
            Self::Choice => "enum value",
        }
    }
}

/// A setting that a schema names.
pub(super) struct Property<'a> {
    pub(super) path: Vec<String>,
    document: &'a Value,
    schema: &'a Value,
}

impl Property<'_> {
    /// The JSON pointer.
    pub(super) fn pointer(&self) -> String {
        self.path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
    }

    /// The values that the schema names for it.
    pub(super) fn stated(&self) -> Vec<(Role, Value)> {
        stated(follow(self.document, self.schema))
    }

    /// Values of the right type.
    pub(super) fn plain(&self) -> Vec<Value> {
        let schema = follow(self.document, self.schema);
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect::<Vec<_>>(),
        };
        let some = some_value(self.document, schema, 0);
        types.into_iter().flat_map(|name| plain_values(name, &some)).collect()
    }
}

fn plain_values(name: &str, some: &Value) -> Vec<Value> {
    match name {
        "string" => TEXTS.iter().map(|text| json!(text)).collect(),
        "integer" => [1, 0, 2, 10, 100, 1_000, 8_443].iter().map(|number| json!(number)).collect(),
        "number" => vec![json!(1), json!(0.5), json!(0), json!(100)],
        "boolean" => vec![json!(true), json!(false)],
        "array" | "object" => vec![some.clone(), if name == "array" { json!([]) } else { json!({}) }],
        _ => Vec::new(),
    }
}

/// The values that a schema names.
pub(super) fn stated(schema: &Value) -> Vec<(Role, Value)> {
    let default = schema.get("default").map(|value| (Role::Default, value.clone()));
    let list = |key: &str| schema.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let examples = list("examples").into_iter().map(|value| (Role::Example, value));
    let choices = list("enum").into_iter().chain(schema.get("const").cloned());
    default
        .into_iter()
        .chain(examples)
        .chain(choices.map(|value| (Role::Choice, value)))
        .take(STATED_MAX)
        .collect()
}

/// Every property of the settings, outer ones first.
pub(super) fn properties(document: &Value) -> Vec<Property<'_>> {
    let mut found = Vec::new();
    add_properties(document, document, &[], &mut found);
    found
}

fn add_properties<'a>(
    document: &'a Value,
    schema: &'a Value,
    path: &[String],
    found: &mut Vec<Property<'a>>,
) {
    let schema = follow(document, schema);
    let named = schema.get("properties").and_then(Value::as_object);
    for (name, schema) in named.into_iter().flatten() {
        if found.len() >= PROPERTIES_MAX || path.len() >= DEPTH_MAX {
            return;
        }
        let path = [path, std::slice::from_ref(name)].concat();
        found.push(Property { path: path.clone(), document, schema });
        add_properties(document, schema, &path, found);
    }
}

/// The settings with nothing but what the schema requires.
pub(super) fn smallest(document: &Value) -> Value {
    smallest_object(document, follow(document, document), 0)
}

/// The same, with a value for each property for which the schema names one.
pub(super) fn fullest(document: &Value) -> Value {
    let mut settings = smallest(document);
    for property in properties(document) {
        if let Some((_, value)) = property.stated().into_iter().next()
            && let Some(more) = with(&settings, &property.path, value)
        {
            settings = more;
        }
    }
    settings
}

fn smallest_object(document: &Value, schema: &Value, depth: usize) -> Value {
    let required = schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    let value = |name: &str| some_value(document, &schema["properties"][name], depth + 1);
    Value::Object(names.map(|name| (name.to_owned(), value(name))).collect::<Map<_, _>>())
}

/// A value that suits a schema in simple cases.
fn some_value(document: &Value, schema: &Value, depth: usize) -> Value {
    let schema = follow(document, schema);
    if let Some((_, value)) = stated(schema).into_iter().next() {
        return value;
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(*key)?.get(0))
        && depth < DEPTH_MAX
    {
        return some_value(document, first, depth + 1);
    }
    let name = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match name {
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("array") if depth < DEPTH_MAX => {
            let count = schema["minItems"].as_u64().unwrap_or(1).min(8);
            let item = |index| {
                let schema = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
                some_value(document, schema, depth + 1)
            };
            (0..usize::try_from(count).unwrap_or(1)).map(item).collect()
        }
        Some("object") if depth < DEPTH_MAX => smallest_object(document, schema, depth),
        Some("null") => Value::Null,
        _ => json!(TEXTS[0]),
    }
}

/// The target of a reference, or the schema itself. References form no cycles in a schema that gateways accept.
fn follow<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = |schema: &'a Value| document.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?);
    let targets = std::iter::successors(Some(schema), |schema| target(schema));
    targets.take(DEPTH_MAX * DEPTH_MAX).last().unwrap_or(schema)
}

/// The settings with a value at a path, unless something other than an object is in its way.
pub(super) fn with(settings: &Value, path: &[String], value: Value) -> Option<Value> {
    let mut changed = settings.clone();
    let (last, parents) = path.split_last()?;
    let mut place = &mut changed;
    for name in parents {
        place = place.as_object_mut()?.entry(name.clone()).or_insert_with(|| json!({}));
    }
    place.as_object_mut()?.insert(last.clone(), value);
    Some(changed)
}

/// The settings with nothing but the keys that the schema requires.
pub(super) fn required_part(document: &Value, settings: &Value) -> Value {
    let required = follow(document, document).get("required").and_then(Value::as_array);
    let is_required = |key: &str| required.is_some_and(|names| names.iter().any(|name| name == key));
    let kept = settings.as_object().into_iter().flatten().filter(|(key, _)| is_required(key));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object", "required": ["zone", "ports"],
            "properties": {
                "zone": {"type": "string", "examples": ["a.test"]},
                "ports": {"type": "array", "items": {"$ref": "#/$defs/port"}, "minItems": 2},
                "tls": {"type": "object", "required": ["name"],
                    "properties": {"name": {"type": "string"}, "mode": {"enum": ["on", "off"], "default": "on"}}},
            },
            "$defs": {"port": {"type": "integer", "minimum": 80}},
        })
    }

    #[test]
    fn settings_are_derived_from_what_the_schema_says() {
        let schema = schema();
        assert_eq!(smallest(&schema), json!({"zone": "a.test", "ports": [80, 80]}));
        let full = json!({"zone": "a.test", "ports": [80, 80], "tls": {"mode": "on"}});
        assert_eq!(fullest(&schema), full);
        assert_eq!(required_part(&schema, &full), json!({"zone": "a.test", "ports": [80, 80]}));
        let pointers: Vec<String> = properties(&schema).iter().map(Property::pointer).collect();
        assert_eq!(pointers, ["/ports", "/tls", "/tls/mode", "/tls/name", "/zone"]);
    }

    #[test]
    fn stated_values_have_a_role() {
        let schema = schema();
        let all = properties(&schema);
        let mode = all.iter().find(|property| property.pointer() == "/tls/mode").unwrap();
        let wanted =
            [(Role::Default, json!("on")), (Role::Choice, json!("on")), (Role::Choice, json!("off"))];
        assert_eq!(mode.stated(), wanted);
        let ports = all.iter().find(|property| property.pointer() == "/ports").unwrap();
        assert_eq!((ports.stated(), ports.plain()), (vec![], vec![json!([80, 80]), json!([])]));
    }

    #[test]
    fn a_value_replaces_only_what_is_at_its_path() {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let settings = json!({"a": {"b": 1}, "c": 2});
        assert_eq!(with(&settings, &path(&["a", "b"]), json!(3)), Some(json!({"a": {"b": 3}, "c": 2})));
        assert_eq!(with(&settings, &path(&["d", "e"]), json!(3)).unwrap()["d"], json!({"e": 3}));
        assert_eq!(with(&settings, &path(&["c", "e"]), json!(3)), None);
    }
}
