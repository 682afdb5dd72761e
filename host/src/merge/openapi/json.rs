//! JSON that stays text and is read one level at a time.
//!
//! The document of a backend has hundreds of thousands of small values, and a tree of them takes thirty times the
//! memory of the text. So this module does not build trees: a value is a slice of the text until its members are
//! read, and output is assembled from such slices.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// One value. Its text was checked by [`Json::check`], so that reading it cannot fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<'a>(&'a str);

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Json<'a> {
    /// Reads a whole document: everything in it is valid, and nested at most 127 levels deep.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn check(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<Valid>(body)?;
        let raw: &RawValue = serde_json::from_slice(body)?;
        Ok(Self(raw.get()))
    }

    /// A part of a document that was checked before.
    pub(super) fn part(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
    pub(super) fn text(self) -> &'a str {
        self.0
    }

    pub(super) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    pub(super) fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    pub(super) fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    /// The members of an object in their order; none of anything else.
    pub(super) fn members(self) -> Vec<(Cow<'a, str>, Self)> {
        if !self.is_object() {
            return Vec::new();
        }
        serde_json::from_str::<Members<'a>>(self.0).map(|members| members.0).unwrap_or_default()
    }

    /// The items of an array; none of anything else.
    pub(super) fn items(self) -> Vec<Self> {
        if !self.is_array() {
            return Vec::new();
        }
        let items: Vec<&'a RawValue> = serde_json::from_str(self.0).unwrap_or_default();
        items.into_iter().map(|item| Self(item.get())).collect()
    }

    /// The member of that name; the last one where it stands twice, as in every other reader.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        self.members().into_iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        if !self.is_string() {
            return None;
        }
        serde_json::from_str::<Key<'a>>(self.0).ok().map(|key| key.0)
    }

    pub(super) fn flag(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    pub(super) fn number<T: std::str::FromStr>(self) -> Option<T> {
        self.0.parse().ok()
    }

    /// Whether it may contain a `$ref`. `false` is certain, and saves reading it.
    pub(super) fn may_refer(self) -> bool {
        self.0.contains("$ref") || self.0.contains("\\u")
    }

    /// Whether both values are equal, regardless of the order of members. Ignores the top-level member `but_for`.
    pub(super) fn says_the_same(self, other: Self, but_for: Option<&str>) -> bool {
        if self.0 == other.0 {
            return true;
        }
        if self.is_object() && other.is_object() {
            let sorted = |value: Self| {
                let mut members = value.members();
                members.retain(|(key, _)| but_for.is_none_or(|left_out| key != left_out));
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                members
            };
            let (ours, theirs) = (sorted(self), sorted(other));
            return ours.len() == theirs.len()
                && ours.iter().zip(&theirs).all(|(a, b)| a.0 == b.0 && a.1.says_the_same(b.1, None));
        }
        if self.is_array() && other.is_array() {
            let (ours, theirs) = (self.items(), other.items());
            return ours.len() == theirs.len()
                && ours.iter().zip(&theirs).all(|(a, b)| a.says_the_same(*b, None));
        }
        match (self.string(), other.string()) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.number::<f64>().is_some_and(|a| other.number() == Some(a)),
            _ => false,
        }
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((key.0, Json(value.get())));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// Reads everything and keeps nothing. Unlike `IgnoredAny`, it decodes strings, and rejects a nesting depth of 128.
struct Valid;

impl<'de> Deserialize<'de> for Valid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Valid {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_where_they_stand() {
        let text = r#" {"a" : 1, "b\u002f": [ true, {"$ref":"x"} ], "a": "two" } "#;
        let value = Json::check(text.as_bytes()).unwrap();
        assert_eq!(value.get("a").unwrap().string().unwrap(), "two", "the last one counts");
        let items = value.get("b/").unwrap().items();
        assert_eq!((items[0].flag(), items[1].get("$ref").unwrap().text()), (Some(true), "\"x\""));
        assert!(value.get("c").is_none() && value.items().is_empty());
        assert_eq!(value.get("a").unwrap().members().len(), 0);
    }

    #[test]
    fn what_cannot_be_read_later_is_refused_at_once() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::check(nested(127).as_bytes()).is_ok());
        for depth in [128, 1_000_000] {
            let deep = nested(depth);
            let fault = Json::check(deep.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains("recursion limit"), "{fault}");
        }
        for broken in [r#"{"\ud800": 1}"#, r#"["\ud800"]"#, "1e999", "{", "{} x", "\"\u{1}\""] {
            assert!(Json::check(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(Json::check(b"\"\xff\"").is_err());
    }

    #[test]
    fn order_and_spelling_do_not_count() {
        let same = |a: &str, b: &str, but: Option<&str>| Json::part(a).says_the_same(Json::part(b), but);
        assert!(same(r#"{"a":1,"b":["x"]}"#, r#"{ "b":[ "\u0078" ], "a":1.0 }"#, None));
        assert!(same(r#"{"a":1,"k":[1]}"#, r#"{"k":[2],"a":1}"#, Some("k")));
        assert!(same(r#"{"a":1,"k":[1]}"#, r#"{"a":1}"#, Some("k")));
        for (a, b) in [
            (r#"{"a":1}"#, r#"{"a":2}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
            (r#"{"a":{"k":1}}"#, r#"{"a":{"k":2}}"#),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            ("1", "\"1\""),
            ("true", "false"),
            ("null", "0"),
        ] {
            assert!(!same(a, b, Some("k")), "{a} {b}");
        }
    }
}
