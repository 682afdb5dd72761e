//! Where the component goes.

use super::PluginBuildError;
use super::error::file_error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes under a name that the gateway ignores and renames, so that it never sees half a file.
pub(super) fn drop_file(directory: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, PluginBuildError> {
    fs::create_dir_all(directory).map_err(|cause| file_error(directory, cause))?;
    let (hidden, path) = (directory.join(format!(".{name}.wasm")), directory.join(format!("{name}.wasm")));
    let written = fs::File::create(&hidden).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&hidden, &path)
    });
    written.map_err(|cause| file_error(&path, cause))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_appears_in_one_piece() {
        let dir = tempfile::tempdir().unwrap();
        let path = drop_file(&dir.path().join("new"), "a", b"x").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"x");
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 1);
    }
}
