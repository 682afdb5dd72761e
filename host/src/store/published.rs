//! The committed contents that readers and watchers share.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::watch;

use super::change::Change;
use super::contents::{Contents, Following};
use super::{Revision, StoreError, Watch, WatchItem};

/// Contents that only ever show committed changes. The lock is held for map operations, never for a disk.
///
/// Watchers keep no queue of their own: they read the shared history at their own pace, so a slow one costs
/// no memory, and once the history has moved past it, it is told so.
#[derive(Debug)]
pub(crate) struct Published {
    contents: Arc<RwLock<Contents>>,
    /// Wakes the watchers.
    news: watch::Sender<()>,
}

impl Published {
    pub(crate) fn new(contents: Contents) -> Self {
        Self { contents: Arc::new(RwLock::new(contents)), news: watch::channel(()).0 }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read()
    }

    /// Shows committed changes to readers, then wakes the watchers.
    pub(crate) fn publish(&self, changes: Vec<Change>, compacted: Revision) {
        self.contents.write().apply(changes, compacted);
        self.news.send_replace(());
    }

    /// Shows newer contents where the changes that led there are no longer kept, then wakes the watchers, which
    /// are told that they have fallen behind.
    pub(crate) fn replace(&self, newer: Contents) {
        *self.contents.write() = newer;
        self.news.send_replace(());
    }

    /// Decides and publishes one change under one lock, for a store without a medium; returns its revision.
    pub(crate) fn change(
        &self,
        decide: impl FnOnce(&Contents) -> Result<(Change, Revision), StoreError>,
    ) -> Result<Revision, StoreError> {
        let revision = {
            let mut contents = self.contents.write();
            let (change, compacted) = decide(&contents)?;
            contents.apply(vec![change], compacted);
            contents.revision()
        };
        self.news.send_replace(());
        Ok(revision)
    }

    /// Starts a watch; whatever is published from now on is part of it.
    pub(crate) fn watch(&self, prefix: String, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.read().reach(after)?;
        Ok(Box::new(HistoryWatch {
            contents: Arc::clone(&self.contents),
            news: self.news.subscribe(),
            prefix,
            position: after,
            told: after,
        }))
    }
}

struct HistoryWatch {
    contents: Arc<RwLock<Contents>>,
    news: watch::Receiver<()>,
    prefix: String,
    /// Everything up to here has been looked at.
    position: Revision,
    /// The revision of the last item.
    told: Revision,
}

impl HistoryWatch {
    fn look(&mut self) -> Result<Option<WatchItem>, StoreError> {
        let contents = self.contents.read();
        match contents.following(self.position, &self.prefix)? {
            Following::Change(change) => {
                self.position = change.revision;
                self.told = change.revision;
                Ok(Some(WatchItem::Event(change.event())))
            }
            Following::CaughtUp(revision) => {
                self.position = revision;
                if self.told == revision {
                    return Ok(None);
                }
                self.told = revision;
                Ok(Some(WatchItem::Progress(revision)))
            }
        }
    }
}

impl Watch for HistoryWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchItem, StoreError>> {
        Box::pin(async move {
            loop {
                // Looked at before waiting: what is published in between ends the wait at once.
                if let Some(item) = self.look()? {
                    return Ok(item);
                }
                if self.news.changed().await.is_err() {
                    return Err(StoreError::Medium("the store has been closed".to_owned()));
                }
            }
        })
    }
}
