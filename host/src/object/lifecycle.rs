//! Create, update and status update: what is filled, what is restored, what is refused (contract §1.3, §1.4).

use jiff::Timestamp;
use serde_json::Value;

use super::{metadata, metadata_rules};
use crate::model::failure::{Failure, FieldError};
use crate::model::object::Object;
use crate::object::kind::Kind;

/// With these finalizers the garbage collector of Kubernetes keeps an object until its dependents are deleted
/// (`--cascade=foreground`) or released (`--cascade=orphan`).
const GARBAGE_COLLECTION: [&str; 2] = ["foregroundDeletion", "orphan"];

/// What a create needs from outside.
pub struct Birth<'a> {
    /// The namespace in the path; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The new object's UID.
    pub uid: &'a str,
    /// The time of the write.
    pub now: Timestamp,
    /// A number below its argument, for generated names.
    pub random: &'a mut dyn FnMut(usize) -> usize,
}

/// Prepares and validates a new object, after its managed fields were noted.
///
/// # Errors
/// 422 with every cause.
pub fn create(kind: &'static Kind, object: &mut Object, birth: Birth<'_>) -> Result<(), Failure> {
    metadata::fill_for_create(kind, object, birth.namespace, birth.uid, birth.now);
    metadata::generate_name(object, birth.random);
    clear_status(kind, object);
    kind.rules.prepare_for_create(object, birth.now);
    let mut errors = metadata_rules::check(kind, object);
    errors.extend(kind.rules.validate(object, None));
    refuse(kind, object, errors)
}

/// Prepares and validates a changed object: status and what the server keeps come from the stored one.
///
/// # Errors
/// 422 with every cause.
pub fn update(kind: &'static Kind, object: &mut Object, stored: &Object) -> Result<(), Failure> {
    if kind.has_status {
        restore(object, stored, "status");
    }
    metadata::keep_for_update(object, stored);
    let mut errors = metadata_rules::check_shared(kind, object);
    errors.extend(metadata_rules::check_change(object, stored));
    errors.extend(kind.rules.validate(object, Some(stored)));
    refuse(kind, object, errors)
}

/// Prepares and validates a changed status: everything else comes from the stored object.
///
/// # Errors
/// 422 with every cause.
pub fn update_status(kind: &'static Kind, object: &mut Object, stored: &Object) -> Result<(), Failure> {
    restore(object, stored, "spec");
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        metadata::restore(object, stored, field);
    }
    metadata::keep_for_update(object, stored);
    let mut errors = metadata_rules::check_shared(kind, object);
    errors.extend(metadata_rules::check_change(object, stored));
    errors.extend(kind.rules.validate_status(object, stored));
    refuse(kind, object, errors)
}

/// Removes the finalizers of the garbage collector from an object that is being deleted.
///
/// Objects of the gateway have no dependents, so the work that these finalizers wait for is already done. Without
/// this function they would never be removed: the gateway does not run a garbage collector.
pub fn remove_garbage_collection_finalizers(object: &mut Object) {
    let Some(Value::Array(mut finalizers)) = object.take(&["metadata", "finalizers"]) else { return };
    finalizers.retain(|finalizer| !GARBAGE_COLLECTION.iter().any(|name| finalizer == name));
    if !finalizers.is_empty() {
        object.set(&["metadata", "finalizers"], finalizers);
    }
}

fn clear_status(kind: &Kind, object: &mut Object) {
    if kind.has_status {
        object.set(&["status"], serde_json::Map::new());
    }
}

fn restore(object: &mut Object, stored: &Object, field: &str) {
    match stored.at(&[field]) {
        Some(value) => object.set(&[field], value.clone()),
        None => {
            object.take(&[field]);
        }
    }
}

fn refuse(kind: &Kind, object: &Object, errors: Vec<FieldError>) -> Result<(), Failure> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(kind.group, kind.kind, object.name(), &errors))
}

#[cfg(test)]
mod tests;
