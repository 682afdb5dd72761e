//! A store in memory, for tests and for programs that may forget.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, VecDeque};

use super::change::Write;
use super::contents::Contents;
use super::published::Published;
use super::{HistoryBound, ListRequest, Page, Record, Revision, Store, StoreError, Watch};

/// Keeps everything in memory; nothing survives its drop.
#[derive(Debug)]
pub struct MemoryStore {
    published: Published,
    bound: HistoryBound,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(HistoryBound::default())
    }
}

impl MemoryStore {
    /// An empty store at revision 0 that keeps at most `bound` of history.
    pub fn new(bound: HistoryBound) -> Self {
        Self::starting_at(0, bound)
    }

    /// An empty store that goes on after `revision`: what came before is compacted.
    pub fn starting_at(revision: Revision, bound: HistoryBound) -> Self {
        let contents = Contents::restore(BTreeMap::new(), VecDeque::new(), revision);
        Self { published: Published::new(contents), bound }
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(async move {
            self.published.change(|contents| {
                let current = contents.stored(write.key());
                let change = write.against(current, contents.revision() + 1)?;
                let compacted = contents.surplus(std::slice::from_ref(&change), self.bound);
                Ok((change, compacted))
            })
        })
    }
}

impl Store for MemoryStore {
    fn revision(&self) -> Revision {
        self.published.read().revision()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(async move { Ok(self.published.read().get(key)) })
    }

    fn list(&self, request: ListRequest) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(async move { self.published.read().list(&request) })
    }

    fn create(&self, key: String, value: Bytes) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.write(Write::Create { key, value })
    }

    fn update(
        &self,
        key: String,
        expected: Revision,
        value: Bytes,
    ) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.write(Write::Update { key, expected, value })
    }

    fn delete(&self, key: String, expected: Revision) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.write(Write::Delete { key, expected })
    }

    fn watch(&self, prefix: String, after: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move { self.published.watch(prefix, after) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn revisions_of_an_earlier_store_are_too_old() {
        let store = MemoryStore::starting_at(1_000, HistoryBound::default());
        let revision = store.create("a".to_owned(), "x".into()).await.unwrap();
        assert_eq!((store.revision(), revision), (1_001, 1_001));
        assert!(matches!(store.watch(String::new(), 999).await, Err(StoreError::Compacted { .. })));
        assert!(store.watch(String::new(), 1_000).await.is_ok());
    }
}
