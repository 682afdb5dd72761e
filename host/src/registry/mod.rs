//! API objects with Kubernetes semantics over the store: admission, conflicts, finalizers, lists, watches.
//!
//! No HTTP. The HTTP surface and the control plane both write through here, so that every write is validated,
//! owned by a manager and seen by watchers in one order.

mod admission;
mod apart;
mod continue_token;
mod delete;
mod freshness;
mod keep;
mod key;
mod list;
mod options;
mod stored;
mod watch;
mod write;

#[cfg(test)]
mod tests;

pub use apart::work_apart;
pub use delete::Deleted;
pub use freshness::parse_revision;
pub use key::ObjectKey;
pub use list::List;
pub use options::{
    DeleteOptions, ListOptions, Part, Selector, VersionMatch, WatchOptions, WatchStart, WriteOptions,
};
pub use stored::OBJECT_MAX;
pub use watch::{ObjectEvent, ObjectWatch};

use crate::kind::{Kept, Kind};
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::store::{HistoryBound, MemoryStore, Record, Revision, Store};
use jiff::Timestamp;
use std::sync::Arc;

/// How much of the past of kinds in memory can be watched from.
const MEMORY_HISTORY: HistoryBound = HistoryBound { events: 2_000, bytes: 8 * 1024 * 1024 };

/// The objects of all own kinds.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
    /// Kinds that are [`Kept::InMemory`].
    memory: Arc<MemoryStore>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("revision", &self.store.revision()).finish()
    }
}

impl Registry {
    /// Objects kept in `store`, but for kinds that are kept in memory.
    pub fn new(store: Arc<dyn Store>) -> Self {
        // Above every revision that an earlier process gave away, so that a client that comes back with one is told
        // that it is too old, and does not wait for it. That holds only while the clock does not go back.
        let start = Revision::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
        Self { store, memory: Arc::new(MemoryStore::starting_at(start, MEMORY_HISTORY)) }
    }

    /// Where objects of a kind are.
    fn store_of(&self, kind: &Kind) -> &dyn Store {
        match kind.kept {
            Kept::InStore => self.store.as_ref(),
            Kept::InMemory => self.memory.as_ref(),
        }
    }

    /// The newest revision of what is kept for good.
    pub fn revision(&self) -> Revision {
        self.store.revision()
    }

    /// Reads one object.
    ///
    /// # Errors
    /// 404 when it is not there.
    pub async fn get(&self, kind: &'static Kind, key: &ObjectKey) -> Result<Object, Failure> {
        let record = self.read(kind, key).await?;
        stored::decode(&record.key, &record.value, record.revision)
    }

    /// Reads one object that is not older than `revision`, waiting for three seconds at most.
    ///
    /// # Errors
    /// 404 when it is not there, 504 when the revision does not come.
    pub async fn get_not_older(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        revision: Revision,
    ) -> Result<Object, Failure> {
        freshness::wait_for(self.store_of(kind), revision).await?;
        self.get(kind, key).await
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// 500 with what is wrong with the medium.
    pub async fn probe(&self) -> Result<(), Failure> {
        self.store.get("").await.map(drop).map_err(|e| stored::medium_failure(&e))
    }

    /// Whether a write now would be durable.
    ///
    /// # Errors
    /// 500 with the error of the storage medium.
    pub fn check_store(&self) -> Result<(), Failure> {
        self.store.check().map_err(|e| stored::medium_failure(&e))
    }

    async fn read(&self, kind: &'static Kind, key: &ObjectKey) -> Result<Record, Failure> {
        let found = self.store_of(kind).get(&key.path(kind)).await.map_err(|e| stored::medium_failure(&e))?;
        found.ok_or_else(|| Failure::not_found(kind.group, kind.plural, &key.name))
    }
}
