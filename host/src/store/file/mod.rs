//! A store in one file of the data directory.
//!
//! A thread of its own owns the file (redb). Writers queue up; each batch is decided in order, committed once, and
//! only then shown to readers and acknowledged. Readers and watchers see a copy in memory and never wait for the
//! disk. After a failed write the file is opened anew, so that writes work again as soon as the medium does.

mod batch;
mod directory;
mod engine;
mod fault;
mod inspect;
mod overlay;
mod presence;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use self::batch::Job;
use self::directory::Directory;
use self::engine::{Disk, Engine, Medium};
use self::presence::Presence;
use self::writer::Writer;
use super::change::Write;
use super::published::Published;
use super::{HistoryBound, ListRequest, Page, Record, Revision, Store, StoreError, Watch};

pub use fault::OpenError;
pub use inspect::{Summary, records, verify};

/// How many writes may wait for the writer before further ones wait for their turn to queue.
const QUEUE_LIMIT: usize = 1024;

/// A durable store. Dropping it finishes the queued writes and closes the file.
#[derive(Debug)]
pub struct FileStore {
    published: Arc<Published>,
    presence: Presence,
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl FileStore {
    /// Opens the store of a data directory, making both on the first start. The files are private to the user.
    ///
    /// # Errors
    /// [`OpenError`] when another process uses it, when it is damaged or lost, or when the system refuses.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        Self::open_bounded(data_dir, HistoryBound::default())
    }

    /// Like [`FileStore::open`], with another bound for the kept history.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn open_bounded(data_dir: &Path, bound: HistoryBound) -> Result<Self, OpenError> {
        Self::open_on(data_dir, bound, Disk)
    }

    /// Like [`FileStore::open`], but creates an empty store if the previous one is gone.
    ///
    /// # Errors
    /// As [`FileStore::open`], except for a lost file.
    pub fn open_or_replace_lost(data_dir: &Path) -> Result<Self, OpenError> {
        let directory = Directory::claim(data_dir)?;
        directory.forget_lost_file()?;
        Self::open_in(directory, HistoryBound::default(), Disk)
    }

    fn open_on(data_dir: &Path, bound: HistoryBound, medium: impl Medium) -> Result<Self, OpenError> {
        Self::open_in(Directory::claim(data_dir)?, bound, medium)
    }

    fn open_in(directory: Directory, bound: HistoryBound, medium: impl Medium) -> Result<Self, OpenError> {
        let file = directory.data_file();
        let (engine, contents) = Engine::open(directory, medium)?;
        let published = Arc::new(Published::new(contents));
        let presence = engine.presence();
        let writer = Writer { engine, published: Arc::clone(&published), bound };
        let (queue, jobs) = mpsc::channel(QUEUE_LIMIT);
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(jobs))
            .map_err(OpenError::access("start the writer of", file))?;
        Ok(Self { published, presence, queue: Some(queue), writer: Some(writer) })
    }

    /// How many writes wait in the queue.
    #[cfg(test)]
    fn waiting(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| (queue.max_capacity() - queue.capacity()) as u64)
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(async move {
            let gone = || StoreError::Medium("the store's writer has stopped: restart umbel".to_owned());
            let (answer, decided) = oneshot::channel();
            let queue = self.queue.as_ref().ok_or_else(gone)?;
            queue.send(Job { write, answer }).await.map_err(|_| gone())?;
            let lost = "the store's writer panicked, and it is not known whether this was written: look before \
                        you try again";
            decided.await.map_err(|_| StoreError::Medium(lost.to_owned()))?
        })
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer ended with a panic");
        }
    }
}

impl Store for FileStore {
    fn revision(&self) -> Revision {
        self.published.read().revision()
    }

    fn check(&self) -> Result<(), StoreError> {
        self.presence.check().map_err(|error| StoreError::Medium(error.to_string()))
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
