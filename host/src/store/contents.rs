//! What a store holds in memory: the newest values, and the changes that led there as far as they are kept.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::change::{Change, Stored};
use super::{HistoryBound, ListRequest, Page, Record, Revision, StoreError};

/// Ordered values with their recent history. Pure: the callers lock, commit and wake.
///
/// The history has no gaps: it holds exactly the changes `compacted + 1 ..= revision`.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    values: BTreeMap<Arc<str>, Stored>,
    history: VecDeque<Change>,
    history_bytes: usize,
    revision: Revision,
    compacted: Revision,
}

/// What comes next for a watcher.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Following<'a> {
    Change(&'a Change),
    CaughtUp(Revision),
}

impl Contents {
    /// Takes over what was read back from a medium. `history` must hold exactly the changes after `compacted`.
    pub(crate) fn restore(
        values: BTreeMap<Arc<str>, Stored>,
        history: VecDeque<Change>,
        compacted: Revision,
    ) -> Self {
        let revision = history.back().map_or(compacted, |change| change.revision);
        let history_bytes = history.iter().map(Change::weight).sum();
        Self { values, history, history_bytes, revision, compacted }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn len(&self) -> u64 {
        self.values.len() as u64
    }

    /// The oldest revision that can be listed, or watched from.
    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    pub(crate) fn stored(&self, key: &str) -> Option<&Stored> {
        self.values.get(key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<Record> {
        self.stored(key).map(|stored| record(key, stored))
    }

    /// The revision up to which history must go so that it stays inside `bound` once `added` has happened.
    pub(crate) fn surplus(&self, added: &[Change], bound: HistoryBound) -> Revision {
        let mut count = self.history.len() + added.len();
        let mut bytes = self.history_bytes + added.iter().map(Change::weight).sum::<usize>();
        let mut compacted = self.compacted;
        for change in self.history.iter().chain(added) {
            if count <= 1 || (count <= bound.events && bytes <= bound.bytes) {
                break;
            }
            count -= 1;
            bytes -= change.weight();
            compacted = change.revision;
        }
        compacted
    }

    /// Makes changes visible, in order, and forgets history up to and including `compacted`.
    pub(crate) fn apply(&mut self, changes: Vec<Change>, compacted: Revision) {
        for change in changes {
            debug_assert_eq!(change.revision, self.revision + 1, "revisions have no gaps");
            self.revision = change.revision;
            self.history_bytes += change.weight();
            match &change.value {
                Some(value) => {
                    let stored = Stored { revision: change.revision, value: value.clone() };
                    self.values.insert(Arc::clone(&change.key), stored);
                }
                None => {
                    self.values.remove(&change.key);
                }
            }
            self.history.push_back(change);
        }
        while self.history.front().is_some_and(|change| change.revision <= compacted) {
            if let Some(change) = self.history.pop_front() {
                self.history_bytes -= change.weight();
                self.compacted = change.revision;
            }
        }
    }

    /// Refuses a revision that cannot be shown, or watched from.
    pub(crate) fn reach(&self, asked: Revision) -> Result<(), StoreError> {
        if asked < self.compacted {
            return Err(StoreError::Compacted { asked, oldest: self.compacted });
        }
        if asked > self.revision {
            return Err(StoreError::Future { asked, newest: self.revision });
        }
        Ok(())
    }

    /// The first kept change below `prefix` after revision `position`.
    pub(crate) fn following(&self, position: Revision, prefix: &str) -> Result<Following<'_>, StoreError> {
        self.reach(position)?;
        let next = self.since(position).find(|change| change.key.starts_with(prefix));
        Ok(next.map_or(Following::CaughtUp(self.revision), Following::Change))
    }

    /// A page as `request` asks for it.
    pub(crate) fn list(&self, request: &ListRequest) -> Result<Page, StoreError> {
        let at = request.at.unwrap_or(self.revision);
        self.reach(at)?;
        let mut records = Vec::new();
        let mut remaining = 0;
        self.visit(request, at, |key, stored| {
            if request.limit == 0 || records.len() < request.limit {
                records.push(record(key, stored));
            } else {
                remaining += 1;
            }
        });
        Ok(Page { records, revision: at, remaining })
    }

    /// Shows every requested record as of revision `at`, in order of the keys.
    fn visit<'a>(&'a self, request: &ListRequest, at: Revision, mut show: impl FnMut(&'a str, &'a Stored)) {
        let wanted = |key: &str| {
            key.starts_with(&request.prefix) && request.after.as_deref().is_none_or(|after| key > after)
        };
        let mut undone: BTreeMap<&str, Option<&Stored>> = BTreeMap::new();
        for change in self.since(at).filter(|change| wanted(&change.key)) {
            undone.entry(&change.key).or_insert(change.previous.as_ref());
        }
        let mut undone = undone.into_iter().peekable();
        for (key, stored) in self.range(request) {
            while let Some((gone, before)) = undone.next_if(|(gone, _)| *gone < key) {
                before.into_iter().for_each(|stored| show(gone, stored));
            }
            match undone.next_if(|(changed, _)| *changed == key) {
                Some((_, before)) => before.into_iter().for_each(|stored| show(key, stored)),
                None => show(key, stored),
            }
        }
        for (gone, before) in undone {
            before.into_iter().for_each(|stored| show(gone, stored));
        }
    }

    /// The newest values that a request asks for, in order.
    fn range(&self, request: &ListRequest) -> impl Iterator<Item = (&str, &Stored)> {
        let prefix = request.prefix.as_str();
        let start = match request.after.as_deref() {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.values
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, stored)| (&**key, stored))
    }

    /// The kept changes after revision `position`, which must be within reach.
    fn since(&self, position: Revision) -> impl Iterator<Item = &Change> {
        let skipped = position.saturating_sub(self.compacted);
        self.history.range(usize::try_from(skipped).unwrap_or(usize::MAX).min(self.history.len())..)
    }
}

fn record(key: &str, stored: &Stored) -> Record {
    Record { key: key.to_owned(), value: stored.value.clone(), revision: stored.revision }
}
