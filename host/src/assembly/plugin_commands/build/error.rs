//! Why a plugin cannot be built.

use std::io;
use std::path::{Path, PathBuf};

/// Why a plugin cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum PluginBuildError {
    /// There is nothing to build.
    #[error(
        "{dir} holds no Cargo.toml, go.mod, package.json or pyproject.toml: name the directory of a plugin",
        dir = .0.display()
    )]
    NoPlugin(PathBuf),
    /// The directory does not exist.
    #[error("{dir}: there is no such directory; {hint}", dir = dir.display())]
    NoDirectory {
        /// The path that the user gave.
        dir: PathBuf,
        /// A suggestion for the path.
        hint: String,
    },
    /// There is more than one thing to build.
    #[error("{dir} holds both {first} and {second}: keep each plugin in a directory of its own", dir = dir.display())]
    TwoLanguages {
        /// The directory.
        dir: PathBuf,
        /// What was found first.
        first: &'static str,
        /// What else was found.
        second: &'static str,
    },
    /// A tool cannot be run.
    #[error("{tool} cannot be run: {cause}; {cure}")]
    NoTool {
        /// Its name.
        tool: String,
        /// What the system said.
        cause: io::Error,
        /// How to get it.
        cure: &'static str,
    },
    /// The target's standard library is missing.
    #[error("the Rust target {0} is not installed; run: rustup target add {0}")]
    NoTarget(&'static str),
    /// A tool refused the sources and has said why.
    #[error("{tool} could not build {dir}; see its messages above", dir = dir.display())]
    Refused {
        /// The tool.
        tool: String,
        /// What it was to build.
        dir: PathBuf,
    },
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
    /// A file of the plugin does not say what the build needs.
    #[error("{file}: {problem}", file = file.display())]
    Incomplete {
        /// The file.
        file: PathBuf,
        /// What is missing or wrong, and how to mend it.
        problem: String,
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

/// For `map_err`: what happened to which file.
pub(super) fn file_error(path: &Path, cause: io::Error) -> PluginBuildError {
    PluginBuildError::File { path: path.to_owned(), cause }
}
