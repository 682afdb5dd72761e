//! Patches: JSON patch, merge patch, strategic merge patch (contract §1.7).

mod directives;
mod json;
mod ordering;
mod printed;
mod strategic;

use serde_json::Value;

use super::decode::{Decoded, complete};
use super::fit::fit;
use super::node::{MOST_PROBLEMS, Node};
use super::syntax::explain_json;
use crate::model::failure::{Failure, FieldError, quoted};
use crate::model::object::Object;
use crate::object::kind::Kind;

/// The patch formats. Server-side apply is not one of them: it merges field sets, not documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchFormat {
    /// `application/json-patch+json` (RFC 6902).
    Json,
    /// `application/merge-patch+json` (RFC 7386).
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
}

impl PatchFormat {
    /// The format of a `Content-Type`, parameters ignored; `None` is a 415.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            _ => None,
        }
    }
}

/// Applies a patch to the stored object. The result fits the schema and has its defaults; it is not validated.
/// Call again with the newer object when the write loses a race.
///
/// # Errors
/// 400: the patch cannot be read. 413: too many operations. 422: an operation does not apply, or the result
/// does not fit the schema.
pub fn apply_patch(
    kind: &'static Kind,
    format: PatchFormat,
    patch: &[u8],
    stored: &Object,
) -> Result<Decoded, Failure> {
    let patch = read(format, patch)?;
    let mut problems = patch.duplicates();
    let before = stored.clone().into_value();
    let mut whole = before.clone();
    let shown = match format {
        PatchFormat::Json => {
            let (operations, unknown) = json::operations(patch)?;
            problems.extend(unknown);
            problems.iter_mut().for_each(|problem| problem.insert_str(0, "json patch "));
            json::apply(&operations, &mut whole)?;
            printed::document(&whole, &before, kind.schema)
        }
        PatchFormat::Merge => {
            json_patch::merge(&mut whole, &patch.into_value());
            printed::document(&whole, &before, kind.schema)
        }
        PatchFormat::Strategic => {
            let patch = patch.into_value();
            let shown = printed::go_map(&patch);
            strategic::merge(&mut whole, patch, kind.schema)?;
            shown
        }
    };
    let misfit =
        |why: String| Failure::invalid("", "", "", &[FieldError::invalid("patch", quoted(&shown), why)]);
    check_type(kind, &whole).map_err(misfit)?;
    let fitted = fit(Node::from(whole), kind.schema).map_err(misfit)?;
    problems.extend(fitted.problems);
    problems.truncate(MOST_PROBLEMS);
    Ok(Decoded::from_patch(complete(kind, fitted.value), problems, shown))
}

fn read(format: PatchFormat, text: &[u8]) -> Result<Node, Failure> {
    let refuse = |why: String| {
        let prefix = if format == PatchFormat::Strategic { "" } else { "error decoding patch: " };
        Failure::bad_request(format!("{prefix}{why}"))
    };
    let node: Node = serde_json::from_slice(text)
        .map_err(|e| refuse(explain_json(text).unwrap_or_else(|| e.to_string())))?;
    match (format, &node) {
        (PatchFormat::Json, Node::List(_))
        | (PatchFormat::Merge | PatchFormat::Strategic, Node::Record(_)) => Ok(node),
        (PatchFormat::Json, other) => {
            Err(refuse(format!("a JSON patch is a list of operations, this is {}", other.described())))
        }
        (_, other) => Err(refuse(format!("a merge patch is an object, this is {}", other.described()))),
    }
}

/// A patch may not make another kind of the object.
fn check_type(kind: &Kind, whole: &Value) -> Result<(), String> {
    let own = kind.api_version();
    for (key, wanted) in [("apiVersion", own.as_str()), ("kind", kind.kind)] {
        match whole.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text == wanted || text.is_empty() => {}
            Some(other) => return Err(format!("{key} is {} and cannot become {other}", quoted(wanted))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
