//! Durable keys and values under one strictly increasing revision, as etcd offers them.
//!
//! Every implementation passes the same conformance suite. Nothing of redb may show through this trait.

mod bound;
mod change;
#[cfg(test)]
mod conformance;
mod contents;
mod file;
mod memory;
mod published;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use bound::{DEFAULT_HISTORY_BYTES, DEFAULT_HISTORY_EVENTS, HistoryBound};
pub use file::{FileStore, OpenError, Summary, records, verify};
pub use memory::MemoryStore;

/// The revision of the whole store. Never reused: not after deletes, not after a restart. 0 means "nothing yet".
pub type Revision = u64;

/// One stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key, for example `apiregistration.k8s.io/apiservices/v1.example.com`.
    pub key: String,
    /// What was written.
    pub value: Bytes,
    /// The revision of the last write of this key.
    pub revision: Revision,
}

/// A page of records, all as of one revision, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// The revision that the page shows.
    pub revision: Revision,
    /// How many more records follow after the last one.
    pub remaining: u64,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Only keys that start so.
    pub prefix: String,
    /// Only keys strictly greater than this one.
    pub after: Option<String>,
    /// At most so many records; 0 means all.
    pub limit: usize,
    /// As of this revision; `None` means now.
    pub at: Option<Revision>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The revision of the change.
    pub revision: Revision,
    /// The key that changed.
    pub key: String,
    /// The new value; `None` for a delete.
    pub value: Option<Bytes>,
    /// The value before; `None` for a create.
    pub previous: Option<Bytes>,
}

/// What a watch delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// A change below the prefix.
    Event(Event),
    /// Every change up to this revision has been delivered, whether it was below the prefix or not. Comes when
    /// the watch has caught up with changes beside its prefix; several such changes may share one.
    Progress(Revision),
}

/// A running watch. Dropping it ends it.
pub trait Watch: Send {
    /// The next item; `Err(StoreError::Compacted)` when the watcher fell too far behind. Cancel safe.
    fn next(&mut self) -> BoxFuture<'_, Result<WatchItem, StoreError>>;
}

/// Why a store refuses.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `create` found the key.
    #[error("key {key} exists already")]
    Exists {
        /// The key.
        key: String,
    },
    /// `update` or `delete` found another revision, or nothing.
    #[error("key {key} is not at the expected revision")]
    Conflict {
        /// The key.
        key: String,
        /// What stands there now.
        current: Option<Record>,
    },
    /// The revision asked for is older than the kept history.
    #[error("revision {asked} has been compacted, the oldest kept is {oldest}")]
    Compacted {
        /// What was asked for.
        asked: Revision,
        /// The oldest revision that can still be had.
        oldest: Revision,
    },
    /// The revision asked for lies in the future.
    #[error("revision {asked} is in the future, the newest is {newest}")]
    Future {
        /// What was asked for.
        asked: Revision,
        /// The newest revision.
        newest: Revision,
    },
    /// The medium failed; what was acknowledged before is kept. The text says what and how to mend it.
    #[error("{0}")]
    Medium(String),
}

/// A store. All methods may be called concurrently; a write is durable when it returns.
pub trait Store: Send + Sync + 'static {
    /// The newest durable revision.
    fn revision(&self) -> Revision;

    /// Whether the storage medium is still in place, so that a write would be durable. Makes system calls, but writes
    /// nothing.
    ///
    /// # Errors
    /// `Medium`, with the cause.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The newest value of a key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>>;

    /// A consistent page. `Compacted` or `Future` when `at` cannot be shown.
    fn list(&self, request: ListRequest) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// Writes a key that must not be there; returns its revision.
    fn create(&self, key: String, value: Bytes) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Replaces a key that must be at `expected`.
    fn update(
        &self,
        key: String,
        expected: Revision,
        value: Bytes,
    ) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Removes a key that must be at `expected`; returns the revision of the removal.
    fn delete(&self, key: String, expected: Revision) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Every change below `prefix` after revision `after`, in order, none left out, none twice.
    fn watch(&self, prefix: String, after: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>>;
}
