//! What annotations ask for that has not been done yet. Pure.

use crate::decision::plugins::Deed;
use crate::kind::plugin::{ANNOTATION_PREFIX, DISABLED};
use crate::model::object::Object;
use crate::object::condition::time_text;
use jiff::Timestamp;
use serde_json::{Value, json};

/// What came of a deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) deed: Deed,
    /// The text of the annotation.
    pub(super) value: String,
    pub(super) result: Result<String, String>,
}

/// The deeds whose annotation has a text that was not handled before.
pub(super) fn pending(object: &Object) -> Vec<(Deed, String)> {
    let is_new = |deed: Deed| {
        let text = object.annotation(&format!("{ANNOTATION_PREFIX}{}", deed.word()))?;
        (!text.is_empty() && handled(object, deed) != Some(text)).then(|| (deed, text.to_owned()))
    };
    Deed::ALL.into_iter().filter_map(is_new).collect()
}

/// Whether the plugin shall be switched off.
pub(super) fn is_disabled(object: &Object) -> bool {
    object.annotation(DISABLED) == Some("true")
}

fn handled(object: &Object, deed: Deed) -> Option<&str> {
    let actions = object.at(&["status", "observedActions"])?.as_array()?;
    actions.iter().find(|action| action["action"] == deed.word())?["value"].as_str()
}

/// Notes outcomes in the list of observed actions.
pub(super) fn note(actions: &mut Vec<Value>, outcomes: &[Outcome], now: Timestamp) {
    for outcome in outcomes {
        let (word, message) = match &outcome.result {
            Ok(done) => ("Done", done),
            Err(cause) => ("Refused", cause),
        };
        let noted = json!({"action": outcome.deed.word(), "value": outcome.value, "time": time_text(now),
            "outcome": word, "message": message});
        actions.retain(|action| action["action"] != outcome.deed.word());
        actions.push(noted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_handled_once() {
        let mut object = Object::default();
        assert_eq!(pending(&object), []);
        object.set(&["metadata", "annotations", "plugins.umbel.dev/reload"], "1");
        let asked = pending(&object);
        assert_eq!(asked, [(Deed::Reload, "1".to_owned())]);
        let mut actions = Vec::new();
        let outcome = Outcome { deed: Deed::Reload, value: "1".to_owned(), result: Ok("done".to_owned()) };
        note(&mut actions, std::slice::from_ref(&outcome), Timestamp::UNIX_EPOCH);
        note(&mut actions, &[outcome], Timestamp::UNIX_EPOCH);
        assert_eq!(actions.len(), 1);
        object.set(&["status", "observedActions"], actions);
        assert_eq!(pending(&object), []);
        object.set(&["metadata", "annotations", "plugins.umbel.dev/reload"], "2");
        assert_eq!(pending(&object).len(), 1);
    }
}
