//! Which language a plugin is written in, by what lies in its directory.

use super::PluginBuildError;
use crate::assembly::plugin_commands::similar_path::closest_path;
use std::path::Path;

/// A language that plugins can be built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// A crate.
    Rust,
    /// A module.
    Go,
    /// A package for npm.
    JavaScript,
    /// A project with app.py.
    Python,
}

/// The file that tells each language.
const MARKS: &[(&str, Language)] = &[
    ("Cargo.toml", Language::Rust),
    ("go.mod", Language::Go),
    ("package.json", Language::JavaScript),
    ("pyproject.toml", Language::Python),
];

/// The language of the plugin in a directory.
///
/// # Errors
/// When there is none, or more than one.
pub(super) fn language(dir: &Path) -> Result<Language, PluginBuildError> {
    let mut found = MARKS.iter().filter(|(file, _)| dir.join(file).is_file());
    let Some((first, language)) = found.next() else {
        return Err(match dir.is_dir() {
            true => PluginBuildError::NoPlugin(dir.to_owned()),
            false => PluginBuildError::NoDirectory { dir: dir.to_owned(), hint: directory_hint(dir) },
        });
    };
    match found.find(|(_, other)| other != language) {
        Some((second, _)) => Err(PluginBuildError::TwoLanguages { dir: dir.to_owned(), first, second }),
        None => Ok(*language),
    }
}

fn directory_hint(dir: &Path) -> String {
    if dir.is_file() {
        return "it is a file; name the directory with the plugin's source".to_owned();
    }
    match closest_path(dir) {
        Some(similar) => format!("did you mean {}?", similar.display()),
        None => "`umbel plugin new` writes a plugin".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn found(files: &[&str]) -> Result<Language, String> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(dir.path().join(file), "").unwrap();
        }
        language(dir.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_tells_the_language() {
        assert_eq!(found(&["Cargo.toml", "README.md"]), Ok(Language::Rust));
        assert_eq!(found(&["go.mod"]), Ok(Language::Go));
        assert_eq!(found(&["package.json"]), Ok(Language::JavaScript));
        assert_eq!(found(&["pyproject.toml", "app.py"]), Ok(Language::Python));
    }

    #[test]
    fn two_languages_in_one_directory_are_told_apart() {
        let error = found(&["go.mod", "pyproject.toml"]).unwrap_err();
        assert!(error.contains("holds both go.mod and pyproject.toml"), "{error}");
    }

    #[test]
    fn a_directory_without_a_plugin_is_named() {
        let error = found(&["README.md"]).unwrap_err();
        assert!(error.contains("holds no Cargo.toml, go.mod, package.json or pyproject.toml"), "{error}");
    }

    #[test]
    fn a_mistyped_directory_comes_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("my-zone")).unwrap();
        fs::write(dir.path().join("a.wasm"), "").unwrap();
        let problem = |name: &str| language(&dir.path().join(name)).unwrap_err().to_string();
        assert!(problem("my-zoen").ends_with("my-zone?"), "{}", problem("my-zoen"));
        assert!(problem("other").contains("umbel plugin new"), "{}", problem("other"));
        assert!(problem("a.wasm").contains("it is a file"), "{}", problem("a.wasm"));
    }
}
