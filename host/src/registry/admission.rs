//! What every write goes through, in upstream's order: ownership, preparation, validation (contract §1.3, §1.4).

use super::options::Part;
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::object::lifecycle::{self, Birth};
use crate::object::managed_fields::{Writer, record_write};
use jiff::Timestamp;

/// Completes and checks a new object.
pub(super) fn admit_new(
    kind: &'static Kind,
    namespace: &str,
    mut object: Object,
    manager: &str,
    now: Timestamp,
) -> Result<Object, Failure> {
    let given = object.namespace();
    if kind.is_namespaced() && !given.is_empty() && given != namespace {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Failure::bad_request(message));
    }
    record_write(kind, None, &mut object, Writer { manager, subresource: "", now });
    let uid = uuid::Uuid::new_v4().to_string();
    let mut random = |below: usize| fastrand::usize(..below.max(1));
    lifecycle::create(kind, &mut object, Birth { namespace, uid: &uid, now, random: &mut random })?;
    Ok(object)
}

/// Completes and checks the new state of a stored object.
pub(super) fn admit_change(
    kind: &'static Kind,
    part: Part,
    current: &Object,
    mut object: Object,
    manager: &str,
    now: Timestamp,
) -> Result<Object, Failure> {
    let subresource = match part {
        Part::Main => "",
        Part::Status => "status",
    };
    record_write(kind, Some(current), &mut object, Writer { manager, subresource, now });
    match part {
        Part::Main => lifecycle::update(kind, &mut object, current)?,
        Part::Status => lifecycle::update_status(kind, &mut object, current)?,
    }
    Ok(object)
}
