//! The rules of `metadata`.

use jiff::Timestamp;

use crate::kind::Kind;
use crate::kind::condition::time_text;
use crate::model::failure::FieldError;
use crate::model::object::Object;

const GENERATED_LENGTH: usize = 5;
const GENERATED_BASE: usize = 58;
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Gives a new object its identity; what a client wrote there is dropped.
pub fn fill_for_create(kind: &Kind, object: &mut Object, namespace: &str, uid: &str, now: Timestamp) {
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        object.take(&["metadata", field]);
    }
    if kind.is_namespaced() {
        object.set(&["metadata", "namespace"], namespace);
    } else {
        object.take(&["metadata", "namespace"]);
    }
    object.set(&["metadata", "uid"], uid);
    object.set(&["metadata", "creationTimestamp"], time_text(now));
}

/// Completes `generateName` to a name, when there is no name. `random` returns a number below its argument.
pub fn generate_name(object: &mut Object, random: &mut dyn FnMut(usize) -> usize) {
    let base = object.text(&["metadata", "generateName"]).to_owned();
    if !object.name().is_empty() || base.is_empty() {
        return;
    }
    let mut end = base.len().min(GENERATED_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    for _ in 0..GENERATED_LENGTH {
        let index = random(ALPHABET.len()).min(ALPHABET.len() - 1);
        name.push(char::from(ALPHABET[index]));
    }
    object.set(&["metadata", "name"], name);
}

/// What is wrong with the metadata of a new object.
pub fn validate_for_create(kind: &Kind, object: &Object) -> Vec<FieldError> {
    let _ = kind;
    if object.name().is_empty() {
        return vec![FieldError::required("metadata.name", "name or generateName is required")];
    }
    Vec::new()
}

/// What is wrong with the change of metadata.
pub fn validate_for_update(kind: &Kind, object: &Object, stored: &Object) -> Vec<FieldError> {
    let _ = stored;
    validate_for_create(kind, object)
}
