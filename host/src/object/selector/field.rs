//! Field selectors, on `metadata.name`, `metadata.namespace` and what a kind adds (contract §1.5).

use crate::model::failure::{Failure, quoted};
use crate::model::object::Object;
use crate::object::kind::Selectable;

const NAME: Selectable = Selectable { label: "metadata.name", path: &["metadata", "name"] };
const NAMESPACE: Selectable = Selectable { label: "metadata.namespace", path: &["metadata", "namespace"] };

/// A field selector: all terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: Selectable,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// Parses the query parameter; an empty one selects everything. `further` is what the kind adds to name and
    /// namespace.
    ///
    /// # Errors
    /// 400 with upstream's text (contract §1.5).
    pub fn parse(text: &str, further: &[Selectable]) -> Result<Self, Failure> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let terms =
            parts.into_iter().filter(|part| !part.is_empty()).map(|part| parse_term(text, part, further));
        Ok(Self { terms: terms.collect::<Result<_, _>>()? })
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one name that can be selected, where the selector asks for one.
    pub fn name(&self) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == NAME).map(|t| t.value.as_str())
    }

    /// Whether the object is selected.
    pub fn matches(&self, object: &Object) -> bool {
        self.terms.iter().all(|term| (object.text(term.field.path) == term.value) == term.equal)
    }
}

/// Splits at commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn parse_term(whole: &str, part: &str, further: &[Selectable]) -> Result<Term, Failure> {
    let not_understood =
        || Failure::bad_request(format!("invalid selector: '{whole}'; can't understand '{part}'"));
    let at = part.find(['=', '!']).and_then(|_| {
        part.char_indices().find_map(|(at, _)| {
            ["!=", "==", "="].into_iter().find(|op| part[at..].starts_with(op)).map(|op| (at, op))
        })
    });
    let (at, operator) = at.ok_or_else(not_understood)?;
    let value = unescape(&part[at + operator.len()..])?;
    let label = &part[..at];
    let known = || [NAME, NAMESPACE].into_iter().chain(further.iter().copied());
    let Some(field) = known().find(|known| known.label == label) else {
        let known: Vec<String> = known().map(|known| quoted(known.label)).collect();
        return Err(Failure::bad_request(format!(
            "{} is not a known field selector: only {}",
            quoted(label),
            known.join(", ")
        )));
    };
    Ok(Term { field, value, equal: operator != "!=" })
}

fn unescape(text: &str) -> Result<String, Failure> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                next => {
                    let sequence: String = [Some('\\'), next].into_iter().flatten().collect();
                    return Err(Failure::bad_request(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            ',' | '=' => {
                let code = u32::from(c);
                return Err(Failure::bad_request(format!(
                    "invalid field selector: unescaped character in value: {code}"
                )));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(namespace: &str, name: &str) -> Object {
        Object::from_value(json!({"metadata": {"namespace": namespace, "name": name}})).unwrap()
    }

    #[test]
    fn terms_select_by_name_and_namespace() {
        let cases = [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a", true),
            ("metadata.name=b", false),
            ("metadata.name!=b,metadata.namespace=n", true),
            ("metadata.name!=a", false),
            ("metadata.namespace=other", false),
            (",", true),
        ];
        for (text, wanted) in cases {
            assert_eq!(FieldSelector::parse(text, &[]).unwrap().matches(&object("n", "a")), wanted, "{text}");
        }
        assert_eq!(FieldSelector::parse(r"metadata.name=a\,b", &[]).unwrap().name(), Some("a,b"));
        assert_eq!(FieldSelector::parse("metadata.name!=a", &[]).unwrap().name(), None);
    }

    #[test]
    fn a_kind_adds_fields_of_its_own() {
        let further = [Selectable { label: "regarding.name", path: &["about", "name"] }];
        let selector = FieldSelector::parse("regarding.name=a,metadata.name=e", &further).unwrap();
        let about = |name: &str| {
            Object::from_value(json!({"metadata": {"name": "e"}, "about": {"name": name}})).unwrap()
        };
        assert!(selector.matches(&about("a")) && !selector.matches(&about("b")));
        assert!(!selector.matches(&object("n", "e")), "an absent field is the empty text");
        let failure = FieldSelector::parse("x=y", &further).unwrap_err();
        assert!(failure.message.ends_with(r#""metadata.namespace", "regarding.name""#), "{failure:?}");
    }

    #[test]
    fn bad_selectors_are_refused_in_upstreams_words() {
        let cases = [
            ("abc", "invalid selector: 'abc'; can't understand 'abc'"),
            (
                "spec.group=x",
                r#""spec.group" is not a known field selector: only "metadata.name", "metadata.namespace""#,
            ),
            (r"metadata.name=a\x", r"invalid field selector: invalid escape sequence: \x"),
            ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        ];
        for (text, wanted) in cases {
            let failure = FieldSelector::parse(text, &[]).unwrap_err();
            assert_eq!((failure.code, failure.message.as_str()), (400, wanted));
        }
    }
}
