//! Why certificates cannot be had.

use std::io;
use std::path::PathBuf;

/// What went wrong, with the file and the mend.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The disk refuses.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `cannot write`.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is there and cannot be used; it is left as it is.
    #[error("{}: {what}; {mend}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// How to mend it.
        mend: String,
    },
    /// The data directory holds somebody else's files.
    #[error(
        "{} is not empty and holds nothing of Umbel's; choose an empty directory with --data-dir", .0.display()
    )]
    ForeignDirectory(PathBuf),
    /// The path cannot stand in a file of flags, one a line.
    #[error("{0:?} has a line break in its path, or what is no UTF-8; choose another directory")]
    UnusablePath(PathBuf),
    /// The certificate library refuses.
    #[error("cannot make the certificate {name}: {source}")]
    Certificate {
        /// Its common name.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
}

impl PkiError {
    /// For `map_err` on an I/O result.
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// For `map_err` on a result of the certificate library.
    pub(super) fn certificate(name: &str) -> impl FnOnce(rcgen::Error) -> Self + use<> {
        let name = name.to_owned();
        move |source| Self::Certificate { name, source }
    }
}
