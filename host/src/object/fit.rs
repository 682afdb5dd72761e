//! Fits a document into a schema: types are checked, unknown fields are dropped and named.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::node::{MOST_PROBLEMS, Node, field_problem};
use crate::model::failure::quoted;
use crate::model::schema::{Record, Schema};
use crate::object::condition::{micro_time_text, time_text};

/// What a document became, and what had to be dropped for it.
pub struct Fitted {
    /// Only known fields, each of its type.
    pub value: Value,
    /// `unknown field "…"` and `duplicate field "…"`, in the order of the document.
    pub problems: Vec<String>,
}

/// Fits `node` into `schema`.
///
/// # Errors
/// The first value of a wrong type, in upstream's words (contract §7.11).
pub fn fit(node: Node, schema: &'static Schema) -> Result<Fitted, String> {
    let mut fitter = Fitter { problems: Vec::new(), path: String::new(), fields: Vec::new(), record: None };
    let value = fitter.fit(node, schema)?;
    Ok(Fitted { value, problems: fitter.problems })
}

struct Fitter {
    problems: Vec<String>,
    /// Path with indices, as strict decoding prints it.
    path: String,
    /// Path of field names only, as type errors print it.
    fields: Vec<&'static str>,
    record: Option<&'static Record>,
}

impl Fitter {
    fn fit(&mut self, node: Node, schema: &'static Schema) -> Result<Value, String> {
        Ok(match (schema, node) {
            (_, Node::Null) => Value::Null,
            (Schema::Record(record), Node::Record(entries)) => self.fit_record(entries, record)?,
            (Schema::Map(items), Node::Record(entries)) => self.fit_map(entries, items)?,
            (Schema::List { items, .. }, Node::List(list)) => self.fit_list(list, items)?,
            (Schema::String, Node::String(text)) => Value::String(text),
            (Schema::Boolean, Node::Bool(value)) => Value::Bool(value),
            (Schema::Int32 | Schema::Int64, Node::Number(number)) => {
                let narrow = matches!(schema, Schema::Int32);
                match number.as_i64().filter(|n| !narrow || i32::try_from(*n).is_ok()) {
                    Some(_) => Value::Number(number),
                    None => return Err(self.mismatch(&format!("number {number}"), schema)),
                }
            }
            (Schema::Bytes, Node::String(text)) => Value::String(canonical_base64(&text)?),
            (Schema::Time, Node::String(text)) => Value::String(canonical_time(&text, time_text)?),
            (Schema::MicroTime, Node::String(text)) => Value::String(canonical_time(&text, micro_time_text)?),
            (Schema::Opaque, node) => node.into_value(),
            (_, other) => return Err(self.mismatch(other.type_name(), schema)),
        })
    }

    fn fit_record(&mut self, entries: Vec<(String, Node)>, record: &'static Record) -> Result<Value, String> {
        let outer = self.record.replace(record);
        let mut out = Map::new();
        for (key, node) in entries {
            let length = self.enter(&key);
            match record.field(&key) {
                None => self.report("unknown"),
                Some(field) => {
                    if out.contains_key(&key) {
                        self.report("duplicate");
                    }
                    self.fields.push(field.name);
                    let value = self.fit(node, field.schema)?;
                    self.fields.pop();
                    unite(&mut out, key, value);
                }
            }
            self.path.truncate(length);
        }
        self.record = outer;
        Ok(Value::Object(out))
    }

    fn fit_map(&mut self, entries: Vec<(String, Node)>, items: &'static Schema) -> Result<Value, String> {
        let mut out = Map::new();
        for (key, node) in entries {
            let length = self.enter(&key);
            if out.contains_key(&key) {
                self.report("duplicate");
            }
            let value = self.fit(node, items)?;
            out.insert(key, value);
            self.path.truncate(length);
        }
        Ok(Value::Object(out))
    }

    fn fit_list(&mut self, list: Vec<Node>, items: &'static Schema) -> Result<Value, String> {
        let length = self.path.len();
        let mut out = Vec::with_capacity(list.len());
        for (index, node) in list.into_iter().enumerate() {
            self.path.push_str(&format!("[{index}]"));
            out.push(self.fit(node, items)?);
            self.path.truncate(length);
        }
        Ok(Value::Array(out))
    }

    fn enter(&mut self, key: &str) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        length
    }

    fn report(&mut self, what: &str) {
        if self.problems.len() >= MOST_PROBLEMS {
            return;
        }
        let problem = field_problem(what, &self.path);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn mismatch(&self, found: &str, schema: &Schema) -> String {
        let wanted = type_name(schema);
        let record = self.record.map(|r| r.definition.rsplit('.').next().unwrap_or_default());
        match record.filter(|_| !self.fields.is_empty()) {
            Some(record) => format!(
                "json: cannot unmarshal {found} into Go struct field {record}.{} of type {wanted}",
                self.fields.join(".")
            ),
            None => format!("json: cannot unmarshal {found} into Go value of type {wanted}"),
        }
    }
}

