//! Components built when a version of the interfaces was published still pass the cases of that day.
//!
//! Nothing is built here: the files lie in `tests/golden/components/<version>/<language>/`, compressed.

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use umbel_tests::Author;

fn components() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/components")
}

/// The entries of a directory in order.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut paths = read.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Unpacks a component and holds it to the cases beside it.
fn check(packed: &Path, cases: &Path) -> Result<()> {
    let file_name = packed.file_stem().context("no name")?;
    let plugin = Path::new(file_name).file_stem().context("no name")?;
    let mut author = Author::new()?;
    let mut unpacked = File::create(author.home().join(file_name))?;
    io::copy(&mut GzDecoder::new(File::open(packed)?), &mut unpacked)?;
    let cases = cases.join(plugin);
    let said =
        author.ok(&["plugin", "test", &file_name.to_string_lossy(), "--cases", &cases.to_string_lossy()])?;
    let last = said.lines().last().context("no summary")?;
    ensure!(last.ends_with(" passed, 0 failed") && !last.starts_with("0 "), "{said}");
    Ok(())
}

#[test]
fn golden_plugins_still_load() -> Result<()> {
    let mut checked = Vec::new();
    for version in entries(&components())?.into_iter().filter(|path| path.is_dir()) {
        let cases = version.join("cases");
        for language in entries(&version)?.into_iter().filter(|path| *path != cases && path.is_dir()) {
            for packed in entries(&language)? {
                check(&packed, &cases).with_context(|| packed.display().to_string())?;
                checked.push(packed);
            }
        }
    }
    // Every kind of decision in every language that can be kept small, and Python once.
    ensure!(checked.len() >= 10, "only {checked:?}");
    Ok(())
}
