//! The source that a component is built from, scanned repeatedly.

use crate::assembly::CommandError;
use crate::assembly::plugin_commands::build::{PluginBuildArgs, build_plugin, is_plugin_source};
use crate::assembly::plugin_commands::given::GivenFlags;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Maximum number of source files that are scanned; a plugin has dozens.
const FILES_MAX: usize = 10_000;
/// Folders that builds write to, and the folder of the cases. Changes in them need no build.
const LEFT_OUT: [&str; 6] = ["target", "node_modules", "__pycache__", "venv", "dist", "cases"];

/// Distinguishes versions of a file.
pub(super) type FileState = Option<(u64, SystemTime)>;

/// Size and time of a file, if it is there.
pub(super) fn state(path: &Path) -> FileState {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// The directory with the source of a component.
pub(super) struct Source {
    dir: PathBuf,
    component: PathBuf,
}

impl Source {
    /// The directory that the component lies in, where that holds a plugin's source.
    pub(super) fn of(given: &GivenFlags) -> Option<Self> {
        let parent = given.file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = parent.unwrap_or(Path::new(".")).to_owned();
        is_plugin_source(&dir).then(|| Self { dir, component: given.file.clone() })
    }

    /// Every file that a build may read, and the folders that contain them.
    pub(super) fn look(&self) -> (BTreeMap<PathBuf, FileState>, Vec<PathBuf>) {
        let (mut files, mut folders) = (BTreeMap::new(), vec![self.dir.clone()]);
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                if name.starts_with('.') || files.len() >= FILES_MAX {
                    continue;
                }
                // A symbolic link to a folder may form a cycle.
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if !LEFT_OUT.contains(&name.as_str()) {
                        folders.push(path);
                    }
                } else if self.is_source(&path) {
                    files.insert(path.clone(), state(&path));
                }
            }
        }
        (files, folders)
    }

    /// Excludes the component and the files that are read together with it.
    fn is_source(&self, path: &Path) -> bool {
        let ends = |ending: &str| path.extension().is_some_and(|extension| extension == ending);
        !ends("wasm") && !ends("md") && path != self.component.with_extension("yaml")
    }

    /// Whether the component does not exist or is older than its source.
    pub(super) fn is_newer(&self, files: &BTreeMap<PathBuf, FileState>) -> bool {
        let Some((_, built)) = state(&self.component) else { return true };
        files.values().flatten().any(|(_, changed)| *changed > built)
    }

    /// Builds the component in its place. The language's tool prints its own messages.
    ///
    /// # Errors
    /// The reason that there is no component.
    pub(super) fn build(&self) -> Result<(), CommandError> {
        let args = PluginBuildArgs { dir: self.dir.clone(), output: self.dir.clone(), target_dir: None };
        let written = build_plugin(&args).map_err(CommandError::failed)?;
        let file_name = self.component.file_name();
        if written.iter().any(|path| path.file_name() == file_name) {
            return Ok(());
        }
        let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        Err(CommandError::failed(format!(
            "{} builds {}, not {}; name the component that it builds, or add --no-build",
            self.dir.display(),
            names.join(", "),
            self.component.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_what_a_build_reads() {
        let dir = tempfile::tempdir().unwrap();
        for path in
            ["go.mod", "main.go", "in/b.go", "a.wasm", "a.yaml", "README.md", ".hidden", "cases/c.yaml"]
        {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let given = |name: &str| GivenFlags { file: dir.path().join(name), manifest: None };
        let source = Source::of(&given("a.wasm")).unwrap();
        let (files, folders) = source.look();
        let names: Vec<_> =
            files.keys().map(|path| path.strip_prefix(dir.path()).unwrap().to_owned()).collect();
        assert_eq!(names, ["go.mod", "in/b.go", "main.go"].map(PathBuf::from));
        assert_eq!(folders.len(), 2);
        assert!(Source::of(&given("in/a.wasm")).is_none());
        assert!(Source::of(&given("b.wasm")).unwrap().is_newer(&files), "there is no component");
    }
}
