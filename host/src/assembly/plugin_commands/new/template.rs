//! The files of a new plugin: what all kinds share, what the language needs, and the WIT.

use super::type_declarations::declarations;
use super::{Kind, Language};
use std::path::PathBuf;

/// Every template by its path in the repository; listed at build time.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/template_files.rs"));
/// The name that templates bear. They are working plugins of this name.
const EXAMPLE: &str = "example-plugin";

/// A file of a new plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Where it goes, from the plugin's directory.
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// All files of a new plugin of that name.
///
/// # Errors
/// When the interfaces of this program cannot be read, which its tests rule out.
pub(super) fn files(kind: Kind, language: Language, name: &str) -> Result<Vec<File>, String> {
    let folders = folders(kind, language);
    let mut files: Vec<File> = Vec::new();
    for (path, bytes) in FILES {
        let found = folders.iter().find_map(|(from, to)| Some((path.strip_prefix(from.as_str())?, *to)));
        if let Some((rest, to)) = found {
            files.push(File { path: [to, &renamed(rest, name)].concat().into(), bytes: named(bytes, name) });
        }
    }
    if language == Language::JavaScript {
        let bytes = declarations(kind.folder())?.into_bytes();
        files.push(File { path: "types/umbel.d.ts".into(), bytes });
    }
    Ok(files)
}

/// Which folders of the repository go where.
fn folders(kind: Kind, language: Language) -> Vec<(String, &'static str)> {
    let (kind, language_folder) = (kind.folder(), language.folder());
    let mut folders = vec![
        (format!("plugins/templates/common/{kind}/"), ""),
        (format!("plugins/templates/{language_folder}/{kind}/"), ""),
        (format!("plugins/templates/{language_folder}/all/"), ""),
        ("wit/".to_owned(), "wit/"),
    ];
    folders.extend(language.library().map(|folder| (folder.to_owned(), "sdk/")));
    folders
}

/// The interfaces, by their path in the `wit` folder.
pub(in super::super) fn wit_files() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().filter_map(|(path, bytes)| Some((path.strip_prefix("wit/")?, *bytes)))
}

fn renamed(path: &str, name: &str) -> String {
    path.replace(EXAMPLE, name)
}

/// The content under the plugin's own name. What is no text is no place for a name.
fn named(bytes: &[u8], name: &str) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.replace(EXAMPLE, name).into_bytes(),
        Err(_) => bytes.to_owned(),
    }
}

/// Names of the libraries that a plugin of the language is built with: they cannot be the plugin's own.
pub(super) fn taken_names(kind: Kind, language: Language) -> Vec<String> {
    let path = format!("plugins/templates/{}/{}/Cargo.lock", language.folder(), kind.folder());
    let lock = FILES.iter().find(|(file, _)| *file == path).map(|(_, bytes)| String::from_utf8_lossy(bytes));
    let lines = lock.iter().flat_map(|text| text.lines());
    let names = lines.filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names.filter(|name| *name != EXAMPLE).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_kind_and_language_has_a_whole_project() {
        for kind in Kind::value_variants() {
            for language in Language::value_variants() {
                let files = files(*kind, *language, "shop").unwrap();
                let has = |path: &str| files.iter().any(|file| file.path.to_str() == Some(path));
                let for_editors = match language {
                    Language::JavaScript => "types/umbel.d.ts",
                    Language::Python => "typings/wit_world/exports/lifecycle.pyi",
                    Language::Rust | Language::Go => "README.md",
                };
                for path in ["shop.yaml", "README.md", "wit/worlds.wit", for_editors] {
                    assert!(has(path), "{kind:?} in {language:?}: {path}");
                }
                let cases = files.iter().filter(|file| file.path.starts_with("cases")).count();
                assert!(cases >= 2, "{kind:?} in {language:?} has {cases} files of cases");
                let leftover = files.iter().find(|file| {
                    file.path.display().to_string().contains(EXAMPLE)
                        || String::from_utf8_lossy(&file.bytes).contains(EXAMPLE)
                });
                assert_eq!(leftover.map(|file| &file.path), None);
                let mut paths: Vec<_> = files.iter().map(|file| &file.path).collect();
                paths.sort();
                paths.dedup();
                assert_eq!(paths.len(), files.len(), "two templates write one file");
            }
        }
    }

    #[test]
    fn python_stubs_cover_every_interface_of_the_world() {
        let worlds = wit_files().find(|(path, _)| *path == "worlds.wit").unwrap().1;
        let worlds = String::from_utf8_lossy(worlds);
        for kind in Kind::value_variants() {
            let files = files(*kind, Language::Python, "shop").unwrap();
            let own = worlds.split(&format!("world {} {{", kind.folder())).nth(1).unwrap();
            let own = own.split('}').next().unwrap();
            let base = worlds.split("world base {").nth(1).unwrap().split('}').next().unwrap();
            for line in own.lines().chain(base.lines()) {
                let Some((word, interface)) = line.trim().split_once(' ') else { continue };
                let Some(name) = interface.split(['/', '@']).nth(1) else { continue };
                let path = format!("typings/wit_world/{word}s/{name}.pyi");
                assert!(files.iter().any(|file| file.path.to_str() == Some(&path)), "{kind:?}: {path}");
            }
        }
    }

    #[test]
    fn libraries_keep_their_names() {
        assert!(taken_names(Kind::Resolver, Language::Rust).contains(&"serde_json".to_owned()));
    }
}
