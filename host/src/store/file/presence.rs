//! Whether the file of a store is still at the path where it was opened.
//!
//! A deleted file stays writable for the process that has it open, and everything written to it is lost when the
//! process exits. So before a commit is acknowledged, the store checks that the path still leads to the file.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file, by its path and its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// The path leads to another file.
#[derive(Debug, thiserror::Error)]
#[error("the store file {} {what} while Umbel was running: writes are refused, reads go on. {hint}", path.display())]
pub(super) struct Misplaced {
    path: PathBuf,
    what: String,
    hint: &'static str,
}

const BRING_BACK: &str = "Move it back, if it still exists; otherwise save the objects with kubectl before you stop \
                          Umbel, and restore a backup";
const RESTART: &str = "Restart Umbel to use the file that is there now, or move the old one back";

impl Presence {
    pub(super) fn of(path: &Path, metadata: &Metadata) -> Self {
        Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() }
    }

    /// Whether the path leads to the file now. One system call.
    pub(super) fn check(&self) -> Result<(), Misplaced> {
        let refuse = |what: String, hint| Err(Misplaced { path: self.path.clone(), what, hint });
        match fs::metadata(&self.path) {
            Ok(found) if found.nlink() > 0 && Self::of(&self.path, &found) == *self => Ok(()),
            Ok(_) => refuse("was replaced by another file".to_owned(), RESTART),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                refuse("was deleted or moved away".to_owned(), BRING_BACK)
            }
            Err(error) => refuse(format!("cannot be found any more ({error})"), BRING_BACK),
        }
    }
}
