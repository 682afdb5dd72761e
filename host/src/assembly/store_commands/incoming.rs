//! Documents of an import: what they must be, and what is filled in.

use crate::kind::{self, Kept, Kind};
use crate::model::failure::Failure;
use crate::model::failure_policy;
use crate::model::object::Object;
use crate::object::condition::time_text;
use crate::object::decode::{Encoding, FieldValidation, decode_object};
use crate::object::metadata_rules;
use crate::object::yaml_stream::{Place, StreamError};
use crate::registry::{OBJECT_MAX, ObjectKey};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the server fills in besides the status.
const SERVER_FIELDS: [&[&str]; 4] = [
    &["metadata", "uid"],
    &["metadata", "creationTimestamp"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
];

/// An object that may be written.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) key: String,
    pub(super) object: Object,
    kind: &'static Kind,
    /// Whether the document itself has a status; decoding may have added an empty one.
    has_status: bool,
    place: Place,
    /// What of it does nothing, for people.
    pub(super) warning: Option<String>,
}

/// How many problems of a stream are shown; the others are counted.
const MAX_PROBLEMS: usize = 20;

/// Checks every document before anything is written.
///
/// # Errors
/// The first problems, each with the position of its document, and how many more there are. For a broken stream, only
/// that error.
pub(super) fn read_all(
    documents: impl Iterator<Item = Result<(Place, Object), StreamError>>,
) -> Result<Vec<Incoming>, Vec<String>> {
    let (mut problems, mut more) = (Vec::new(), 0);
    let mut add = |problem: String| match problems.len() {
        MAX_PROBLEMS => more += 1,
        _ => problems.push(problem),
    };
    let mut found: BTreeMap<String, Incoming> = BTreeMap::new();
    for document in documents {
        let (place, object) = document.map_err(|error| vec![error.to_string()])?;
        match read(place, &object) {
            Err(causes) => causes.into_iter().for_each(|cause| add(format!("{place}: {cause}"))),
            Ok(incoming) => {
                if let Some(first) = found.get(&incoming.key) {
                    add(format!("{place}: the same object as in {}", first.place));
                }
                found.insert(incoming.key.clone(), incoming);
            }
        }
    }
    if more > 0 {
        problems.push(format!("{more} more problems are not shown"));
    }
    if problems.is_empty() { Ok(found.into_values().collect()) } else { Err(problems) }
}

fn read(place: Place, object: &Object) -> Result<Incoming, Vec<String>> {
    let (api_version, name) = (object.text(&["apiVersion"]), object.text(&["kind"]));
    let kind = kind::find_by_name(api_version, name).filter(|kind| kind.kept == Kept::InStore);
    let kind = kind.ok_or_else(|| vec![unknown_kind(api_version, name)])?;
    let has_status = object.at(&["status"]).is_some();
    let refuse = |failure: Failure| vec![failure.message];
    let body = serde_json::to_vec(&object.0).map_err(|error| vec![error.to_string()])?;
    if body.len() > OBJECT_MAX {
        return Err(vec![format!(
            "{name} {:?} takes {} bytes, the limit for one object is {OBJECT_MAX}: shorten its largest fields",
            object.name(),
            body.len()
        )]);
    }
    let decoded = decode_object(kind, &body, Encoding::Json).map_err(refuse)?;
    let (mut object, _) = decoded.accept(FieldValidation::Strict).map_err(refuse)?;
    object.take(&["metadata", "resourceVersion"]);
    let mut errors = metadata_rules::check(kind, &object);
    errors.extend(kind.rules.validate(&object, None));
    // An export holds what was stored before the rule came; it must find its way back.
    let tolerated = failure_policy::refusal(&object, None);
    errors.retain(|error| Some(error) != tolerated.as_ref());
    if !errors.is_empty() {
        return Err(vec![Failure::invalid(kind.group, kind.kind, object.name(), &errors).message]);
    }
    if !kind.is_namespaced() && !object.namespace().is_empty() {
        return Err(vec![format!("metadata.namespace: {name} objects have no namespace: leave it out")]);
    }
    let key = ObjectKey::new(object.namespace(), object.name()).path(kind);
    let warning = failure_policy::complaint(&object).map(|text| format!("{place}: {text}"));
    Ok(Incoming { key, object, kind, has_status, place, warning })
}

fn unknown_kind(api_version: &str, name: &str) -> String {
    let known = kind::ALL.iter().filter(|kind| kind.kept == Kept::InStore);
    let known: Vec<_> = known.map(|kind| format!("{} {}", kind.api_version(), kind.kind)).collect();
    format!(
        "apiVersion {api_version:?}, kind {name:?}: Umbel keeps no such objects, only {}",
        known.join(" and ")
    )
}

impl Incoming {
    /// The object to write: what a hand-written document leaves to the server is taken from what is stored, or
    /// made anew.
    pub(super) fn complete(self, stored: Option<&Object>, now: Timestamp) -> Object {
        let mut object = self.object;
        for path in SERVER_FIELDS {
            if object.at(path).is_none_or(Value::is_null)
                && let Some(value) = stored.and_then(|stored| stored.at(path))
            {
                object.set(path, value.clone());
            }
        }
        if !self.has_status {
            match stored {
                Some(stored) => restore_status(&mut object, stored),
                None => self.kind.rules.prepare_for_create(&mut object, now),
            }
        }
        if object.uid().is_empty() {
            object.set(&["metadata", "uid"], uuid::Uuid::new_v4().to_string());
        }
        if object.at(&["metadata", "creationTimestamp"]).is_none_or(Value::is_null) {
            object.set(&["metadata", "creationTimestamp"], time_text(now));
        }
        object
    }
}

fn restore_status(object: &mut Object, stored: &Object) {
    object.take(&["status"]);
    if let Some(status) = stored.at(&["status"]) {
        object.set(&["status"], status.clone());
    }
}
