//! Telling of a conflict on the object that it is about: as a condition where the kind has conditions, as an
//! annotation otherwise.

use super::declared::Origin;
use super::{CONFLICT, CONFLICT_CONDITION, MARK};
use crate::kind::Kind;
use crate::model::object::Object;
use crate::object::condition;
use jiff::Timestamp;
use serde_json::Value;

/// Why a file does not have its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// One word in CamelCase.
    pub(super) reason: &'static str,
    /// For people: what, where, how to mend it.
    pub(super) message: String,
}

impl Conflict {
    pub(super) fn made_by_hand(origin: &Origin) -> Self {
        let message = format!(
            "declared in {origin}, but made by hand, so it is left alone: delete it, or give it to the file with the annotation {MARK}={}",
            origin.file
        );
        Self { reason: "MadeByHand", message }
    }

    pub(super) fn declared_twice(winner: &Origin, other: &Origin) -> Self {
        let message =
            format!("declared in {winner} and again in {other}: the first has it, take out the other");
        Self { reason: "DeclaredTwice", message }
    }
}

/// Whether an object tells of exactly this conflict already.
pub(super) fn tells(kind: &Kind, object: &Object, conflict: Option<&Conflict>) -> bool {
    if kind.has_status {
        let told = condition::find(object, CONFLICT_CONDITION);
        match (told, conflict) {
            (None, None) => true,
            (Some(told), Some(conflict)) => {
                told.reason == conflict.reason && told.message == conflict.message
            }
            _ => false,
        }
    } else {
        object.annotation(CONFLICT) == conflict.map(|c| c.message.as_str())
    }
}

/// Makes an object tell of a conflict, or of none.
pub(super) fn tell(kind: &Kind, object: &mut Object, conflict: Option<&Conflict>, now: Timestamp) {
    match (kind.has_status, conflict) {
        (true, Some(conflict)) => {
            let told = condition::Condition {
                kind: CONFLICT_CONDITION,
                status: "True",
                reason: conflict.reason,
                message: &conflict.message,
            };
            condition::set(object, told, now);
        }
        (true, None) => {
            if let Some(Value::Array(mut list)) = object.take(&["status", "conditions"]) {
                list.retain(|entry| entry["type"] != CONFLICT_CONDITION);
                if !list.is_empty() {
                    object.set(&["status", "conditions"], list);
                }
            }
        }
        (false, Some(conflict)) => {
            object.set(&["metadata", "annotations", CONFLICT], conflict.message.as_str());
        }
        (false, None) => {
            object.take(&["metadata", "annotations", CONFLICT]);
        }
    }
}
