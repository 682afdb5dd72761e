//! Putting files where a gateway watches, in one piece each.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Readable by all, writable by the owner alone: a gateway refuses what others may write.
const MODE: u32 = 0o644;

/// Files that are to appear in one directory.
pub(super) struct Placement {
    directory: PathBuf,
    /// Hidden name and final name.
    written: Vec<(PathBuf, PathBuf)>,
}

impl Placement {
    /// Makes the directory when it does not exist, as the gateway would.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        Ok(Self { directory: directory.to_owned(), written: Vec::new() })
    }

    /// Writes a file under a name that gateways ignore, whole and on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (hidden, path) = (self.directory.join(format!(".{name}.install")), self.directory.join(name));
        // Another one's permissions would stay with a file that is only emptied.
        match fs::remove_file(&hidden) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.written.push((hidden.clone(), path));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(hidden)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Gives the files their names, in the order in which they were written: a manifest goes first.
    ///
    /// # Errors
    /// When a file cannot be renamed; those before it have their names.
    pub(super) fn publish(mut self) -> io::Result<Vec<PathBuf>> {
        let mut published = Vec::new();
        for (hidden, path) in std::mem::take(&mut self.written) {
            fs::rename(&hidden, &path).inspect_err(|_| {
                fs::remove_file(&hidden).ok();
            })?;
            published.push(path);
        }
        File::open(&self.directory)?.sync_all()?;
        Ok(published)
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        for (hidden, _) in &self.written {
            // Nobody looks at hidden files, so one that stays does no harm.
            fs::remove_file(hidden).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_appear_whole_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("new");
        let mut placement = Placement::open(&place).unwrap();
        placement.write("a.yaml", b"y").unwrap();
        placement.write("a.wasm", b"w").unwrap();
        assert!(!place.join("a.wasm").exists(), "nothing appears before all is written");
        let paths = placement.publish().unwrap();
        assert_eq!(paths, [place.join("a.yaml"), place.join("a.wasm")]);
        assert_eq!(fs::read(&paths[1]).unwrap(), b"w");
        assert_eq!(fs::metadata(&paths[1]).unwrap().permissions().mode() & 0o022, 0);
        assert_eq!(fs::read_dir(place).unwrap().count(), 2);
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut placement = Placement::open(dir.path()).unwrap();
        placement.write("a.wasm", b"w").unwrap();
        drop(placement);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
