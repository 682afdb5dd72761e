//! Watches: what was stored becomes `ADDED`, `MODIFIED`, `DELETED` for one selector (contract §7.9).

use super::freshness::wait_for;
use super::key::prefix;
use super::options::{ListOptions, Selector, WatchOptions, WatchStart};
use super::{Registry, stored};
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::store::{Event, Revision, StoreError, Watch, WatchItem};
use std::collections::VecDeque;

/// What a watcher learns.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectEvent {
    /// The object is there, or matches from now on.
    Added(Object),
    /// The object changed.
    Modified(Object),
    /// The object is gone, or matches no longer; its last matching state, at the revision of the change.
    Deleted(Object),
    /// Everything that was there at the start has been delivered.
    Synced(Revision),
    /// Every change up to this revision has been delivered.
    Progress(Revision),
}

/// A running watch. Dropping it ends it.
pub struct ObjectWatch {
    initial: VecDeque<Object>,
    /// The revision of the initial objects, until it is announced.
    unannounced: Option<Revision>,
    selector: Selector,
    changes: Box<dyn Watch>,
    /// Every change up to this revision has been delivered.
    reached: Revision,
}

impl std::fmt::Debug for ObjectWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectWatch").field("reached", &self.reached).finish_non_exhaustive()
    }
}

impl Registry {
    /// Watches objects of a kind.
    ///
    /// # Errors
    /// 410 when the start is no longer kept, 504 when it lies ahead for more than three seconds.
    pub async fn watch(&self, kind: &'static Kind, options: WatchOptions) -> Result<ObjectWatch, Failure> {
        let prefix = prefix(kind, &options.namespace);
        let mut initial = VecDeque::new();
        let mut unannounced = None;
        let start = match options.start {
            WatchStart::Current | WatchStart::CurrentNotOlderThan(_) => {
                if let WatchStart::CurrentNotOlderThan(wanted) = options.start {
                    wait_for(self.store_of(kind), wanted).await?;
                }
                let selector = options.selector.clone();
                let namespace = options.namespace.clone();
                let wanted = ListOptions { namespace, selector, ..ListOptions::default() };
                let list = self.list(kind, &wanted).await?;
                initial.extend(list.objects);
                unannounced = Some(list.revision);
                list.revision
            }
            WatchStart::After(revision) => {
                wait_for(self.store_of(kind), revision).await?;
                revision
            }
            WatchStart::Now => self.store_of(kind).revision(),
        };
        let changes = self.store_of(kind).watch(prefix, start).await.map_err(|e| expiry(&e, start))?;
        Ok(ObjectWatch { initial, unannounced, selector: options.selector, changes, reached: start })
    }
}

impl ObjectWatch {
    /// The revision that the watch has delivered everything up to; `None` while initial objects are left.
    pub fn position(&self) -> Option<Revision> {
        self.unannounced.is_none().then_some(self.reached)
    }

    /// The next event. Cancel safe. After a failure the watch is over; 410 means: list again.
    pub async fn next(&mut self) -> Result<ObjectEvent, Failure> {
        if let Some(object) = self.initial.pop_front() {
            return Ok(ObjectEvent::Added(object));
        }
        if let Some(revision) = self.unannounced.take() {
            return Ok(ObjectEvent::Synced(revision));
        }
        match self.changes.next().await.map_err(|e| expiry(&e, self.reached))? {
            WatchItem::Progress(revision) => {
                self.reached = revision;
                Ok(ObjectEvent::Progress(revision))
            }
            WatchItem::Event(event) => {
                self.reached = event.revision;
                // A change that means nothing to the selector is delivered by passing over it.
                Ok(translate(&self.selector, &event)?.unwrap_or(ObjectEvent::Progress(event.revision)))
            }
        }
    }
}

/// What one change means to a selector; `None` when it means nothing.
fn translate(selector: &Selector, event: &Event) -> Result<Option<ObjectEvent>, Failure> {
    let read = |value: &bytes::Bytes| stored::decode(&event.key, value, event.revision);
    let matching = |value: &Option<bytes::Bytes>| -> Result<Option<Object>, Failure> {
        Ok(value.as_ref().map(read).transpose()?.filter(|object| selector.matches(object)))
    };
    Ok(match (matching(&event.previous)?, matching(&event.value)?) {
        (None, Some(now)) => Some(ObjectEvent::Added(now)),
        (Some(_), Some(now)) => Some(ObjectEvent::Modified(now)),
        (Some(before), None) => Some(ObjectEvent::Deleted(before)),
        (None, None) => None,
    })
}

fn expiry(error: &StoreError, start: Revision) -> Failure {
    match error {
        StoreError::Compacted { oldest, .. } => {
            Failure::expired(format!("too old resource version: {start} ({oldest})"))
        }
        other => stored::medium_failure(other),
    }
}
