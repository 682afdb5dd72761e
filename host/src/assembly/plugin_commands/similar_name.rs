//! "Did you mean …": the known name that a mistyped one is closest to.

use std::fs;
use std::path::{Path, PathBuf};

/// The closest of the known names, if the given one may be a misspelling of it.
pub(super) fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(given, name), name));
    let (distance, name) = distances.min()?;
    // A third of the letters, at least one: names that differ more are different names.
    (distance > 0 && distance <= (given.chars().count() / 3).max(1)).then_some(name)
}

/// The file or directory beside a missing path whose name is closest.
pub(super) fn closest_path(missing: &Path) -> Option<PathBuf> {
    let name = missing.file_name()?.to_str()?;
    let folder = missing.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let found = closest(name, names.iter().map(String::as_str))?;
    Some(folder.map_or_else(|| PathBuf::from(found), |folder| folder.join(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognized_and_another_name_is_not() {
        let known = ["shop-resolver", "ship", "zone"];
        assert_eq!(closest("shop-resovler", known), Some("shop-resolver"));
        assert_eq!(closest("shp", known), Some("ship"));
        assert_eq!(closest("health", known), None);
        assert_eq!(closest("zone", known), None, "the name itself is no slip");
        assert_eq!(closest("x", []), None);
    }

    #[test]
    fn a_file_with_a_similar_name_is_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("my-zone.wasm"), "").unwrap();
        assert_eq!(closest_path(&dir.path().join("my-zone.wsam")), Some(dir.path().join("my-zone.wasm")));
        assert_eq!(closest_path(&dir.path().join("other")), None);
    }
}
