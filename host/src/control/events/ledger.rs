//! Which occurrences belong to one event, and which events are over. Pure.

use super::{Occurrence, Weight};
use crate::registry::ObjectKey;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;

/// How long an event is kept after it was last seen, as upstream keeps it.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);
/// How many events are kept.
const KEPT_MAX: usize = 1_000;
/// Where events about objects without a namespace lie, as upstream has it.
const NAMESPACE: &str = "default";
/// The part of an object's name that is taken into the name of its events, in bytes.
const NAME_MAX: usize = 200;

/// What makes two occurrences the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Topic {
    kind: &'static str,
    object: ObjectKey,
    uid: String,
    weight: Weight,
    reason: String,
}

/// One event: how often the same has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// The event's name.
    pub(super) event: ObjectKey,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: i32,
}

/// All events that are kept.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    series: HashMap<Topic, Series>,
    /// Makes the names of events differ.
    stamp: i128,
}

impl Ledger {
    /// Counts an occurrence; returns its event, and those that have to go for it.
    pub(super) fn note(&mut self, occurrence: &Occurrence, now: Timestamp) -> (Series, Vec<ObjectKey>) {
        let mut gone = self.expire(now);
        let topic = topic(occurrence);
        if let Some(series) = self.series.get_mut(&topic) {
            series.last = now;
            series.count = series.count.saturating_add(1);
            return (series.clone(), gone);
        }
        while self.series.len() >= KEPT_MAX {
            let oldest = self.series.iter().min_by_key(|(_, series)| series.last);
            let oldest = oldest.map(|(topic, _)| topic.clone());
            gone.extend(oldest.and_then(|topic| self.series.remove(&topic)).map(|series| series.event));
        }
        self.stamp = now.as_nanosecond().max(self.stamp + 1);
        let object = &occurrence.object;
        let namespace = if object.namespace.is_empty() { NAMESPACE } else { &object.namespace };
        let name = &object.name[..object.name.floor_char_boundary(NAME_MAX)];
        let event = ObjectKey::new(namespace, format!("{name}.{:x}", self.stamp));
        let series = Series { event, first: now, last: now, count: 1 };
        self.series.insert(topic, series.clone());
        (series, gone)
    }

    /// The events that are over by now.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<ObjectKey> {
        let over = self.series.extract_if(|_, series| now.duration_since(series.last) >= KEPT_FOR);
        over.map(|(_, series)| series.event).collect()
    }
}

fn topic(occurrence: &Occurrence) -> Topic {
    Topic {
        kind: occurrence.kind.kind,
        object: occurrence.object.clone(),
        uid: occurrence.uid.clone(),
        weight: occurrence.tale.weight,
        reason: occurrence.tale.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::events::Tale;
    use crate::kind::plugin::KIND;

    fn occurrence(name: &str, reason: &str) -> Occurrence {
        let tale =
            Tale { weight: Weight::Normal, action: "Load", reason: reason.to_owned(), note: String::new() };
        let object = ObjectKey::new("", name);
        Occurrence { tale, kind: &KIND, object, uid: "u".to_owned(), reporter: "test" }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_same_is_counted_and_something_else_is_another_event() {
        let mut ledger = Ledger::default();
        let (first, _) = ledger.note(&occurrence("p", "A"), at(1));
        let (again, _) = ledger.note(&occurrence("p", "A"), at(2));
        assert_eq!((&again.event, again.first, again.last, again.count), (&first.event, at(1), at(2), 2));
        assert!(first.event.namespace == "default" && first.event.name.starts_with("p."), "{first:?}");
        for other in [occurrence("p", "B"), occurrence("q", "A")] {
            let (other, _) = ledger.note(&other, at(1));
            assert!(other.count == 1 && other.event != first.event, "{other:?}");
        }
    }

    #[test]
    fn an_event_is_over_an_hour_after_it_was_last_seen() {
        let mut ledger = Ledger::default();
        let (event, _) = ledger.note(&occurrence("p", "A"), at(0));
        ledger.note(&occurrence("p", "A"), at(600));
        assert_eq!(ledger.expire(at(4_199)), []);
        assert_eq!(ledger.expire(at(4_200)), [event.event]);
        assert_eq!(ledger.note(&occurrence("p", "A"), at(4_201)).0.count, 1, "a new series");
    }

    #[test]
    fn a_thousand_events_are_kept_and_the_oldest_goes_first() {
        let mut ledger = Ledger::default();
        let (oldest, _) = ledger.note(&occurrence("oldest", "A"), at(0));
        for number in 1..KEPT_MAX {
            let (_, gone) = ledger.note(&occurrence(&format!("p{number}"), "A"), at(1));
            assert_eq!(gone, []);
        }
        let (_, gone) = ledger.note(&occurrence(&"é".repeat(200), "A"), at(2));
        assert_eq!((gone, ledger.series.len()), (vec![oldest.event], KEPT_MAX));
    }
}