/// Of a field that stands twice the last counts, except that records are united.
fn unite(out: &mut Map<String, Value>, key: String, value: Value) {
    match (out.get_mut(&key), value) {
        (Some(Value::Object(before)), Value::Object(more)) => {
            for (inner, value) in more {
                unite(before, inner, value);
            }
        }
        (Some(_), Value::Null) => {}
        (_, value) => {
            out.insert(key, value);
        }
    }
}

fn type_name(schema: &Schema) -> String {
    match schema {
        Schema::Record(record) => {
            let mut segments = record.definition.rsplit('.');
            let name = segments.next().unwrap_or_default();
            format!("{}.{name}", segments.next().unwrap_or_default())
        }
        Schema::Map(items) => format!("map[string]{}", type_name(items)),
        Schema::List { items, .. } => format!("[]{}", type_name(items)),
        Schema::String | Schema::Time | Schema::MicroTime => "string".to_owned(),
        Schema::Int32 => "int32".to_owned(),
        Schema::Int64 => "int64".to_owned(),
        Schema::Boolean => "bool".to_owned(),
        Schema::Bytes => "[]uint8".to_owned(),
        Schema::Opaque => "object".to_owned(),
    }
}

fn canonical_base64(text: &str) -> Result<String, String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match STANDARD.decode(&plain) {
        Ok(bytes) => Ok(STANDARD.encode(bytes)),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) => at,
                base64::DecodeError::InvalidLastSymbol { offset, .. } => offset,
                _ => plain.len(),
            };
            Err(format!("illegal base64 data at input byte {at}"))
        }
    }
}

fn canonical_time(text: &str, write: fn(Timestamp) -> String) -> Result<String, String> {
    let time: Timestamp = text
        .parse()
        .map_err(|_| format!("parsing time {}: not of the form \"2006-01-02T15:04:05Z\"", quoted(text)))?;
    Ok(write(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::api_service;

    fn fit_text(text: &str) -> Result<Fitted, String> {
        fit(serde_json::from_str(text).unwrap(), api_service::KIND.schema)
    }

    #[test]
    fn unknown_and_duplicate_fields_are_named_in_order() {
        let fitted = fit_text(
            r#"{"spec":{"foo":1,"version":"v1","version":"v2","service":{"bar":1}},
                "status":{"conditions":[{"type":"A","foo":1}]},
                "metadata":{"labels":{"a":"1","a":"2"}},"extra":{}}"#,
        )
        .unwrap();
        assert_eq!(
            fitted.problems,
            [
                r#"unknown field "spec.foo""#,
                r#"duplicate field "spec.version""#,
                r#"unknown field "spec.service.bar""#,
                r#"unknown field "status.conditions[0].foo""#,
                r#"duplicate field "metadata.labels.a""#,
                r#"unknown field "extra""#,
            ]
        );
        assert_eq!(fitted.value["spec"], serde_json::json!({"version": "v2", "service": {}}));
    }

    #[test]
    fn endless_keys_are_cut() {
        let key = "a".repeat(1_000_000);
        let text = format!(r#"{{"{key}":1,"metadata":{{"labels":{{"{key}":"1","{key}":"2"}}}}}}"#);
        for problem in fit_text(&text).unwrap().problems {
            assert!(problem.len() < 500, "{} bytes", problem.len());
            assert!(problem.ends_with("aaa…\""), "{problem}");
        }
    }

    #[test]
    fn wrong_types_name_the_field() {
        let cases = [
            (
                r#"{"spec":{"groupPriorityMinimum":"high"}}"#,
                "json: cannot unmarshal string into Go struct field APIServiceSpec.spec.groupPriorityMinimum of type int32",
            ),
            (
                r#"{"spec":{"service":[1]}}"#,
                "json: cannot unmarshal array into Go struct field APIServiceSpec.spec.service of type v1.ServiceReference",
            ),
            (
                r#"{"spec":{"groupPriorityMinimum":99999999999}}"#,
                "json: cannot unmarshal number 99999999999 into Go struct field APIServiceSpec.spec.groupPriorityMinimum of type int32",
            ),
            (
                r#"{"metadata":{"labels":{"a":1}}}"#,
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                r#"{"metadata":{"finalizers":"x"}}"#,
                "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.finalizers of type []string",
            ),
            (
                r#"{"spec":"x"}"#,
                "json: cannot unmarshal string into Go struct field APIService.spec of type v1.APIServiceSpec",
            ),
            (r#"{"spec":{"caBundle":"!!!"}}"#, "illegal base64 data at input byte 0"),
        ];
        for (text, wanted) in cases {
            assert_eq!(fit_text(text).err().as_deref(), Some(wanted));
        }
    }

    #[test]
    fn times_and_bytes_take_their_canonical_form() {
        let fitted = fit_text(
            r#"{"metadata":{"creationTimestamp":"2020-01-01T01:00:00.5+01:00"},"spec":{"caBundle":"Zm9v\n"}}"#,
        )
        .unwrap();
        assert_eq!(fitted.value["metadata"]["creationTimestamp"], "2020-01-01T00:00:00Z");
        assert_eq!(fitted.value["spec"]["caBundle"], "Zm9v");
    }
}
