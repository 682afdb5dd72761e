//! `umbel plugin new`: a plugin that builds and passes its cases, to be changed by its author.

mod template;
mod type_declarations;

pub(super) use template::wit_files;

use super::shell_word;
use crate::assembly::CommandError;
use crate::object::names;
use clap::{Args, ValueEnum, ValueHint};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `umbel plugin new`.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct NewFlags {
    /// What the plugin decides
    #[arg(value_enum)]
    kind: Kind,
    /// The plugin's name: lower-case letters, digits and -, beginning with a letter
    name: String,
    /// The language to write it in
    #[arg(long, value_enum)]
    lang: Language,
    /// Directory to write; it must be empty or not exist [default: the plugin's name]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// What a plugin decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Which endpoints a service has
    Resolver,
    /// Whether a backend counts as available
    Health,
    /// How merged discovery looks
    Discovery,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Health => "health",
            Self::Discovery => "discovery",
        }
    }
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Rust, with rustup's target wasm32-unknown-unknown
    Rust,
    /// Go 1.25 or newer
    Go,
    /// JavaScript, with Node.js 20 or newer
    #[value(name = "js", alias = "javascript")]
    JavaScript,
    /// Python 3.11 or newer
    Python,
}

impl Language {
    fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }

    /// The folder of the repository with what plugins of this language share.
    fn library(self) -> Option<&'static str> {
        match self {
            Self::Rust | Self::JavaScript | Self::Python => None,
            Self::Go => Some("plugins/sdk/go/"),
        }
    }
}

/// Writes the plugin and says what to do next.
///
/// # Errors
/// `Usage` when the name cannot be one; `Failed` when the directory is in use or cannot be written.
pub(super) fn run(flags: &NewFlags) -> Result<(), CommandError> {
    check_name(flags)?;
    let dir = flags.dir.clone().unwrap_or_else(|| PathBuf::from(&flags.name));
    check_empty(&dir)?;
    let files = template::files(flags.kind, flags.lang, &flags.name).map_err(CommandError::Failed)?;
    for file in &files {
        let path = dir.join(&file.path);
        write_new(&path, &file.bytes)
            .map_err(|cause| CommandError::failed(format!("{}: {cause}", path.display())))?;
    }
    crate::assembly::print(&next_steps(flags, &dir, files.len()))
}

fn check_name(flags: &NewFlags) -> Result<(), CommandError> {
    let name = &flags.name;
    if !names::dns1035_label(name).is_empty() {
        return Err(CommandError::Usage(format!(
            "{name:?} cannot name a plugin: use lower-case letters, digits and -, beginning with a letter, at most 63"
        )));
    }
    let is_taken = |taken: String| taken.replace('_', "-") == *name;
    if template::taken_names(flags.kind, flags.lang).into_iter().any(is_taken) {
        return Err(CommandError::Usage(format!(
            "{name:?} is the name of a library that the plugin is built with; choose another one"
        )));
    }
    Ok(())
}

fn check_empty(dir: &Path) -> Result<(), CommandError> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CommandError::failed(format!("{}: {error}", dir.display()))),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(CommandError::failed(format!(
                "{} is not empty; name a directory that is empty or does not exist with --dir",
                dir.display()
            ))),
        },
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::File::create_new(path)?.write_all(bytes)
}

fn next_steps(flags: &NewFlags, dir: &Path, count: usize) -> String {
    let component = shell_word(&dir.join(format!("{}.wasm", flags.name)));
    let folder = shell_word(dir);
    format!(
        "{count} files in {folder}; README.md tells which is which. Next:\n\n  \
         umbel plugin build {folder} --output {folder}\n  \
         umbel plugin test {component}\n  \
         umbel plugin install {component} --data-dir ./umbel-data\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(name: &str, dir: &Path) -> NewFlags {
        let (kind, lang) = (Kind::Resolver, Language::Rust);
        NewFlags { kind, name: name.to_owned(), lang, dir: Some(dir.to_owned()) }
    }

    #[test]
    fn a_directory_in_use_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "x").unwrap();
        let error = run(&flags("shop", dir.path())).unwrap_err();
        assert!(matches!(&error, CommandError::Failed(text) if text.contains("is not empty")), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let file = run(&flags("shop", &dir.path().join("mine"))).unwrap_err();
        assert!(file.to_string().contains("mine: "), "{file}");
    }

    #[test]
    fn a_project_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("deep/shop");
        run(&flags("shop", &place)).unwrap();
        assert!(fs::read_to_string(place.join("Cargo.toml")).unwrap().contains("name = \"shop\""));
        assert!(place.join("shop.yaml").is_file());
    }

    #[test]
    fn names_that_cannot_be_are_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["Shop", "1shop", "", "a_b", "serde-json", "../x"] {
            let error = run(&flags(name, &dir.path().join("x"))).unwrap_err();
            assert!(matches!(error, CommandError::Usage(_)), "{name}: {error}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_comes_next_can_be_pasted() {
        let text = next_steps(&flags("shop", Path::new("my dir/shop")), Path::new("my dir/shop"), 9);
        assert!(text.contains("\n  umbel plugin build 'my dir/shop' --output 'my dir/shop'\n"), "{text}");
        assert!(text.contains("\n  umbel plugin test 'my dir/shop/shop.wasm'\n"), "{text}");
    }
}
