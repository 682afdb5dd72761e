//! Private files: written whole or not at all, readable by their owner only.

use super::PkiError;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Mode of directories.
pub(super) const DIRECTORY_MODE: u32 = 0o700;
/// Mode of files.
pub(super) const FILE_MODE: u32 = 0o600;

/// Makes a directory, and those above it, readable by its owner only.
pub(super) fn make_directory(path: &Path) -> Result<(), PkiError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(PkiError::io("cannot make the directory", path))
}

/// Takes group's and others' rights away; returns a word about it when there were any.
pub(super) fn tighten(path: &Path, mode: u32) -> Result<Option<String>, PkiError> {
    let metadata = fs::metadata(path).map_err(PkiError::io("cannot look at", path))?;
    let found = metadata.permissions().mode() & 0o777;
    if found & 0o077 == 0 {
        return Ok(None);
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(PkiError::io("cannot take the rights of others from", path))?;
    Ok(Some(format!("{} was open to others (mode {found:04o}), now {mode:04o}", path.display())))
}

/// Writes a file so that a crash leaves the old content or the new one, never a part.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let attempt = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
        file.write_all(content)?;
        file.as_file().set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        sync_directory(directory)
    };
    attempt().map_err(PkiError::io("cannot write", path))
}

/// Writes only when the content differs; tells whether it did.
pub(super) fn write_if_changed(path: &Path, content: &[u8]) -> Result<bool, PkiError> {
    match fs::read(path) {
        Ok(found) if found == content => Ok(false),
        Ok(_) => write(path, content).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => write(path, content).map(|()| true),
        Err(error) => Err(PkiError::io("cannot read", path)(error)),
    }
}

/// The text of a file, `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PkiError::io("cannot read", path)(error)),
    }
}

/// Makes renames in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
