//! A stopped store, looked at without changing a byte of it.

use std::fs::File;
use std::path::{Path, PathBuf};

use redb::StorageBackend as _;

use super::directory::Directory;
use super::engine::checked;
use super::fault::OpenError;
use super::overlay::Overlay;
use super::tables;
use crate::store::contents::Contents;
use crate::store::{ListRequest, Record, Revision};

/// What a whole store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its file.
    pub file: PathBuf,
    /// The size of the file, in bytes.
    pub file_bytes: u64,
    /// How many values it holds.
    pub records: u64,
    /// The newest revision.
    pub revision: Revision,
    /// The oldest revision that can be listed, or watched from.
    pub oldest: Revision,
}

/// Checks the store of a data directory that no process uses: the checksum of every page, that history has no
/// gap, and that the values are what history ends with. The file is only read.
///
/// # Errors
/// [`OpenError`] says what is wrong with it, or why it cannot be looked at.
pub fn verify(data_dir: &Path) -> Result<Summary, OpenError> {
    let directory = Directory::existing(data_dir)?;
    let (contents, file_bytes) = read(&directory)?;
    Ok(Summary {
        file: directory.data_file(),
        file_bytes,
        records: contents.len(),
        revision: contents.revision(),
        oldest: contents.compacted(),
    })
}

/// All records of the store of a data directory that no process uses, in order of their keys. The file is only
/// read.
///
/// # Errors
/// As [`verify`].
pub fn records(data_dir: &Path) -> Result<Vec<Record>, OpenError> {
    let directory = Directory::existing(data_dir)?;
    let file = directory.data_file();
    let (contents, _) = read(&directory)?;
    let page = contents.list(&ListRequest::default());
    page.map(|page| page.records).map_err(|error| OpenError::Damaged { file, cause: error.to_string() })
}

/// Reads and checks everything, without a trace in the file.
pub(super) fn read(directory: &Directory) -> Result<(Contents, u64), OpenError> {
    let path = directory.data_file();
    let overlay = File::open(&path).and_then(Overlay::new).map_err(OpenError::access("open", &path))?;
    let file_bytes = overlay.len().map_err(OpenError::access("read", &path))?;
    let db =
        checked().create_with_backend(overlay).map_err(|error| OpenError::from_database(&path, error))?;
    let contents = tables::read(&db).map_err(|fault| OpenError::from_read(&path, fault))?;
    Ok((contents, file_bytes))
}
