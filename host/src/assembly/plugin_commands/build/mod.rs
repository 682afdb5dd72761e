//! `umbel plugin build`: from a folder of sources to a component that can be dropped into the plugin directory.
//!
//! The language's own tool makes the code; everything that turns it into a component is in this program or comes from
//! the language's own package registry, pinned by the author's folder.

mod detect;
mod encode;
mod entry;
mod error;
mod go;
mod javascript;
mod output;
mod preview1;
mod python;
mod registrations;
mod rust;
mod scripting;
mod tool;
mod world;
mod world_types;

pub use encode::componentize;
pub use error::PluginBuildError;

use clap::{Args, ValueHint};
use detect::Language;
use std::path::{Path, PathBuf};

/// Builds the plugin in a directory and turns it into a component.
#[derive(Args, Clone, Debug)]
pub struct PluginBuildArgs {
    /// Directory with the plugin's Cargo.toml, go.mod, package.json, or pyproject.toml with app.py
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Where to put `<name>.wasm`; a plugin directory that is being watched will do
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// Where tools keep what they make and fetch [default: Rust: the crate's target directory; JavaScript and Python:
    /// ~/.cache/umbel]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub target_dir: Option<PathBuf>,
}

/// A component that came out of a build.
struct Built {
    /// The plugin's name, without `.wasm`.
    name: String,
    component: Vec<u8>,
}

/// Whether a directory holds the source of a plugin.
pub(in crate::assembly) fn is_plugin_source(dir: &Path) -> bool {
    detect::language(dir).is_ok()
}

/// Builds the folder with the tools of its language, which print their own messages, and writes what came out.
///
/// # Errors
/// Says what is missing and how to get it.
pub fn build_plugin(args: &PluginBuildArgs) -> Result<Vec<PathBuf>, PluginBuildError> {
    let built = match detect::language(&args.dir)? {
        Language::Rust => rust::build(args)?,
        Language::Go => go::build(args)?,
        Language::JavaScript => javascript::build(args)?,
        Language::Python => python::build(args)?,
    };
    built.iter().map(|built| output::drop_file(&args.output, &built.name, &built.component)).collect()
}
