//! JSON patch (RFC 6902) with upstream's limits and refusals.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::model::failure::Failure;
use crate::model::failure::quoted;
use crate::object::node::{MOST_PROBLEMS, Node};

/// Most operations of one patch.
const MOST_OPERATIONS: usize = 10_000;
/// Bytes that all `copy` operations of one patch may add.
const MOST_COPIED: usize = 3 * 1024 * 1024;

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
                _ => problems.push(format!("unknown field {}", quoted(&format!("[{index}].{key}")))),
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
    for operation in operations {
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

/// Clients know this sentence (recorded: patch/json-test-fail).
fn does_not_apply() -> Failure {
    let text = "the server rejected our request due to an error in our request";
    Failure { details: Some(Box::default()), ..Failure::new(422, "Invalid", text) }
}
