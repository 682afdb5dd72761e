//! What JavaScript and Python plugins have in common: a tool from the language's registry, kept in a cache, that is
//! handed the interfaces as files.

use super::error::file_error;
use super::{Built, PluginBuildArgs, PluginBuildError};
use crate::assembly::plugin_commands::new;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What the plugin's manifest says for this program.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Wishes {
    /// `resolver`, `health` or `discovery`.
    pub(super) world: String,
}

impl Wishes {
    /// Holds the world to those that exist.
    ///
    /// # Errors
    /// What to write instead.
    pub(super) fn check(self, file: &Path, example: &str) -> Result<Self, PluginBuildError> {
        if ["resolver", "health", "discovery"].contains(&self.world.as_str()) {
            return Ok(self);
        }
        let problem =
            format!("does not say what the plugin decides; write {example} (or health, or discovery)");
        Err(PluginBuildError::Incomplete { file: file.to_owned(), problem })
    }
}

/// A place to work in: the interfaces and room for the component.
pub(super) struct Bench {
    work: TempDir,
    wit: PathBuf,
}

impl Bench {
    /// The plugin's own `wit` folder, or the one that this program was built with.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub(super) fn set_up(dir: &Path) -> Result<Self, PluginBuildError> {
        let work = tempfile::tempdir().map_err(|cause| file_error(&std::env::temp_dir(), cause))?;
        let own = dir.join("wit");
        let wit = if own.is_dir() { own } else { work.path().join("wit") };
        let wit = if wit.starts_with(work.path()) { write_wit(&wit)? } else { absolute(&wit)? };
        Ok(Self { work, wit })
    }

    pub(super) fn wit(&self) -> &Path {
        &self.wit
    }

    /// Where the tool must put the component.
    pub(super) fn component(&self) -> PathBuf {
        self.work.path().join("component.wasm")
    }

    /// Where modules go that the plugin is built with.
    pub(super) fn modules(&self) -> PathBuf {
        self.work.path().join("modules")
    }

    /// Reads what the tool made.
    ///
    /// # Errors
    /// When it made nothing.
    pub(super) fn take(&self, name: String) -> Result<Vec<Built>, PluginBuildError> {
        let path = self.component();
        let component = fs::read(&path).map_err(|cause| file_error(&path, cause))?;
        Ok(vec![Built { name, component }])
    }
}

fn write_wit(folder: &Path) -> Result<PathBuf, PluginBuildError> {
    for (path, bytes) in new::wit_files() {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|cause| file_error(parent, cause))?;
        fs::write(&path, bytes).map_err(|cause| file_error(&path, cause))?;
    }
    Ok(folder.to_owned())
}

/// For tools that run in another directory.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, PluginBuildError> {
    path.canonicalize().map_err(|cause| file_error(path, cause))
}

/// A folder for the tools that `parts` describe, filled by `fill` the first time. It appears in one piece, so that two
/// builds at a time and one that was cut off do no harm.
///
/// # Errors
/// Those of `fill`, and when the folder cannot be made.
pub(super) fn tools(
    args: &PluginBuildArgs,
    language: &str,
    parts: &[&[u8]],
    fill: impl FnOnce(&Path) -> Result<(), PluginBuildError>,
) -> Result<PathBuf, PluginBuildError> {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let cache = args.target_dir.clone().unwrap_or_else(cache_dir);
    let folder = cache.join(format!("{language}-{digest}"));
    // A virtual environment knows its own path, so it is made in place and marked when it is whole.
    let mark = folder.join(".whole");
    if !mark.is_file() {
        fs::create_dir_all(&folder).map_err(|cause| file_error(&folder, cause))?;
        let folder = absolute(&folder)?;
        fill(&folder)?;
        fs::write(&mark, "").map_err(|cause| file_error(&mark, cause))?;
    }
    absolute(&folder)
}

/// `$XDG_CACHE_HOME/umbel`, else `~/.cache/umbel`.
fn cache_dir() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("umbel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_that_does_not_exist_is_told_which_do() {
        let wishes = Wishes { world: "resolvers".to_owned() };
        let error = wishes.check(Path::new("package.json"), "X").unwrap_err().to_string();
        assert_eq!(
            error,
            "package.json: does not say what the plugin decides; write X (or health, or discovery)"
        );
    }

    #[test]
    fn tools_are_fetched_once() {
        let dir = tempfile::tempdir().unwrap();
        let target_dir = Some(dir.path().to_owned());
        let args = PluginBuildArgs { dir: PathBuf::new(), output: PathBuf::new(), target_dir };
        let failed = tools(&args, "x", &[b"1"], |folder| Err(PluginBuildError::NoPlugin(folder.to_owned())));
        assert!(failed.is_err());
        let first = tools(&args, "x", &[b"1"], |_| Ok(())).unwrap();
        let again = tools(&args, "x", &[b"1"], |_| panic!("fetched again")).unwrap();
        assert_eq!(first, again);
        assert_ne!(first, tools(&args, "x", &[b"2"], |_| Ok(())).unwrap());
    }
}
