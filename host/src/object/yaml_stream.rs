//! A stream of YAML (or JSON) documents as objects, each with its place for error messages.

use std::fmt;

use serde_json::Value;

use super::node::Node;
use crate::model::object::Object;
use crate::model::yaml::{self, YamlError};

/// Where an object stands in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The document, the first is 1. Those without content do not count.
    pub document: usize,
    /// The line where the document begins, the first line of the stream is 1.
    pub line: usize,
    /// The position in a `List`, the first is 1.
    pub item: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {} (line {})", self.document, self.line)?;
        self.item.map_or(Ok(()), |item| write!(f, ", item {item}"))
    }
}

/// A document that is no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct StreamError {
    /// Which one; for broken YAML the line is where it breaks.
    pub place: Place,
    /// What is wrong with it.
    pub cause: String,
}

/// The objects of a stream in their order, one document in memory at a time. Lists (`kind: …List` with `items`) are
/// taken apart, empty documents skipped.
///
/// An error is a broken document or one that is not an object; later documents are not trustworthy.
pub fn objects(text: &str) -> impl Iterator<Item = Result<(Place, Object), StreamError>> {
    documents(text).flat_map(|(place, source)| match read(place, &source) {
        Ok(objects) => objects.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    })
}

fn read(place: Place, source: &str) -> Result<Vec<(Place, Object)>, StreamError> {
    let node: Node = yaml::read(source).map_err(|error| broken(place, source, error))?;
    if node == Node::Null {
        return Ok(Vec::new());
    }
    let Value::Object(mut map) = node.into_value() else {
        let cause = "it is no object, with apiVersion, kind and metadata".to_owned();
        return Err(StreamError { place, cause });
    };
    let is_list = map.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match map.remove("items") {
        Some(Value::Array(items)) if is_list => take_apart(place, items),
        Some(other) => {
            map.insert("items".to_owned(), other);
            Ok(vec![(place, Object(map))])
        }
        None => Ok(vec![(place, Object(map))]),
    }
}

fn take_apart(place: Place, items: Vec<Value>) -> Result<Vec<(Place, Object)>, StreamError> {
    let mut found = Vec::with_capacity(items.len());
    for (item, value) in (1..).zip(items) {
        let place = Place { item: Some(item), ..place };
        let object = Object::from_value(value)
            .map_err(|_| StreamError { place, cause: "it is no object".to_owned() })?;
        found.push((place, object));
    }
    Ok(found)
}

/// Cuts at the `---` lines, which YAML allows nowhere else, and blanks what stands before a document, so that
/// lines keep their numbers.
fn documents(text: &str) -> impl Iterator<Item = (Place, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1..).zip(text.lines());
    let mut next: Option<(usize, String)> = Some((1, String::new()));
    let parts = std::iter::from_fn(move || {
        let (start, mut part) = next.take()?;
        for (line, content) in lines.by_ref() {
            if is_mark(content, "---") {
                next = Some((line, format!("{}\n", content.replacen("---", "   ", 1))));
                break;
            }
            if is_mark(content, "...") {
                next = Some((line + 1, String::new()));
                break;
            }
            part.push_str(content);
            part.push('\n');
        }
        Some((start, part))
    });
    // Nothing before the first mark and nothing after the last is no document.
    let parts = parts.filter(|(_, part)| part.lines().any(has_content));
    (1..).zip(parts).map(|(document, (start, part))| {
        let skipped = part.lines().take_while(|line| !has_content(line)).count();
        let source = part.lines().skip(skipped).map(|line| format!("{line}\n")).collect();
        (Place { document, line: start + skipped, item: None }, source)
    })
}

fn is_mark(line: &str, mark: &str) -> bool {
    line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']))
}

fn has_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with(['#', '%'])
}

