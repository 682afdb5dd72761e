//! Writing a JSON document piece by piece, up to a limit.

use super::json::Json;
use std::borrow::Cow;

/// The document has become larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

pub(super) type Written = Result<(), Overflow>;

/// A JSON text under construction. Commas are added automatically.
pub(super) struct Output {
    bytes: Vec<u8>,
    max: usize,
    needs_comma: bool,
}

impl Output {
    /// `expected` is the approximate number of bytes.
    pub(super) fn new(expected: usize, max: usize) -> Self {
        Self { bytes: Vec::with_capacity(expected.min(max)), max, needs_comma: false }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.shrink_to_fit();
        self.bytes
    }

    pub(super) fn object(&mut self, write: impl FnOnce(&mut Self) -> Written) -> Written {
        self.nest(b"{", b"}", write)
    }

    pub(super) fn array(&mut self, write: impl FnOnce(&mut Self) -> Written) -> Written {
        self.nest(b"[", b"]", write)
    }

    fn nest(&mut self, open: &[u8], close: &[u8], write: impl FnOnce(&mut Self) -> Written) -> Written {
        self.separate();
        self.push(open)?;
        self.needs_comma = false;
        write(self)?;
        self.needs_comma = true;
        self.push(close)
    }

    pub(super) fn key(&mut self, key: &str) -> Written {
        self.string(key)?;
        self.needs_comma = false;
        self.push(b":")
    }

    pub(super) fn string(&mut self, text: &str) -> Written {
        self.separate();
        self.needs_comma = true;
        // Writing to a vector cannot fail.
        drop(serde_json::to_writer(&mut self.bytes, text));
        self.push(b"")
    }

    /// Appends a value unchanged.
    pub(super) fn value(&mut self, value: Json<'_>) -> Written {
        self.separate();
        self.needs_comma = true;
        compact(value.text(), &mut self.bytes);
        self.push(b"")
    }

    /// Appends a value, with the references changed for which `rename` returns another name.
    pub(super) fn copy(&mut self, value: Json<'_>, rename: &dyn Fn(&str) -> Option<String>) -> Written {
        if !value.may_refer() || !(value.is_object() || value.is_array()) {
            return self.value(value);
        }
        if value.is_array() {
            return self.array(|out| value.items().into_iter().try_for_each(|item| out.copy(item, rename)));
        }
        self.object(|out| {
            value.members().into_iter().try_for_each(|(key, member)| {
                out.key(&key)?;
                match member.string().filter(|_| key == "$ref") {
                    Some(target) => out.string(&rename(&target).map_or(target, Cow::Owned)),
                    None => out.copy(member, rename),
                }
            })
        })
    }

    fn separate(&mut self) {
        if std::mem::take(&mut self.needs_comma) {
            self.bytes.push(b',');
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Written {
        if self.bytes.len() + bytes.len() > self.max {
            return Err(Overflow);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends the text of a valid value without white space between tokens, and each string in its shortest spelling.
pub(super) fn compact(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c == '"' || c.is_ascii_whitespace()) {
        let (before, from) = rest.split_at(start);
        out.extend_from_slice(before.as_bytes());
        rest = if from.starts_with('"') {
            let (string, after) = from.split_at(string_length(from));
            match Json::part(string).string().filter(|_| string.contains('\\')) {
                // Writing to a vector cannot fail.
                Some(plain) => drop(serde_json::to_writer(&mut *out, plain.as_ref())),
                None => out.extend_from_slice(string.as_bytes()),
            }
            after
        } else {
            from.trim_ascii_start()
        };
    }
    out.extend_from_slice(rest.as_bytes());
}

/// The length of the string that `text` starts with, quotes included.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(text: &str, max: usize) -> Result<String, Overflow> {
        let mut out = Output::new(0, max);
        out.copy(Json::part(text), &|target| target.strip_prefix("old ").map(str::to_owned))?;
        Ok(String::from_utf8(out.finish()).unwrap())
    }

    #[test]
    fn a_copy_is_compact_and_has_other_references() {
        let text = "{ \"a\\u0041\" : [ 1.50, \"x\\/y \\\" z\" , { \"$ref\" : \"old n\" } ,\n{\"$ref\":{\"$ref\":\"new\"}} ] }";
        let wanted = r#"{"aA":[1.50,"x/y \" z",{"$ref":"n"},{"$ref":{"$ref":"new"}}]}"#;
        assert_eq!(copy(text, wanted.len()).unwrap(), wanted);
        assert_eq!(copy(text, wanted.len() - 1), Err(Overflow));
        assert_eq!(copy(r#"{"\u0024ref": "old x"}"#, 100).unwrap(), r#"{"$ref":"x"}"#);
    }

    #[test]
    fn compacting_changes_no_value() {
        for text in
            ["[ ]", " { } ", r#""a b\\""#, r#"{"k":"\\", "l" : null}"#, "12", r#"["\ud83d\ude00 \u00e9"]"#]
        {
            let mut out = Vec::new();
            compact(text, &mut out);
            let (before, after): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(text).unwrap(), serde_json::from_slice(&out).unwrap());
            assert_eq!(before, after);
            assert_eq!(String::from_utf8(out).unwrap(), before.to_string());
        }
    }
}
