//! "Did you mean …" for a missing file or directory.

use crate::model::spelling::did_you_mean;
use std::fs;
use std::path::{Path, PathBuf};

/// The file or directory beside a missing path whose name is closest.
pub(super) fn closest_path(missing: &Path) -> Option<PathBuf> {
    let name = missing.file_name()?.to_str()?;
    let folder = missing.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let found = did_you_mean(name, names.iter().map(String::as_str))?;
    Some(folder.map_or_else(|| PathBuf::from(found), |folder| folder.join(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_similar_name_is_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("my-zone.wasm"), "").unwrap();
        assert_eq!(closest_path(&dir.path().join("my-zone.wsam")), Some(dir.path().join("my-zone.wasm")));
        assert_eq!(closest_path(&dir.path().join("other")), None);
    }
}
