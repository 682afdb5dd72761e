//! The component that a command is about, and the manifest beside it.

use super::shell_word;
use super::similar_path::closest_path;
use crate::assembly::CommandError;
use clap::ValueHint;
use std::fs;
use std::path::PathBuf;

/// Which component a command is about.
#[derive(clap::Args, Clone, Debug)]
pub(in crate::assembly) struct GivenFlags {
    /// The component
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// Its manifest [default: the file of the same name that ends in .yaml, where there is one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) manifest: Option<PathBuf>,
}

/// A component with its manifest, read.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) file: PathBuf,
    /// The file's name without `.wasm`: the plugin's identity.
    pub(super) name: String,
    pub(super) component: Vec<u8>,
    /// Where the manifest is from, and its text.
    pub(super) manifest: Option<(PathBuf, String)>,
}

impl GivenFlags {
    /// Reads both files.
    ///
    /// # Errors
    /// When one that has to be there cannot be read.
    pub(super) fn read(&self) -> Result<Given, CommandError> {
        if self.file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            return Err(CommandError::Usage(format!(
                "{} is a manifest; name the component, {}",
                self.file.display(),
                shell_word(&self.file.with_extension("wasm"))
            )));
        }
        let component = fs::read(&self.file).map_err(|cause| self.unreadable(&cause))?;
        let beside = self.file.with_extension("yaml");
        let path = self.manifest.clone().or_else(|| beside.exists().then_some(beside));
        let manifest = match path {
            None => None,
            Some(path) => {
                let text = fs::read_to_string(&path)
                    .map_err(|cause| CommandError::failed(format!("{}: {cause}", path.display())))?;
                Some((path, text))
            }
        };
        let name = self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Given { file: self.file.clone(), name, component, manifest })
    }

    /// An error that explains why there is no component, with a hint.
    fn unreadable(&self, cause: &std::io::Error) -> CommandError {
        let (file, shown) = (&self.file, self.file.display());
        if file.is_dir() {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let (folder, component) = (shell_word(file), shell_word(&file.join(format!("{name}.wasm"))));
            return CommandError::failed(format!(
                "{shown} is a directory; name a component such as {component}, which \
                 `umbel plugin build {folder} --output {folder}` writes"
            ));
        }
        let hint = match closest_path(file) {
            _ if cause.kind() != std::io::ErrorKind::NotFound => String::new(),
            Some(similar) => format!("; did you mean {}?", similar.display()),
            None => "; `umbel plugin build DIR --output DIR` writes a component".to_owned(),
        };
        CommandError::failed(format!("{shown}: {cause}{hint}"))
    }
}

impl Given {
    /// The text of the manifest.
    pub(super) fn manifest_text(&self) -> Option<&str> {
        self.manifest.as_ref().map(|(_, text)| text.as_str())
    }

    /// Where the manifest is from, for people.
    pub(super) fn manifest_words(&self) -> String {
        self.manifest.as_ref().map_or_else(|| "none".to_owned(), |(path, _)| path.display().to_string())
    }
}

/// SHA-256 as a manifest pins it.
pub(super) fn pin(component: &[u8]) -> String {
    format!("sha256:{}", crate::plugin::digest(component))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(file: PathBuf) -> String {
        GivenFlags { file, manifest: None }.read().unwrap_err().to_string()
    }

    #[test]
    fn a_missing_component_comes_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("zone.wasm"), "x").unwrap();
        let mistyped = problem(dir.path().join("zoen.wasm"));
        assert!(mistyped.ends_with("zone.wasm?") && mistyped.contains("did you mean"), "{mistyped}");
        let missing = problem(dir.path().join("health.wasm"));
        assert!(missing.contains("umbel plugin build DIR --output DIR"), "{missing}");
        let manifest = problem(dir.path().join("zone.yaml"));
        assert!(
            manifest.contains("is a manifest; name the component") && manifest.ends_with("zone.wasm"),
            "{manifest}"
        );
        let directory = problem(dir.path().to_owned());
        assert!(
            directory.contains("is a directory") && directory.contains("umbel plugin build"),
            "{directory}"
        );
    }
}
