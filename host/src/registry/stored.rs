//! Objects as the store keeps them: JSON without `metadata.resourceVersion`, which is the record's revision.

use crate::kind::Kind;
use crate::model::failure::{Failure, quoted};
use crate::model::object::Object;
use crate::store::{Revision, StoreError};
use bytes::Bytes;
use serde_json::Value;

/// The largest object that is kept, in bytes of JSON: as much as a request body may bring.
pub const OBJECT_MAX: usize = 3 * 1024 * 1024;

/// Writes an object down for the store in place of `before` bytes. 413 beyond [`OBJECT_MAX`], unless it shrinks.
pub(super) fn encode_bounded(kind: &Kind, object: &Object, before: usize) -> Result<Bytes, Failure> {
    let written = encode(object)?;
    if written.len() <= OBJECT_MAX || written.len() < before {
        return Ok(written);
    }
    let message = format!(
        "Request entity too large: {} {} would take {} bytes, the limit for one object is {OBJECT_MAX}: \
         shorten its largest fields",
        kind.plural,
        quoted(object.name()),
        written.len()
    );
    let refused = Failure::new(413, "RequestEntityTooLarge", message);
    Err(refused.about(object.name(), kind.group, kind.plural))
}

/// Writes an object down for the store, however large it is.
pub(super) fn encode(object: &Object) -> Result<Bytes, Failure> {
    let mut kept = object.clone();
    kept.take(&["metadata", "resourceVersion"]);
    serde_json::to_vec(&kept.into_value()).map(Bytes::from).map_err(Failure::internal)
}

/// Reads an object as of `revision`.
pub(super) fn decode(key: &str, value: &[u8], revision: Revision) -> Result<Object, Failure> {
    let damaged = |why: &dyn std::fmt::Display| {
        Failure::internal(format!("the stored object {key} cannot be read: {why}; run `umbel store verify`"))
    };
    let value: Value = serde_json::from_slice(value).map_err(|e| damaged(&e))?;
    let mut object = Object::from_value(value).map_err(|_| damaged(&"it is no JSON object"))?;
    stamp(&mut object, revision);
    Ok(object)
}

/// Sets the resource version.
pub(super) fn stamp(object: &mut Object, revision: Revision) {
    object.set(&["metadata", "resourceVersion"], revision.to_string());
}

/// A failure of the medium, as clients see it.
pub(super) fn medium_failure(error: &StoreError) -> Failure {
    Failure::internal(format!("the store refuses: {error}"))
}
