//! A Rust crate, built by cargo for a target without a system interface.

use super::encode::componentize;
use super::error::file_error;
use super::tool::Tool;
use super::{Built, PluginBuildArgs, PluginBuildError};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

const TARGET: &str = "wasm32-unknown-unknown";
const CARGO: Tool = Tool { name: "cargo", cure: "install Rust from https://rustup.rs" };
const RUSTC: Tool = Tool { name: "rustc", ..CARGO };

/// One component per module that the crate makes.
pub(super) fn build(args: &PluginBuildArgs) -> Result<Vec<Built>, PluginBuildError> {
    check_target()?;
    let mut built = Vec::new();
    for module in compile(args)? {
        let bytes = fs::read(&module).map_err(|cause| file_error(&module, cause))?;
        let component = componentize(&bytes)
            .map_err(|cause| PluginBuildError::NotEncodable { module: module.clone(), cause })?;
        let stem = module.file_stem().and_then(|stem| stem.to_str()).unwrap_or("plugin");
        built.push(Built { name: stem.replace('_', "-"), component });
    }
    if built.is_empty() { Err(PluginBuildError::NoModule(args.dir.clone())) } else { Ok(built) }
}

fn check_target() -> Result<(), PluginBuildError> {
    let output = RUSTC.output(RUSTC.command().args(["--print", "target-libdir", "--target", TARGET]))?;
    let path = String::from_utf8_lossy(&output.stdout);
    let installed = output.status.success() && Path::new(path.trim()).is_dir();
    if installed { Ok(()) } else { Err(PluginBuildError::NoTarget(TARGET)) }
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
    let manifest = args.dir.join("Cargo.toml");
    let manifest = manifest.canonicalize().map_err(|cause| file_error(&manifest, cause))?;
    let mut command = CARGO.command();
    if let Some(target_dir) = &args.target_dir {
        command.arg("--config").arg(format!("build.target-dir={:?}", target_dir.display().to_string()));
    }
    command
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest);
    let output = CARGO.run(&mut command, &args.dir)?;
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact" && message.manifest_path == manifest)
        .flat_map(|message| message.filenames)
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect())
}
