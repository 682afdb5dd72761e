//! Every place where a document does not have the form of a manifest. The parser ends at the first one.

use super::File;
use crate::model::spelling::meant_in_error;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use std::collections::BTreeMap;
use std::fmt;

/// Maximum number of errors that are listed.
const MISTAKES_MAX: usize = 32;

/// A part of a document that does not have the form of a manifest.
#[derive(Debug)]
pub(super) struct Mistake {
    /// The path in the document as it was written.
    pub(super) path: String,
    cause: String,
}

impl Mistake {
    /// The name that was perhaps meant in place of an unknown one.
    pub(super) fn meant(&self) -> Option<&str> {
        meant_in_error(&self.cause)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.cause)?;
        match self.meant() {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

/// The errors in the form of a document, by path, and the manifest without the wrong parts. Each wrong part is
/// removed and the rest parsed again, so that the parser alone defines the rules.
pub(super) fn inspect(mut document: Value) -> (Vec<Mistake>, Option<File>) {
    let mut mistakes = Vec::new();
    // Elements that were taken off the front of a list, by its path.
    let mut offsets: BTreeMap<String, usize> = BTreeMap::new();
    while mistakes.len() < MISTAKES_MAX {
        let (path, cause) = match serde_path_to_error::deserialize::<_, File>(&document) {
            Ok(file) => return (mistakes, Some(file)),
            Err(error) => (error.path().clone(), error.into_inner().to_string()),
        };
        let mut steps: Vec<Step> = path_steps(&path);
        if let Some(unknown) = cause.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next())
            && steps.last() != Some(&Step::Key(unknown.to_owned()))
        {
            steps.push(Step::Key(unknown.to_owned()));
        }
        mistakes.push(Mistake { path: show(&steps, &offsets), cause });
        if !take_out(&mut document, &steps, &mut offsets) {
            break;
        }
    }
    (mistakes, None)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

fn path_steps(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().map_while(step).collect()
}

/// The path in the document as it was written.
fn show(steps: &[Step], offsets: &BTreeMap<String, usize>) -> String {
    let mut shown = String::new();
    for step in steps {
        match step {
            Step::Key(key) if shown.is_empty() => shown.push_str(key),
            Step::Key(key) => shown.extend([".", key]),
            Step::Index(index) => {
                let index = index + offsets.get(&shown).copied().unwrap_or_default();
                shown.push_str(&format!("[{index}]"));
            }
        }
    }
    if shown.is_empty() { "the document".to_owned() } else { shown }
}

/// Removes a value from the document; in a list, also the values before it, which are known to be valid. Returns
/// whether the value existed.
fn take_out(document: &mut Value, steps: &[Step], offsets: &mut BTreeMap<String, usize>) -> bool {
    let Some((last, parents)) = steps.split_last() else { return false };
    let mut value = document;
    for step in parents {
        let below = match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(index),
        };
        let Some(below) = below else { return false };
        value = below;
    }
    match (last, value) {
        (Step::Key(key), Value::Object(map)) => map.remove(key).is_some(),
        (Step::Index(index), Value::Array(list)) if *index < list.len() => {
            list.drain(..=*index);
            *offsets.entry(show(parents, offsets)).or_default() += index + 1;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_mistake_is_told_with_its_path() {
        let document = json!({
            "apiVersion": "plugins.umbel.dev/v1alpha1", "kind": "Plugin", "extra": 1,
            "spec": {
                "setings": {}, "wasi": "all",
                "grants": {"addresses": ["10.0.0.0/8", "nowhere", "10.0.0.0/8", "10.0.0.0/99"], "htp": []},
                "secrets": {"a": {"header": "X"}, "b": {"file": "/b"}},
                "limits": {"wall": "1h"}
            }
        });
        let (mistakes, rest) = inspect(document);
        let mut mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        mistakes.sort();
        let wanted = [
            "extra: unknown field `extra`",
            "spec.grants.addresses[1]: invalid IP",
            "spec.grants.addresses[3]: invalid IP",
            "spec.grants.htp: unknown field `htp`",
            "spec.limits.wall: \"1h\" is no duration",
            "spec.secrets.a: missing field `file`",
            "spec.setings: unknown field `setings`",
            "spec.wasi: unknown variant `all`",
        ];
        assert_eq!(mistakes.len(), wanted.len(), "{mistakes:#?}");
        for (mistake, wanted) in mistakes.iter().zip(wanted) {
            assert!(mistake.starts_with(wanted), "{mistake}, wanted {wanted}");
        }
        let rest = rest.unwrap();
        assert_eq!((rest.spec.grants.addresses.len(), rest.spec.secrets.len()), (0, 1));
    }

    #[test]
    fn a_document_of_another_form_is_one_mistake() {
        for document in [json!([]), json!("text"), json!(null), json!({"kind": "Plugin"})] {
            let (mistakes, rest) = inspect(document);
            assert!(mistakes.len() == 1 && rest.is_none(), "{mistakes:?}");
            assert_eq!(mistakes[0].path, "the document", "{mistakes:?}");
        }
        let many: serde_json::Map<String, Value> = (0..100).map(|n| (format!("k{n}"), json!(1))).collect();
        assert_eq!(inspect(Value::Object(many)).0.len(), MISTAKES_MAX);
    }
}
