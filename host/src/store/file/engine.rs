//! The open file of a store, reopened after its medium has failed.

use std::fs::OpenOptions;
use std::path::PathBuf;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError};

use super::directory::Directory;
use super::fault::OpenError;
use super::presence::Presence;
use super::{inspect, tables};
use crate::store::change::Change;
use crate::store::contents::Contents;
use crate::store::published::Published;
use crate::store::{Revision, StoreError};

/// How much of the file redb may keep in memory, in bytes. Little: reads never come here.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// How the file's bytes are reached; tests put a medium here that fails on demand.
pub(super) trait Medium: Send + 'static {
    /// Opens a file as a database.
    fn open(&self, builder: &Builder, file: std::fs::File) -> Result<Database, DatabaseError>;
}

/// The disk itself.
#[derive(Debug)]
pub(super) struct Disk;

impl Medium for Disk {
    fn open(&self, builder: &Builder, file: std::fs::File) -> Result<Database, DatabaseError> {
        builder.create_with_backend(FileBackend::new(file)?)
    }
}

/// Commits changes to the file. After a failure the file is closed, and opened again for the next commit.
pub(super) struct Engine<M> {
    // Above the directory: the file is closed before another process may have it.
    db: Option<Database>,
    medium: M,
    directory: Directory,
    /// The file that was opened first. Writes never go to another one.
    presence: Presence,
}

impl<M: Medium> Engine<M> {
    /// Opens the file, making it on the very first start, and reads its contents.
    pub(super) fn open(directory: Directory, medium: M) -> Result<(Self, Contents), OpenError> {
        directory.prepare()?;
        // First without a trace: opening it for writing leaves marks, and a damaged file must stay as it is.
        let (contents, _) = inspect::read(&directory)?;
        let path = directory.data_file();
        let metadata = std::fs::metadata(&path).map_err(OpenError::access("open", &path))?;
        let presence = Presence::of(&path, &metadata);
        let mut engine = Self { medium, directory, presence, db: None };
        engine.db = Some(engine.database()?);
        Ok((engine, contents))
    }

    /// The path of the file, for checks from other threads.
    pub(super) fn presence(&self) -> Presence {
        self.presence.clone()
    }

    fn file(&self) -> PathBuf {
        self.directory.data_file()
    }

    fn database(&self) -> Result<Database, OpenError> {
        let path = self.file();
        let attempt = || OpenError::access("open", &path);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(attempt())?;
        if file.metadata().map_err(attempt())?.len() == 0 {
            return Err(OpenError::Damaged { file: path, cause: "it is empty".to_owned() });
        }
        self.medium.open(&checked(), file).map_err(|error| OpenError::from_database(&path, error))
    }

    /// Makes changes durable. `forgotten..compacted` is the history that goes in the same commit.
    pub(super) fn commit(
        &mut self,
        changes: &[Change],
        forgotten: Revision,
        compacted: Revision,
    ) -> Result<(), StoreError> {
        let Some(db) = &self.db else {
            return Err(StoreError::Medium(format!("{} is closed", self.file().display())));
        };
        self.check_presence()?;
        tables::commit(db, changes, forgotten, compacted).map_err(|error| {
            // redb refuses everything after a failed write until it is opened anew.
            self.db = None;
            StoreError::Medium(format!(
                "cannot write {}: {error}; what was acknowledged is kept and reads go on. \
                 Make room or mend the disk: writes then work again without a restart",
                self.file().display()
            ))
        })?;
        // A write to a file that was deleted meanwhile must not be acknowledged. The file is opened again, which
        // fails until it is back, and then its contents are read again.
        self.check_presence().inspect_err(|_| self.db = None)
    }

    fn check_presence(&self) -> Result<(), StoreError> {
        self.presence.check().map_err(|error| StoreError::Medium(error.to_string()))
    }

    /// Closes the file after a panic, which may have left a commit half-done.
    pub(super) fn close(&mut self) {
        self.db = None;
    }

    /// Opens the file again if a failure closed it, and publishes what the failed commit left behind after all.
    pub(super) fn recover(&mut self, published: &Published) -> Result<(), StoreError> {
        if self.db.is_some() {
            return Ok(());
        }
        self.check_presence()?;
        let known = published.read().revision();
        let file = self.file();
        let refusal = |error: OpenError| {
            StoreError::Medium(format!("writes are refused since a write to the store failed: {error}"))
        };
        let db = self.database().map_err(refusal)?;
        let unread = |fault| refusal(OpenError::from_read(&file, fault));
        let (revision, compacted, missed) = tables::read_after(&db, known).map_err(unread)?;
        if revision < known {
            let cause = format!("it ends at revision {revision}, but {known} was acknowledged");
            return Err(refusal(OpenError::Damaged { file, cause }));
        }
        if compacted > known {
            // The history no longer leads from what is known to what is there.
            published.replace(tables::read(&db).map_err(unread)?);
        } else if !missed.is_empty() {
            published.publish(missed, compacted);
        }
        self.db = Some(db);
        tracing::info!(file = %file.display(), revision, "the store takes writes again");
        Ok(())
    }
}

/// Opens with every page's checksum verified: damage is found before anything builds on it.
pub(super) fn checked() -> Builder {
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true).set_cache_size(CACHE_BYTES);
    builder
}
