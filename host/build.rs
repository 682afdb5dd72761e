//! Lists the files that `umbel plugin new` writes, so that a template is a folder and nothing else.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folders below the root of the repository. Frozen WIT is for checks only.
const FOLDERS: [&str; 4] = ["plugins/templates", "plugins/sdk", "wit/deps", "wit/worlds.wit"];

fn main() -> io::Result<()> {
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..").canonicalize()?;
    let mut files = Vec::new();
    for folder in FOLDERS {
        let path = root.join(folder);
        println!("cargo::rerun-if-changed={}", path.display());
        if path.exists() {
            collect(&path, &mut files)?;
        }
    }
    files.sort();
    let mut code = "&[\n".to_owned();
    for file in files {
        let name = file.strip_prefix(&root).unwrap_or(&file);
        // A string takes any letters; writing to it cannot fail.
        writeln!(code, "({:?}, include_bytes!({:?})),", name.display().to_string(), file).ok();
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("template_files.rs"), code)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // What builds leave behind belongs to no template.
        if !["target", "node_modules"].contains(&entry.file_name().to_string_lossy().as_ref()) {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}
