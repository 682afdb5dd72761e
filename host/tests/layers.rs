//! The drawing in `src/lib.rs`, as a test: which folder may import which, and how long a file may be.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// No file may be longer.
const MAX_LINES: usize = 600;

/// Folders, and what each may import. `assembly` may import everything and is imported by nothing.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("observe", &["model", "config"]),
    ("transport", &["model"]),
    ("certificate", &[]),
    ("decision", &["model"]),
    ("kind", &["model", "object"]),
    ("merge", &["model", "decision", "kind", "route"]),
    ("object", &["model"]),
    ("route", &["model", "decision", "upstream", "observe"]),
    ("store", &["model", "observe"]),
    ("pki", &["model"]),
    ("upstream", &["model", "decision", "transport", "certificate", "observe"]),
    ("listen", &["model", "config", "observe", "transport", "certificate"]),
    ("plugin", &["model", "decision", "merge", "observe"]),
    ("registry", &["model", "kind", "object", "store", "observe"]),
    (
        "api",
        &["registry", "kind", "object", "store", "model", "merge", "observe", "route", "listen", "decision"],
    ),
    (
        "control",
        &[
            "registry", "kind", "object", "store", "plugin", "upstream", "route", "decision", "merge",
            "model", "config", "observe",
        ],
    ),
    ("proxy", &["listen", "upstream", "transport", "route", "decision", "model", "observe"]),
];

/// Folders that read no clock, disk or socket.
const PURE: &[&str] = &["model", "decision", "kind", "merge", "object"];
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "tokio::net",
    "tokio::fs",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
];

#[test]
fn imports_point_downward_only() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        LAYERS.iter().map(|(folder, imports)| (*folder, imports.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for file in sources() {
        let code = !file.ends_with("tests.rs");
        let Some(folder) = folder(&file).filter(|folder| code && folder != "assembly") else { continue };
        let allowed = allowed.get(folder.as_str()).unwrap_or_else(|| panic!("{folder} is in no layer"));
        for (number, line) in code_lines(&file) {
            for imported in imports(&line) {
                if imported != folder && is_folder(&imported) && !allowed.contains(imported.as_str()) {
                    wrong.push(format!("{}:{number}: {folder} imports {imported}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn only_the_plugin_folder_names_the_engine() {
    let wrong = occurrences(&["wasmtime::", "use wasmtime"], |folder| folder != Some("plugin"));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn only_the_file_store_names_its_database() {
    let wrong = occurrences(&["redb::", "use redb"], |folder| folder != Some("store"));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pure_folders_read_no_clock_disk_or_socket() {
    let wrong = occurrences(IMPURE, |folder| folder.is_some_and(|folder| PURE.contains(&folder)));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let mut wrong = Vec::new();
    for file in sources() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{}: {lines} lines, at most {MAX_LINES}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// `file:line: text` of every line of code with one of `needles` in folders that `applies` picks.
fn occurrences(needles: &[&str], applies: impl Fn(Option<&str>) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources().into_iter().filter(|file| applies(folder(file).as_deref())) {
        for (number, line) in code_lines(&file) {
            if needles.iter().any(|needle| line.contains(needle)) {
                found.push(format!("{}:{number}: {}", file.display(), line.trim()));
            }
        }
    }
    found
}

/// Lines outside of comments and before the tests of a file, with their numbers.
fn code_lines(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.map(|(index, line)| (index + 1, line.to_owned())).collect()
}

/// The folders that a line names after `crate::`.
fn imports(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in line.split("crate::").skip(1) {
        if let Some(list) = part.strip_prefix('{') {
            let names = list.split([',', '}', '{']).filter_map(|item| item.trim().split("::").next());
            found.extend(names.map(str::to_owned));
        } else {
            let end = part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
            found.push(part[..end].to_owned());
        }
    }
    found
}

fn is_folder(name: &str) -> bool {
    name == "assembly" || LAYERS.iter().any(|(folder, _)| *folder == name)
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The first folder below `src`; `None` for `lib.rs` and `main.rs`.
fn folder(file: &Path) -> Option<String> {
    let below = file.strip_prefix(source_root()).unwrap();
    let mut parts = below.components();
    let first = parts.next()?.as_os_str().to_string_lossy().into_owned();
    parts.next().map(|_| first)
}

fn sources() -> Vec<PathBuf> {
    let (mut files, mut open) = (Vec::new(), vec![source_root()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 40, "the sources are not where they should be");
    files.sort();
    files
}
