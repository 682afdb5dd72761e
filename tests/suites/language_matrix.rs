//! The shipped plugins in every language whose tools are here, under the same cases.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use umbel_tests::{Author, AuthorLanguage, need};

const PLUGINS: [&str; 3] = ["resolver-srv", "health-threshold", "discovery-filter"];

/// The folder with a plugin's source.
fn source(plugin: &str, language: AuthorLanguage) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(plugin);
    match language {
        AuthorLanguage::Rust => folder,
        other => folder.join(other.word()),
    }
}

fn run_cases(plugin: &str, language: AuthorLanguage) -> Result<()> {
    let mut author = Author::new()?;
    let source = source(plugin, language);
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(plugin).join("cases");
    let (source, cases) = (source.to_string_lossy(), cases.to_string_lossy());
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests");
    let mut build = vec!["plugin", "build", &source, "--output", "out"];
    // The tools of the other languages lie in the author's own cache.
    let target = target.to_string_lossy();
    if language == AuthorLanguage::Rust {
        build.extend(["--target-dir", &target]);
    }
    author.ok(&build)?;
    let component = format!("out/{plugin}.wasm");
    let said = author.ok(&["plugin", "test", &component, "--cases", &cases])?;
    let last = said.lines().last().context("no summary")?;
    println!("{plugin} in {}: {last}", language.name());
    ensure!(last.ends_with(" passed, 0 failed") && !last.starts_with("0 "), "{said}");
    Ok(())
}

#[test]
fn shipped_plugins_pass_the_same_cases_in_every_language() -> Result<()> {
    for language in AuthorLanguage::ALL {
        let Some(language) = need(language.here())? else { continue };
        for plugin in PLUGINS {
            run_cases(plugin, language).with_context(|| format!("{plugin} in {}", language.name()))?;
        }
    }
    Ok(())
}
