//! Writes events down, and removes those that are over.

use super::ledger::{Ledger, Series};
use super::{NOTE_MAX, Occurrence, shorten};
use crate::kind::event::KIND;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::object::condition::micro_time_text;
use crate::observe::{Supervisor, failpoint};
use crate::registry::{ObjectKey, Registry};
use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Who writes the objects.
const MANAGER: &str = "umbel";
/// How often is looked for events that are over.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Works until everybody who records is gone.
pub(super) async fn run(registry: Registry, mut occurrences: mpsc::Receiver<Occurrence>) {
    let mut supervisor = Supervisor::new("writing events");
    while supervisor.must_restart(write_all(&registry, &mut occurrences)).await {}
}

async fn write_all(registry: &Registry, occurrences: &mut mpsc::Receiver<Occurrence>) {
    failpoint("control.events");
    let mut ledger = Ledger::default();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let written = tokio::select! {
            occurrence = occurrences.recv() => match occurrence {
                Some(occurrence) => write(registry, &mut ledger, &occurrence).await,
                None => return,
            },
            _ = looks.tick() => drop_all(registry, ledger.expire(Timestamp::now())).await,
        };
        if let Err(failure) = written {
            tracing::warn!(cause = failure.message, "an event could not be written down");
        }
    }
}

async fn write(registry: &Registry, ledger: &mut Ledger, occurrence: &Occurrence) -> Result<(), Failure> {
    let (series, gone) = ledger.note(occurrence, Timestamp::now());
    drop_all(registry, gone).await?;
    registry.keep(&KIND, &series.event, MANAGER, |before| picture(occurrence, &series, before)).await?;
    Ok(())
}

async fn drop_all(registry: &Registry, events: Vec<ObjectKey>) -> Result<(), Failure> {
    for event in events {
        registry.drop_kept(&KIND, &event).await?;
    }
    Ok(())
}

/// The event as the API shows it.
fn picture(occurrence: &Occurrence, series: &Series, before: Option<&Object>) -> Object {
    let mut event = before.cloned().unwrap_or_default();
    let Occurrence { tale, kind, object, uid, reporter } = occurrence;
    let mut regarding = json!({"kind": kind.kind, "apiVersion": kind.api_version(), "name": object.name});
    for (field, text) in [("namespace", &object.namespace), ("uid", uid)] {
        if !text.is_empty() {
            regarding[field] = text.as_str().into();
        }
    }
    event.set(&["apiVersion"], KIND.api_version());
    event.set(&["kind"], KIND.kind);
    event.set(&["metadata", "name"], series.event.name.as_str());
    event.set(&["eventTime"], micro_time_text(series.first));
    if series.count > 1 {
        let last = micro_time_text(series.last);
        event.set(&["series"], json!({"count": series.count, "lastObservedTime": last}));
    }
    event.set(&["reportingController"], *reporter);
    event.set(&["reportingInstance"], format!("umbel-{}", std::process::id()));
    event.set(&["action"], tale.action);
    event.set(&["reason"], tale.reason.as_str());
    event.set(&["regarding"], regarding);
    event.set(&["note"], shorten(&tale.note, NOTE_MAX));
    event.set(&["type"], tale.weight.as_str());
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::events::{Tale, Weight, start};
    use crate::kind::plugin;
    use crate::registry::{ListOptions, ObjectEvent, WatchOptions};
    use crate::store::MemoryStore;
    use std::sync::Arc;

    fn occurrence(note: &str) -> Occurrence {
        let tale = Tale {
            weight: Weight::Warning,
            action: "Load",
            reason: "TooLarge".to_owned(),
            note: note.to_owned(),
        };
        let object = ObjectKey::new("", "p");
        Occurrence { tale, kind: &plugin::KIND, object, uid: "u".to_owned(), reporter: "umbel.dev/plugins" }
    }

    #[tokio::test]
    async fn what_happens_again_changes_one_event_and_touches_no_store() {
        let store = Arc::new(MemoryStore::default());
        let registry = Registry::new(store);
        let mut watch = registry.watch(&KIND, WatchOptions::default()).await.unwrap();
        assert!(matches!(watch.next().await, Ok(ObjectEvent::Synced(_))));
        let (recorder, _events) = start(registry.clone());
        recorder.record(occurrence("first"));
        let Ok(ObjectEvent::Added(first)) = watch.next().await else { panic!("no event") };
        assert_eq!((first.namespace(), first.text(&["note"])), ("default", "first"));
        assert_eq!(first.at(&["series"]), None);
        let regarding =
            json!({"kind": "Plugin", "apiVersion": "plugins.umbel.dev/v1alpha1", "name": "p", "uid": "u"});
        assert_eq!(first.at(&["regarding"]), Some(&regarding));
        recorder.record(occurrence("second"));
        let Ok(ObjectEvent::Modified(second)) = watch.next().await else { panic!("no second event") };
        assert_eq!((second.name(), second.text(&["note"])), (first.name(), "second"));
        assert_eq!(second.at(&["series", "count"]), Some(&json!(2)));
        assert_eq!(registry.revision(), 0, "nothing of it is kept for good");
        assert_eq!(registry.list(&KIND, &ListOptions::default()).await.unwrap().objects.len(), 1);
    }
}
