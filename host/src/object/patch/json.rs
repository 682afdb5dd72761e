//! JSON patch (RFC 6902) with upstream's limits and refusals.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::model::failure::Failure;
use crate::model::failure::quoted;
use crate::object::node::{MOST_PROBLEMS, Node, field_problem};

/// Most operations of one patch.
const MOST_OPERATIONS: usize = 10_000;
/// Bytes that all `copy` operations of one patch may add.
const MOST_COPIED: usize = 3 * 1024 * 1024;
/// Levels of nesting that a patch may lead to; bodies are read to 127. Walks over objects are recursive, so a
/// patch that moves a document into itself again and again must not get far.
const MOST_LEVELS: usize = 128;

/// The operations of a patch, and the unknown fields in them.
///
/// # Errors
/// 413: too many. 400: no operation at all. 422: an unknown or incomplete operation.
pub(super) fn operations(patch: Node) -> Result<(Vec<PatchOperation>, Vec<String>), Failure> {
    let Node::List(items) = patch else { return Err(does_not_apply()) };
    if items.len() > MOST_OPERATIONS {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}",
            items.len()
        );
        return Err(Failure::new(413, "RequestEntityTooLarge", message));
    }
    let mut problems = Vec::new();
    let mut out = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let Node::Record(fields) = &item else {
            return Err(Failure::bad_request(format!(
                "error decoding patch: operation {index} is {}, not an object",
                item.described()
            )));
        };
        for (key, value) in fields {
            let is_text = matches!(value, Node::String(_));
            match key.as_str() {
                "value" => {}
                "op" | "path" | "from" if is_text => {}
                "op" | "path" | "from" => {
                    return Err(Failure::bad_request(format!(
                        "error decoding patch: {} of operation {index} is {}, not a string",
                        quoted(key),
                        value.described()
                    )));
                }
                _ if problems.len() >= MOST_PROBLEMS => {}
                _ => problems.push(field_problem("unknown", &format!("[{index}].{key}"))),
            }
        }
        out.push(serde_json::from_value(item.into_value()).map_err(|_| does_not_apply())?);
    }
    Ok((out, problems))
}

/// Applies the operations one after the other.
///
/// # Errors
/// 422 in upstream's one sentence: a failed test, a path that is not there, too much copied.
pub(super) fn apply(operations: &[PatchOperation], document: &mut Value) -> Result<(), Failure> {
    let mut copied = 0;
    let mut levels = depth(document);
    for operation in operations {
        levels = levels.max(levels_after(operation, document, levels)?);
        if let PatchOperation::Copy(copy) = operation {
            let source = document.pointer(copy.from.as_str()).ok_or_else(does_not_apply)?;
            copied += source.to_string().len();
            if copied > MOST_COPIED {
                return Err(does_not_apply());
            }
        }
        json_patch::patch(document, std::slice::from_ref(operation)).map_err(|_| does_not_apply())?;
    }
    Ok(())
}

/// How deep the place that an operation writes to may be afterwards, at most; refuses what goes too deep.
fn levels_after(operation: &PatchOperation, document: &Value, levels: usize) -> Result<usize, Failure> {
    let (below, from) = match operation {
        PatchOperation::Add(add) => return within(add.path.count() + depth(&add.value)),
        PatchOperation::Replace(replace) => return within(replace.path.count() + depth(&replace.value)),
        PatchOperation::Move(step) => (step.path.count(), &step.from),
        PatchOperation::Copy(step) => (step.path.count(), &step.from),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(levels),
    };
    let guess = below + levels.saturating_sub(from.count());
    if guess <= MOST_LEVELS {
        return Ok(guess);
    }
    let source = document.pointer(from.as_str()).ok_or_else(does_not_apply)?;
    within(below + depth(source))
}

fn within(levels: usize) -> Result<usize, Failure> {
    if levels > MOST_LEVELS { Err(does_not_apply()) } else { Ok(levels) }
}

/// Levels of lists and records; 0 for a scalar.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Clients know this sentence (recorded: patch/json-test-fail).
fn does_not_apply() -> Failure {
    let text = "the server rejected our request due to an error in our request";
    Failure { details: Some(Box::default()), ..Failure::new(422, "Invalid", text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patch(document: &mut Value, operations: Value) -> Result<(), Failure> {
        apply(&serde_json::from_value::<Vec<PatchOperation>>(operations).unwrap(), document)
    }

    #[test]
    fn a_document_cannot_be_moved_into_itself_without_end() {
        let round = [
            json!({ "op": "add", "path": "/b", "value": { "c": {} } }),
            json!({ "op": "move", "from": "/a", "path": "/b/c/d" }),
            json!({ "op": "move", "from": "/b", "path": "/a" }),
        ];
        let rounds = |count| Value::from_iter(std::iter::repeat_n(&round, count).flatten().cloned());
        let mut document = json!({ "a": {} });
        assert_eq!(patch(&mut document, rounds(3)), Ok(()));
        assert_eq!(depth(&document), 2 + 2 * 3);
        assert_eq!(patch(&mut document, rounds(3000)).unwrap_err().code, 422);
        assert!(depth(&document) <= MOST_LEVELS);
    }

    #[test]
    fn many_copies_to_one_level_below_are_no_depth() {
        let copies: Vec<Value> =
            (0..500).map(|i| json!({ "op": "copy", "from": "/a", "path": format!("/b/{i}") })).collect();
        let mut document = json!({ "a": { "x": 1 }, "b": {} });
        assert_eq!(patch(&mut document, Value::from(copies)), Ok(()));
        assert_eq!(depth(&document), 3);
    }
}
