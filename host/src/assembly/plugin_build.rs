//! `umbel plugin build`: from a Rust crate to a component that can be dropped into the plugin directory.

use clap::Args;
use serde::Deserialize;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the plugin crate in a directory and turns it into a component.
#[derive(Args, Clone, Debug)]
pub struct PluginBuildArgs {
    /// Directory with the plugin's Cargo.toml.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to put `<name>.wasm`; a plugin directory that is being watched will do.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Where cargo keeps what it makes on the way; the crate's own target directory by default.
    #[arg(long, value_name = "DIR")]
    pub target_dir: Option<PathBuf>,
}

/// Why a plugin cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum PluginBuildError {
    /// There is no crate.
    #[error("{dir} holds no Cargo.toml: name the directory of a plugin crate", dir = .0.display())]
    NoCrate(PathBuf),
    /// A tool cannot be run.
    #[error("{tool} cannot be run: {cause}; install Rust from https://rustup.rs")]
    NoTool {
        /// Its name.
        tool: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// The target's standard library is missing.
    #[error("the Rust target {TARGET} is not installed; run: rustup target add {TARGET}")]
    NoTarget,
    /// The compiler refused the crate and has said why.
    #[error("cargo could not build {dir}; see its messages above", dir = .0.display())]
    Refused(PathBuf),
    /// The crate makes no WebAssembly module.
    #[error("{dir} makes no WebAssembly module; set crate-type = [\"cdylib\"] in [lib] of its Cargo.toml", dir = .0.display())]
    NoModule(PathBuf),
    /// The module is none that a component can be made of.
    #[error("{module}: {cause}; build against the wit/ folder with wit-bindgen", module = module.display())]
    NotEncodable {
        /// The module.
        module: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Builds the crate with cargo, which prints its own messages, and writes one component per module.
///
/// # Errors
/// Says what is missing and how to get it.
pub fn build_plugin(args: &PluginBuildArgs) -> Result<Vec<PathBuf>, PluginBuildError> {
    check_target()?;
    let mut written = Vec::new();
    for module in compile(args)? {
        let bytes = fs::read(&module).map_err(|cause| file_error(&module, cause))?;
        let component = componentize(&bytes)
            .map_err(|cause| PluginBuildError::NotEncodable { module: module.clone(), cause })?;
        let stem = module.file_stem().and_then(|stem| stem.to_str()).unwrap_or("plugin");
        written.push(drop_file(&args.output, &stem.replace('_', "-"), &component)?);
    }
    if written.is_empty() { Err(PluginBuildError::NoModule(args.dir.clone())) } else { Ok(written) }
}

/// Turns a core module that was built with wit-bindgen into a component.
///
/// # Errors
/// What is wrong with the module.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(module).and_then(ComponentEncoder::encode);
    encoded.map_err(|error| format!("{error:#}"))
}

fn check_target() -> Result<(), PluginBuildError> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|cause| PluginBuildError::NoTool { tool: "rustc", cause })?;
    let path = String::from_utf8_lossy(&output.stdout);
    let installed = output.status.success() && Path::new(path.trim()).is_dir();
    if installed { Ok(()) } else { Err(PluginBuildError::NoTarget) }
}

/// What cargo says about a thing that it made.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    manifest_path: PathBuf,
}

fn compile(args: &PluginBuildArgs) -> Result<Vec<PathBuf>, PluginBuildError> {
    let dir = args.dir.as_path();
    let manifest = dir.join("Cargo.toml");
    let Ok(manifest) = manifest.canonicalize() else { return Err(PluginBuildError::NoCrate(dir.to_owned())) };
    let mut command = Command::new("cargo");
    if let Some(target_dir) = &args.target_dir {
        command.arg("--config").arg(format!("build.target-dir={:?}", target_dir.display().to_string()));
    }
    let output = command
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|cause| PluginBuildError::NoTool { tool: "cargo", cause })?;
    if !output.status.success() {
        return Err(PluginBuildError::Refused(dir.to_owned()));
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact" && message.manifest_path == manifest)
        .flat_map(|message| message.filenames)
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect())
}

/// Writes under a name that the gateway ignores and renames, so that it never sees half a file.
fn drop_file(directory: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, PluginBuildError> {
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

fn file_error(path: &Path, cause: io::Error) -> PluginBuildError {
    PluginBuildError::File { path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_crate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let args =
            PluginBuildArgs { dir: dir.path().to_owned(), output: dir.path().to_owned(), target_dir: None };
        let error = compile(&args).unwrap_err().to_string();
        assert!(error.contains("holds no Cargo.toml"), "{error}");
    }

    #[test]
    fn what_is_no_module_is_refused_with_a_cure() {
        assert!(componentize(b"hello").is_err());
        assert!(componentize(b"\0asm\x01\0\0").is_err());
    }

    #[test]
    fn the_component_appears_in_one_piece() {
        let dir = tempfile::tempdir().unwrap();
        let path = drop_file(&dir.path().join("new"), "a", b"x").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"x");
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 1);
    }
}
