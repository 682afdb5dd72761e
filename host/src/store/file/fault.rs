//! Why a store on disk cannot be opened, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};

use redb::{DatabaseError, StorageError};

use super::tables::{FORMAT, ReadFault};

/// Why a store on disk cannot be opened. Nothing is ever changed or thrown away on the way to one of these.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the store in {} is in use by {holder}: stop it first, or use another data directory",
        directory.display()
    )]
    InUse {
        /// The directory that is in use.
        directory: PathBuf,
        /// Who has it, as far as it can be told.
        holder: String,
    },
    /// The file is not what was last written.
    #[error(
        "{} is damaged: {cause}. It has been left as it is. `umbel store verify` says whether a copy of it is \
         whole. To go on, move the directory {} away; then bring the objects back with `umbel store import` \
         from what `umbel store export` wrote earlier, or start without them with --allow-empty-store",
        file.display(), parent(file).display()
    )]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The directory held a store, but its file is gone.
    #[error(
        "{} is missing, although {} says that a store was made here. Put the file back; or move the directory \
         {} away, and bring the objects back with `umbel store import`, or start without them with \
         --allow-empty-store",
        file.display(), marker.display(), parent(file).display()
    )]
    Missing {
        /// The missing file.
        file: PathBuf,
        /// The file that speaks of it.
        marker: PathBuf,
    },
    /// There never was a store.
    #[error("there is no store in {}: is this the data directory that `umbel serve` uses?", directory.display())]
    Absent {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// Another version of Umbel wrote it.
    #[error(
        "{} has layout {found}, this version reads layout {FORMAT}: use the version of Umbel that wrote it",
        file.display()
    )]
    Format {
        /// The file.
        file: PathBuf,
        /// Its layout.
        found: u64,
    },
    /// The system refused.
    #[error("cannot {attempt} {}: {source}{}", path.display(), advice(source))]
    Access {
        /// What was tried: `open`, `create` ….
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn parent(file: &Path) -> &Path {
    file.parent().unwrap_or(file)
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; it must belong to the user that runs umbel, with mode 0600 (directories 0700)"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space",
        io::ErrorKind::ReadOnlyFilesystem => "; the data directory must be on a writable file system",
        _ => "",
    }
}

impl OpenError {
    pub(super) fn access(attempt: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Access { attempt, path, source }
    }

    /// Tells damage from refusals of the system.
    pub(super) fn from_database(file: &Path, error: DatabaseError) -> Self {
        let file = file.to_owned();
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                Self::InUse { directory: parent(&file).to_owned(), holder: "another process".to_owned() }
            }
            DatabaseError::UpgradeRequired(version) => {
                Self::Damaged { file, cause: format!("it has redb file format {version}") }
            }
            DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
                io::ErrorKind::UnexpectedEof => {
                    Self::Damaged { file, cause: "it has been cut short".to_owned() }
                }
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    Self::Damaged { file, cause: source.to_string() }
                }
                _ => Self::Access { attempt: "read", path: file, source },
            },
            other => Self::Damaged { file, cause: other.to_string() },
        }
    }

    pub(super) fn from_read(file: &Path, fault: ReadFault) -> Self {
        let file = file.to_owned();
        match fault {
            ReadFault::Format(found) => Self::Format { file, found },
            ReadFault::Redb(redb::Error::Io(source)) if source.kind() != io::ErrorKind::UnexpectedEof => {
                Self::Access { attempt: "read", path: file, source }
            }
            other => Self::Damaged { file, cause: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_cut_is_damaged_and_one_that_cannot_be_read_is_not() {
        let fault = |kind: io::ErrorKind| {
            OpenError::from_read(Path::new("/d/f"), ReadFault::Redb(redb::Error::Io(kind.into())))
        };
        assert!(matches!(fault(io::ErrorKind::UnexpectedEof), OpenError::Damaged { .. }));
        let refused = fault(io::ErrorKind::PermissionDenied);
        assert!(matches!(&refused, OpenError::Access { attempt: "read", .. }), "{refused}");
    }
}
