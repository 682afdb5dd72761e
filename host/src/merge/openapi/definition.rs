//! Definitions from schemas.

use crate::model::schema::{ListSharing, Record, Schema, ZeroValue};
use serde_json::{Map, Value, json};

pub(super) const REFERENCE: &str = "#/components/schemas/";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";

/// The definitions of one document, by name.
#[derive(Debug, Default)]
pub(super) struct Definitions(pub(super) Map<String, Value>);

impl Definitions {
    /// Adds a record and every record that it needs; one that is there already stays.
    pub(super) fn add(&mut self, record: &'static Record) {
        if self.0.contains_key(record.definition) {
            return;
        }
        // Reserves the name, so that a record that contains itself ends.
        self.0.insert(record.definition.to_owned(), Value::Null);
        let mut properties = Map::new();
        for field in record.fields {
            let default = field.zero == ZeroValue::Written;
            let mut shape = self.shape(field.schema, default);
            shape.insert("description".to_owned(), field.description.into());
            properties.insert(field.name.to_owned(), shape.into());
        }
        let mut definition = json!({"description": record.description, "type": "object"});
        if !properties.is_empty() {
            definition["properties"] = properties.into();
        }
        let required: Vec<_> = record.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
        if !required.is_empty() {
            definition["required"] = json!(required);
        }
        if record.atomic {
            definition["x-kubernetes-map-type"] = json!("atomic");
        }
        self.0.insert(record.definition.to_owned(), definition);
    }

    /// Adds `"x-kubernetes-group-version-kind"` to a definition, one more entry each time.
    pub(super) fn name_kind(&mut self, definition: &str, group: &str, version: &str, kind: &str) {
        let Some(Value::Object(map)) = self.0.get_mut(definition) else { return };
        let list = map.entry("x-kubernetes-group-version-kind").or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({"group": group, "version": version, "kind": kind}));
        }
    }

    /// The shape of a value; `default` says whether an absent one stands for its zero.
    fn shape(&mut self, schema: &'static Schema, default: bool) -> Map<String, Value> {
        let (mut shape, zero) = match schema {
            Schema::Record(record) => {
                self.add(record);
                (reference(record.definition), Some(json!({})))
            }
            Schema::Map(value) => {
                let value = self.shape(value, true);
                (json!({"type": "object", "additionalProperties": value}), None)
            }
            Schema::List { items, sharing } => {
                let mut list = json!({"type": "array", "items": self.shape(items, true)});
                share(&mut list, *sharing);
                (list, None)
            }
            Schema::String => (json!({"type": "string"}), Some(json!(""))),
            Schema::Int32 => (json!({"type": "integer", "format": "int32"}), Some(json!(0))),
            Schema::Int64 => (json!({"type": "integer", "format": "int64"}), Some(json!(0))),
            Schema::Boolean => (json!({"type": "boolean"}), Some(json!(false))),
            Schema::Bytes => (json!({"type": "string", "format": "byte"}), None),
            Schema::Time => (self.named(TIME, "RFC 3339 time with seconds, in UTC.", time()), None),
            Schema::MicroTime => {
                (self.named(MICRO_TIME, "RFC 3339 time with microseconds, in UTC.", time()), None)
            }
            Schema::Opaque => {
                let fields = "A set of fields in the form of a trie in JSON: keys are `f:<name>`, `k:<keys>`, `v:<value>`, `i:<index>` or `.`.";
                (self.named(FIELDS, fields, json!({"type": "object"})), None)
            }
        };
        if let (true, Some(zero)) = (default, zero) {
            shape["default"] = zero;
        }
        match shape {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Adds a definition that is no record; returns a reference to it.
    fn named(&mut self, name: &str, description: &str, mut definition: Value) -> Value {
        definition["description"] = description.into();
        self.0.entry(name).or_insert(definition);
        reference(name)
    }
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// A reference that may have siblings: OpenAPI 3.0 ignores whatever stands beside a bare `$ref`.
fn reference(name: &str) -> Value {
    json!({"allOf": [{"$ref": format!("{REFERENCE}{name}")}]})
}

fn share(list: &mut Value, sharing: ListSharing) {
    match sharing {
        ListSharing::Atomic => list["x-kubernetes-list-type"] = json!("atomic"),
        ListSharing::Set => {
            list["x-kubernetes-list-type"] = json!("set");
            list["x-kubernetes-patch-strategy"] = json!("merge");
        }
        ListSharing::Map(keys) => {
            list["x-kubernetes-list-type"] = json!("map");
            list["x-kubernetes-list-map-keys"] = json!(keys);
            list["x-kubernetes-patch-strategy"] = json!("merge");
            list["x-kubernetes-patch-merge-key"] = json!(keys.first());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::Field;

    static INNER: Record = Record {
        definition: "x.Inner",
        description: "Inside.",
        atomic: true,
        fields: &[Field::new("when", "When.", &Schema::Time)],
    };
    static OUTER: Record = Record {
        definition: "x.Outer",
        description: "Outside.",
        atomic: false,
        fields: &[
            Field::new(
                "inners",
                "Many.",
                &Schema::List {
                    items: &Schema::Record(Record {
                        definition: "x.Inner",
                        description: "Inside.",
                        atomic: true,
                        fields: &[Field::new("when", "When.", &Schema::Time)],
                    }),
                    sharing: ListSharing::Map(&["when"]),
                },
            ),
            Field::new("labels", "Labels.", &Schema::Map(&Schema::String)),
            Field::new("weight", "Weight.", &Schema::Int32).required().zero(ZeroValue::Written),
        ],
    };

    #[test]
    fn a_record_brings_what_it_refers_to() {
        let mut definitions = Definitions::default();
        definitions.add(&OUTER);
        definitions.add(&INNER);
        definitions.name_kind("x.Outer", "x", "v1", "Outer");
        let wanted = json!({
            "x.Inner": {
                "description": "Inside.",
                "type": "object",
                "x-kubernetes-map-type": "atomic",
                "properties": {"when": {"allOf": [{"$ref": format!("{REFERENCE}{TIME}")}], "description": "When."}},
            },
            "x.Outer": {
                "description": "Outside.",
                "type": "object",
                "required": ["weight"],
                "properties": {
                    "inners": {
                        "description": "Many.",
                        "type": "array",
                        "items": {"allOf": [{"$ref": "#/components/schemas/x.Inner"}], "default": {}},
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["when"],
                        "x-kubernetes-patch-merge-key": "when",
                        "x-kubernetes-patch-strategy": "merge",
                    },
                    "labels": {
                        "description": "Labels.",
                        "type": "object",
                        "additionalProperties": {"type": "string", "default": ""},
                    },
                    "weight": {"description": "Weight.", "type": "integer", "format": "int32", "default": 0},
                },
                "x-kubernetes-group-version-kind": [{"group": "x", "version": "v1", "kind": "Outer"}],
            },
            TIME: {"description": "RFC 3339 time with seconds, in UTC.", "type": "string", "format": "date-time"},
        });
        assert_eq!(Value::Object(definitions.0), wanted);
    }
}
