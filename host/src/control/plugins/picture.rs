//! The object that shows a plugin. Pure.

use super::asked::{self, Outcome};
use super::aspects;
use crate::decision::plugins::PluginView;
use crate::kind::plugin::KIND;
use crate::model::object::Object;
use crate::object::condition::{self, time_text};
use crate::object::decode::complete;
use jiff::Timestamp;
use serde_json::{Value, json};

/// How many changes of state are kept.
const HISTORY_MAX: usize = 16;
/// What counts up while nothing happens.
const COUNTERS: [&str; 4] = ["calls", "faults", "lastFault", "message"];

/// The object as it should be, made from the one that is stored.
pub(super) fn picture(
    view: &PluginView,
    stored: Option<&Object>,
    outcomes: &[Outcome],
    now: Timestamp,
) -> Object {
    let mut object = stored.cloned().unwrap_or_default();
    object.set(&["apiVersion"], KIND.api_version());
    object.set(&["kind"], KIND.kind);
    object.set(&["metadata", "name"], view.name.as_str());
    let list = |field: &str| match stored.and_then(|object| object.at(&["status", field])) {
        Some(Value::Array(list)) => list.clone(),
        _ => Vec::new(),
    };
    let (conditions, mut actions, mut history) =
        (list("conditions"), list("observedActions"), list("history"));
    asked::note(&mut actions, outcomes, now);
    note_transition(&mut history, view, now);
    let kinds: Vec<&str> = view.interfaces.iter().filter_map(|interface| kind_of(interface)).collect();
    let steps = view.steps.iter().map(|(step, took)| json!({"step": step, "milliseconds": took}));
    let steps: Vec<Value> = steps.collect();
    let bindings = view.bindings.iter();
    let bindings: Vec<Value> = bindings
        .map(|[object, kind, policy]| json!({"object": object, "kind": kind, "policy": policy}))
        .collect();
    object.set(&["spec"], view.manifest.clone());
    object.set(
        &["status"],
        json!({
            "state": view.state, "since": time_text(view.since), "steps": steps, "reason": view.reason, "message": view.message, "mend": view.mend,
            "generation": view.generation, "digest": view.digest, "path": view.path, "kinds": kinds,
            "interfaces": view.interfaces, "version": view.version, "description": view.description,
            "calls": view.calls, "faults": view.faults, "lastFault": view.last_fault,
            "bindings": bindings, "rehearsal": view.rehearsal,
            "conditions": conditions, "observedActions": actions, "history": history,
        }),
    );
    for aspect in aspects::of(view) {
        condition::set(&mut object, aspect.as_condition(), now);
    }
    complete(&KIND, object.into_value())
}

/// `resolver` for `umbel:resolver/resolver@0.1.0`.
fn kind_of(interface: &str) -> Option<&str> {
    let kind = interface.split_once(':')?.1.split_once('/')?.0;
    (kind != "lifecycle").then_some(kind)
}

fn note_transition(history: &mut Vec<Value>, view: &PluginView, now: Timestamp) {
    let is_last = history.last().is_some_and(|last| {
        let text = |field: &str| last[field].as_str().unwrap_or_default();
        text("state") == view.state
            && text("reason") == view.reason
            && last["generation"].as_u64().unwrap_or_default() == view.generation
    });
    if is_last {
        return;
    }
    history.push(json!({"time": time_text(now), "state": view.state, "generation": view.generation,
        "reason": view.reason, "message": view.message}));
    let surplus = history.len().saturating_sub(HISTORY_MAX);
    history.drain(..surplus);
}

/// Whether two objects differ in counters at most.
pub(super) fn is_same_but_for_counters(one: &Object, other: &Object) -> bool {
    let settled = |object: &Object| {
        let mut object = object.clone();
        object.take(&["metadata"]);
        for counter in COUNTERS {
            object.take(&["status", counter]);
        }
        if let Some(conditions) = object.0.get_mut("status").and_then(|s| s["conditions"].as_array_mut()) {
            for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
                condition.remove("message");
            }
        }
        object
    };
    settled(one) == settled(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::plugins::Newest;
    use crate::kind::plugin::{LOADED, SERVING};

    fn view() -> PluginView {
        PluginView {
            name: "p".to_owned(),
            manifest: json!({"settings": {"a": 1}, "unknown": 1}),
            state: "Active".to_owned(),
            serves: true,
            newest: Newest::Loaded,
            generation: 2,
            interfaces: vec![
                "umbel:lifecycle/lifecycle@0.1.0".into(),
                "umbel:resolver/resolver@0.1.0".into(),
            ],
            ..PluginView::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn counters_alone_are_no_news() {
        let first = picture(&view(), None, &[], at(1));
        assert_eq!(first.at(&["status", "kinds"]), Some(&json!(["resolver"])));
        assert_eq!(first.at(&["spec"]), Some(&json!({"settings": {"a": 1}})));
        assert_eq!(picture(&view(), Some(&first), &[], at(2)), first, "nothing happened");
        let counted = picture(&PluginView { calls: 7, ..view() }, Some(&first), &[], at(3));
        assert!(counted != first && is_same_but_for_counters(&first, &counted));
    }

    #[test]
    fn a_rejection_tells_its_mend_and_what_serves() {
        let first = picture(&view(), None, &[], at(1));
        let rejected = PluginView {
            newest: Newest::Refused,
            state: "Rejected".to_owned(),
            reason: "NotAComponent".to_owned(),
            message: "the file is empty".to_owned(),
            mend: "build it".to_owned(),
            ..view()
        };
        let shown = picture(&rejected, Some(&first), &[], at(5));
        assert!(!is_same_but_for_counters(&first, &shown));
        let (serving, loaded) =
            (condition::find(&shown, SERVING).unwrap(), condition::find(&shown, LOADED).unwrap());
        assert_eq!((serving.status, serving.reason), ("True", "OlderGeneration"));
        assert_eq!((loaded.status, loaded.reason), ("False", "NotAComponent"));
        assert_eq!(loaded.message, "the file is empty; to mend it: build it");
        let history = shown.at(&["status", "history"]).and_then(Value::as_array).unwrap();
        assert_eq!(history.len(), 2);
        assert_eq!(history[1]["time"], "1970-01-01T00:00:05Z");
    }
}
