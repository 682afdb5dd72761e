//! The component that a command is about, and the manifest beside it.

use crate::assembly::CommandError;
use clap::ValueHint;
use std::fs;
use std::path::{Path, PathBuf};

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
        let told =
            |path: &Path, cause: std::io::Error| CommandError::failed(format!("{}: {cause}", path.display()));
        let component = fs::read(&self.file).map_err(|cause| told(&self.file, cause))?;
        let beside = self.file.with_extension("yaml");
        let path = self.manifest.clone().or_else(|| beside.exists().then_some(beside));
        let manifest = match path {
            None => None,
            Some(path) => {
                let text = fs::read_to_string(&path).map_err(|cause| told(&path, cause))?;
                Some((path, text))
            }
        };
        let name = self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Given { file: self.file.clone(), name, component, manifest })
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
