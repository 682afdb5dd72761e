//! The module between the host and a plugin in JavaScript or Python. It sends the plugin's output and the text of its
//! exceptions to the log, and checks the types of its answers.

use super::PluginBuildError;
use super::error::file_error;
use super::world_types::WorldTypes;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const JAVASCRIPT: &str = include_str!("../../../../../plugins/sdk/js/entry.js");
const PYTHON: &str = include_str!("../../../../../plugins/sdk/python/umbel_entry.py");
/// The module name of the Python entry.
pub(super) const PYTHON_MODULE: &str = "umbel_entry";
/// Hidden, and the same for every build: the file name becomes part of the component.
const JAVASCRIPT_FILE: &str = ".umbel-entry.js";

/// The JavaScript entry. It lies beside the plugin's own files, because imports are resolved from there. Dropping
/// this removes it.
pub(super) struct JavaScriptEntry {
    path: PathBuf,
}

impl JavaScriptEntry {
    /// Writes the entry for the main module of a package.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(dir: &Path, main: &str, types: &WorldTypes) -> Result<Self, PluginBuildError> {
        let path = dir.join(JAVASCRIPT_FILE);
        fs::write(&path, javascript(main, types)).map_err(|cause| file_error(&path, cause))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for JavaScriptEntry {
    fn drop(&mut self) {
        // Another build of the same directory may have removed it.
        fs::remove_file(&self.path).ok();
    }
}

fn javascript(main: &str, types: &WorldTypes) -> String {
    // JSON and JavaScript quote strings in the same way. The template already has the quotation marks.
    let quoted = |text: &str| Value::from(text).to_string().trim_matches('"').to_owned();
    let mut code = JAVASCRIPT
        .replace("__MAIN__", &quoted(main.trim_start_matches("./")))
        .replace("__LOG__", &quoted(&types.log))
        .replace("__EXPORTS__", &Value::Object(types.exports.clone()).to_string());
    for name in types.exports.keys() {
        let (name, original) = (camel(name), Value::from(name.as_str()));
        code.push_str(&format!("export const {name} = exported(\"{name}\", EXPORTS[{original}]);\n"));
    }
    code
}

fn camel(kebab: &str) -> String {
    let mut words = kebab.split('-');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.extend(letters);
    }
    name
}

/// Writes the Python entry into a folder.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_python(folder: &Path, types: &WorldTypes) -> Result<(), PluginBuildError> {
    fs::create_dir_all(folder).map_err(|cause| file_error(folder, cause))?;
    let path = folder.join(format!("{PYTHON_MODULE}.py"));
    let code = PYTHON.replace("__EXPORTS__", &Value::Object(types.exports.clone()).to_string());
    fs::write(&path, code).map_err(|cause| file_error(&path, cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_javascript_entry_names_what_the_world_exports() {
        let exports = json!({"lifecycle": {}, "two-words": {"a-b": {"result": null}}});
        let Value::Object(exports) = exports else { unreachable!() };
        let types = WorldTypes { log: "umbel:host/log@0.1.1".to_owned(), exports };
        let code = javascript("./a\"b.js", &types);
        assert!(code.contains("import log from \"umbel:host/log@0.1.1\";"), "{code}");
        assert!(code.contains("const MAIN = \"a\\\"b.js\";"), "{code}");
        assert!(
            code.ends_with("export const twoWords = exported(\"twoWords\", EXPORTS[\"two-words\"]);\n"),
            "{code}"
        );
        assert!(!code.contains("__"), "every placeholder is filled: {code}");
    }

    #[test]
    fn the_entry_goes_away_with_the_build() {
        let dir = tempfile::tempdir().unwrap();
        let types = WorldTypes { log: String::new(), exports: serde_json::Map::new() };
        let entry = JavaScriptEntry::write(dir.path(), "a.js", &types).unwrap();
        assert!(entry.path().is_file());
        drop(entry);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