fn broken(place: Place, source: &str, error: YamlError) -> StreamError {
    let within = error.line.min(source.lines().count()).max(1);
    StreamError { place: Place { line: place.line + within - 1, ..place }, cause: error.cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::yaml::{MAX_DEPTH, TOO_DEEP};

    fn all(text: &str) -> Result<Vec<(Place, Object)>, StreamError> {
        objects(text).collect()
    }

    fn names(text: &str) -> Vec<String> {
        let found = all(text).unwrap();
        found.iter().map(|(place, object)| format!("{} {place}", object.name())).collect()
    }

    #[test]
    fn documents_have_numbers_and_lines() {
        let text = "# comment\n---\n\nmetadata: {name: a}\n---\n# nothing\n---\nmetadata:\n  name: b\n...\n";
        assert_eq!(names(text), ["a document 1 (line 4)", "b document 2 (line 8)"]);
        assert_eq!(names("metadata: {name: a}"), ["a document 1 (line 1)"]);
        assert_eq!(
            names("--- {metadata: {name: a}}\n--- # next\nmetadata: {name: b}\n"),
            ["a document 1 (line 1)", "b document 2 (line 3)"]
        );
        assert_eq!(
            names("{\"metadata\":\r\n{\"name\":\"json\"}}\r\n---\r\nmetadata: {name: b}\r\n"),
            ["json document 1 (line 1)", "b document 2 (line 4)"]
        );
        assert_eq!(names(""), Vec::<String>::new());
        assert_eq!(names("---\n---\nnull\n"), Vec::<String>::new());
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = "kind: List\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n";
        assert_eq!(names(text), ["a document 1 (line 1), item 1", "b document 1 (line 1), item 2"]);
        let text = "kind: Playlist of items\nmetadata: {name: a}\nitems: 3\n";
        assert_eq!(all(text).unwrap()[0].1.at(&["items"]), Some(&Value::from(3)));
    }

    #[test]
    fn values_become_json() {
        let text = "a: 1\nb: 1.5\nc: 18446744073709551615\nd: ~\ne: \"1\"\nf: yes\ng: &x {h: true}\ni: *x\n\
                    j:\n  <<: *x\n  k: |-\n    --- no mark\n";
        let found = all(text).unwrap();
        let expected = serde_json::json!({
            "a": 1, "b": 1.5, "c": 18_446_744_073_709_551_615_u64, "d": null, "e": "1", "f": true,
            "g": {"h": true}, "i": {"h": true}, "j": {"h": true, "k": "--- no mark"}
        });
        assert_eq!(found[0].1.clone().into_value(), expected);
    }

    #[test]
    fn documents_are_read_as_deep_as_bodies() {
        let nested = |levels: usize| {
            let lists = levels - 1;
            format!("a: {}{}\n", "[".repeat(lists), "]".repeat(lists))
        };
        assert!(all(&nested(MAX_DEPTH)).is_ok());
        for levels in [MAX_DEPTH + 1, MAX_DEPTH + 2] {
            let told = all(&nested(levels)).unwrap_err().to_string();
            assert!(told.starts_with("document 1 (line 1): ") && told.contains(TOO_DEEP), "{told}");
        }
    }

    #[test]
    fn broken_documents_are_named() {
        let cases = [
            ("a: 1\n---\nb: [1,\n", "document 2 (line 3): "),
            ("a: 1\n---\n# c\nb: 1\nc: 2\n  d: 3\n", "document 2 (line "),
            ("a: 1\n---\na: 1\na: 2\n", "duplicate"),
            ("just text\n", "document 1 (line 1): it is no object, with apiVersion, kind and metadata"),
            ("- a\n", "document 1 (line 1): it is no object, with apiVersion, kind and metadata"),
            ("kind: List\nitems: [3]\n", "document 1 (line 1), item 1: it is no object"),
            ("a: !secret x\n", "document 1 (line 1): "),
            ("a: .nan\n", "document 1 (line 1): "),
        ];
        for (text, expected) in cases {
            let told = all(text).unwrap_err().to_string();
            assert!(told.contains(expected), "{text:?}: {told}");
        }
    }
}
