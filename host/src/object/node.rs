//! A document as it was written: keys in their order, those that stand twice included.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::model::failure::quoted;

/// More problems of one document than these help nobody.
pub const MOST_PROBLEMS: usize = 100;

/// How much of the path of a field a problem shows, in bytes. The longest that can be meant fits: an annotation has
/// at most 317.
const LONGEST_PATH: usize = 400;

/// What is wrong with a field, for example `unknown field "spec.foo"`; of an endless path the beginning.
pub fn field_problem(what: &str, path: &str) -> String {
    let shown = &path[..path.floor_char_boundary(LONGEST_PATH)];
    let more = if shown.len() < path.len() { "…" } else { "" };
    format!("{what} field {}", quoted(&format!("{shown}{more}")))
}

/// A JSON or YAML value in the order of its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Self>),
    /// Keys and values, in order.
    Record(Vec<(String, Self)>),
}

impl Node {
    /// The last value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Record(entries) => entries.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// What JSON calls the value, as Go's messages name it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::List(_) => "array",
            Self::Record(_) => "object",
        }
    }

    /// The same in a sentence, for example `an array`.
    pub fn described(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "an array",
            Self::Record(_) => "an object",
        }
    }

    /// The value without its order; of a key that stands twice the last counts.
    pub fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Number(n) => Value::Number(n),
            Self::String(s) => Value::String(s),
            Self::List(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Self::Record(entries) => {
                Value::Object(entries.into_iter().map(|(k, v)| (k, v.into_value())).collect::<Map<_, _>>())
            }
        }
    }

    /// The keys that stand twice, as `duplicate field "a.b"`; at most [`MOST_PROBLEMS`].
    pub fn duplicates(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.find_duplicates(&mut String::new(), &mut problems);
        problems
    }

    fn find_duplicates(&self, path: &mut String, problems: &mut Vec<String>) {
        let length = path.len();
        match self {
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push_str(&format!("[{index}]"));
                    item.find_duplicates(path, problems);
                    path.truncate(length);
                }
            }
            Self::Record(entries) => {
                let mut seen = HashSet::with_capacity(entries.len());
                for (key, value) in entries {
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(key);
                    if !seen.insert(key.as_str()) && problems.len() < MOST_PROBLEMS {
                        problems.push(field_problem("duplicate", path));
                    }
                    value.find_duplicates(path, problems);
                    path.truncate(length);
                }
            }
            _ => {}
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(b),
            Value::Number(n) => Self::Number(n),
            Value::String(s) => Self::String(s),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(map) => Self::Record(map.into_iter().map(|(k, v)| (k, v.into())).collect()),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Node::Number(number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Node, E> {
        Ok(Node::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element()? {
            out.push(item);
        }
        Ok(Node::List(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut out = Vec::new();
        while let Some(key) = entries.next_key::<Key>()? {
            out.push((key.0, entries.next_value()?));
        }
        Ok(Node::Record(out))
    }
}

/// YAML allows keys that are no strings; they are taken by their text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Node::deserialize(deserializer)? {
            Node::String(text) => Ok(Self(text)),
            Node::Number(number) => Ok(Self(number.to_string())),
            Node::Bool(value) => Ok(Self(value.to_string())),
            other => Err(D::Error::custom(format!("a key must be text, not {}", other.described()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_duplicates_survive() {
        let node: Node = serde_json::from_str(r#"{"b":1,"a":{"x":1,"x":2},"b":[{"c":1,"c":2}]}"#).unwrap();
        assert_eq!(
            node.duplicates(),
            [r#"duplicate field "a.x""#, r#"duplicate field "b""#, r#"duplicate field "b[0].c""#]
        );
        assert_eq!(node.get("a").and_then(|a| a.get("x")), Some(&Node::Number(2.into())));
    }

    #[test]
    fn endless_keys_are_cut() {
        let key = "ä".repeat(1_000_000);
        let node: Node = serde_json::from_str(&format!(r#"{{"{key}":1,"{key}":2}}"#)).unwrap();
        let shown = "ä".repeat(LONGEST_PATH / 2);
        assert_eq!(node.duplicates(), [format!("duplicate field \"{shown}…\"")]);
    }

    #[test]
    fn yaml_keys_are_taken_by_their_text() {
        let node: Node = crate::model::yaml::read("1: a\ntrue: b\n").unwrap();
        assert_eq!(node.get("1"), Some(&Node::String("a".into())));
        assert_eq!(node.get("true"), Some(&Node::String("b".into())));
    }
}
