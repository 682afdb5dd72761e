//! What the server fills in `metadata`.

use jiff::Timestamp;

use crate::model::object::Object;
use crate::object::condition::time_text;
use crate::object::kind::Kind;

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

/// Keeps in a changed object what only the server writes.
pub fn keep_for_update(object: &mut Object, stored: &Object) {
    let mut keep = |field: &str| {
        if let Some(value) = stored.at(&["metadata", field]) {
            object.set(&["metadata", field], value.clone());
        }
    };
    keep("creationTimestamp");
    keep("deletionTimestamp");
    restore(object, stored, "generation");
    if stored.uid().is_empty() {
        return;
    }
    for field in ["uid", "deletionGracePeriodSeconds"] {
        if object.at(&["metadata", field]).is_none() {
            restore(object, stored, field);
        }
    }
}

/// Gives a field of the metadata back its stored value, or its absence.
pub fn restore(object: &mut Object, stored: &Object, field: &str) {
    match stored.at(&["metadata", field]) {
        Some(value) => object.set(&["metadata", field], value.clone()),
        None => {
            object.take(&["metadata", field]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::{api_service, external_name};

    fn object(metadata: serde_json::Value) -> Object {
        Object::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[test]
    fn a_new_object_gets_its_identity_from_the_server() {
        let mut new = object(json!({
            "name": "a", "namespace": "x", "uid": "mine", "creationTimestamp": "2000-01-01T00:00:00Z",
            "deletionTimestamp": "2000-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3,
        }));
        let mut namespaced = new.clone();
        fill_for_create(&api_service::KIND, &mut new, "", "u", Timestamp::UNIX_EPOCH);
        let wanted = json!({"name": "a", "uid": "u", "creationTimestamp": "1970-01-01T00:00:00Z"});
        assert_eq!(new, object(wanted));
        fill_for_create(&external_name::KIND, &mut namespaced, "n", "u", Timestamp::UNIX_EPOCH);
        assert_eq!(namespaced.namespace(), "n");
    }

    #[test]
    fn names_are_generated_from_the_alphabet_and_stay_short() {
        let mut new = object(json!({"generateName": format!("{}é", "x".repeat(57))}));
        let mut next = 0;
        generate_name(&mut new, &mut |below| {
            next = (next + 1) % below;
            next
        });
        assert_eq!(new.name(), format!("{}cdfgh", "x".repeat(57)));
        let mut named = object(json!({"name": "a", "generateName": "b-"}));
        generate_name(&mut named, &mut |_| 0);
        assert_eq!(named.name(), "a");
    }

    #[test]
    fn an_update_cannot_touch_what_the_server_writes() {
        let stored = object(json!({
            "uid": "u", "creationTimestamp": "2000-01-01T00:00:00Z",
            "deletionTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0,
        }));
        let mut changed = object(json!({"creationTimestamp": "1999-01-01T00:00:00Z"}));
        keep_for_update(&mut changed, &stored);
        assert_eq!(changed, stored);
    }
}
