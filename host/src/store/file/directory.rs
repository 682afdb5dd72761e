//! The directory of a store: who owns it, what lies in it, and how its file comes to be.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::engine::checked;
use super::fault::OpenError;
use super::tables;

/// The name of the store's directory inside the data directory.
const DIRECTORY: &str = "store";
const DATA_FILE: &str = "store.redb";
const UNFINISHED_FILE: &str = "store.redb.new";
const LOCK_FILE: &str = "lock";
const MARKER_FILE: &str = "README";

const MARKER_TEXT: &str = "\
Umbel keeps its objects in store.redb; `lock` names the process that has it open.
This file says that a store was made here: without it, a lost store.redb would pass for a first start.
Stop Umbel before copying store.redb; `umbel store export` writes its objects as YAML,
`umbel store verify` checks it. To start anew, move this whole directory away and start with --allow-empty-store.
";

/// A directory that this process alone may use until it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// `None` if there cannot be a lock, because the directory is not writable.
    lock: Option<File>,
}

impl Directory {
    /// Makes the store's directory below `data_dir` if need be, and takes it.
    pub(super) fn claim(data_dir: &Path) -> Result<Self, OpenError> {
        let path = data_dir.join(DIRECTORY);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&path).map_err(OpenError::access("create", &path))?;
        Self::lock(path)
    }

    /// Takes a directory that must hold a store already.
    pub(super) fn existing(data_dir: &Path) -> Result<Self, OpenError> {
        let path = data_dir.join(DIRECTORY);
        let held = [DATA_FILE, MARKER_FILE].iter().any(|name| path.join(name).exists());
        if !held {
            return Err(OpenError::Absent { directory: data_dir.to_owned() });
        }
        let directory = Self::lock_to_read(path)?;
        directory.find()?;
        Ok(directory)
    }

    /// Opens a directory for reading only: a backup may be on a read-only medium or belong to another user, and have
    /// no lock.
    fn lock_to_read(path: PathBuf) -> Result<Self, OpenError> {
        match Self::lock(path.clone()) {
            Err(OpenError::Access { source, .. }) if is_read_only(&source) => {}
            locked => return locked,
        }
        let name = path.join(LOCK_FILE);
        let lock = match File::open(&name) {
            Ok(lock) => lock,
            // A process that has the store open for writing could create this file, so there is no such process.
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_read_only(&error) => {
                return Ok(Self { path, lock: None });
            }
            Err(error) => return Err(OpenError::access("open", &name)(error)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self { path, lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { directory: path, holder: holder(lock) }),
            // Some read-only file systems do not support locks.
            Err(TryLockError::Error(_)) => Ok(Self { path, lock: None }),
        }
    }

    /// Lets [`Self::prepare`] create a new file although there was one before. An existing file is kept.
    pub(super) fn forget_lost_file(&self) -> Result<(), OpenError> {
        let marker = self.path.join(MARKER_FILE);
        if self.data_file().exists() || !marker.exists() {
            return Ok(());
        }
        fs::remove_file(&marker).map_err(OpenError::access("remove", marker))
    }

    fn lock(path: PathBuf) -> Result<Self, OpenError> {
        let name = path.join(LOCK_FILE);
        let mut options = private();
        let mut lock =
            options.read(true).create(true).open(&name).map_err(OpenError::access("open", &name))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { directory: path, holder: holder(lock) });
            }
            Err(TryLockError::Error(source)) => return Err(OpenError::access("lock", &name)(source)),
        }
        sign(&mut lock).map_err(OpenError::access("write", &name))?;
        Ok(Self { path, lock: Some(lock) })
    }

    pub(super) fn data_file(&self) -> PathBuf {
        self.path.join(DATA_FILE)
    }

    /// Makes sure that the file is there, making a new one on the very first start only.
    pub(super) fn prepare(&self) -> Result<(), OpenError> {
        if !self.find()? {
            self.create()?;
        }
        let file = self.data_file();
        tighten(&file).map_err(OpenError::access("set the mode of", &file))?;
        let marker = self.path.join(MARKER_FILE);
        if !marker.exists() {
            self.mark(&marker).map_err(OpenError::access("write", &marker))?;
        }
        Ok(())
    }

    /// Whether the file is there. It only ever appears whole, so an empty one was emptied by somebody else.
    fn find(&self) -> Result<bool, OpenError> {
        let file = self.data_file();
        match fs::metadata(&file) {
            Ok(metadata) if metadata.is_dir() => {
                Err(OpenError::Damaged { file, cause: "it is a directory".to_owned() })
            }
            Ok(metadata) if metadata.len() == 0 => {
                Err(OpenError::Damaged { file, cause: "it is empty".to_owned() })
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let marker = self.path.join(MARKER_FILE);
                if marker.exists() { Err(OpenError::Missing { file, marker }) } else { Ok(false) }
            }
            Err(source) => Err(OpenError::access("open", file)(source)),
        }
    }

    fn create(&self) -> Result<(), OpenError> {
        let unfinished = self.path.join(UNFINISHED_FILE);
        let attempt = || OpenError::access("create", &unfinished);
        let mut options = private();
        options.read(true).create(true).truncate(true).open(&unfinished).map_err(attempt())?;
        let db =
            checked().create(&unfinished).map_err(|error| OpenError::from_database(&unfinished, error))?;
        tables::initialise(&db).map_err(|error| OpenError::from_read(&unfinished, error.into()))?;
        db.close().map_err(|error| OpenError::from_database(&unfinished, error))?;
        let file = self.data_file();
        fs::rename(&unfinished, &file).map_err(attempt())?;
        self.sync().map_err(OpenError::access("sync", &self.path))
    }

    fn mark(&self, marker: &Path) -> io::Result<()> {
        let mut file = private().create(true).truncate(true).open(marker)?;
        file.write_all(MARKER_TEXT.as_bytes())?;
        file.sync_all()?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing alone would not do while a child, forked but not yet executed, shares the descriptor.
        if let Some(Err(error)) = self.lock.as_ref().map(File::unlock) {
            tracing::warn!(directory = %self.path.display(), "the store stays locked until exit: {error}");
        }
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).truncate(false).mode(0o600);
    options
}

/// Takes away what others may do with the file, for example after it was restored from a backup.
fn tighten(file: &Path) -> io::Result<()> {
    let mut permissions = fs::metadata(file)?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(file = %file.display(), "others could read the store; its mode is now 0600");
    permissions.set_mode(0o600);
    fs::set_permissions(file, permissions)
}

fn sign(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "process {}", std::process::id())
}

fn holder(mut lock: File) -> String {
    let mut text = String::new();
    match lock.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}
