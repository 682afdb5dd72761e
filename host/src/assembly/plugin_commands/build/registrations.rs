//! Which packages of the Go SDK a plugin registers its functions with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Interfaces, and the package whose `Export` registers the functions of each.
const PACKAGES: [(&str, &str); 4] = [
    ("umbel:lifecycle/lifecycle@", "lifecycle"),
    ("umbel:resolver/resolver@", "resolver"),
    ("umbel:health/checker@", "checker"),
    ("umbel:discovery/transformer@", "transformer"),
];
const SDK: &str = "umbel.dev/plugin/";

/// The Go files of a module, without tests, the SDK and vendored packages.
///
/// # Errors
/// The path that cannot be read.
pub(super) fn read(dir: &Path) -> Result<Vec<String>, (PathBuf, io::Error)> {
    let mut sources = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |cause| (folder.clone(), cause);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // A symbolic link to a folder may form a cycle.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !name.starts_with(['.', '_']) && !["sdk", "vendor", "testdata"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(".go") && !name.ends_with("_test.go") {
                sources.push(fs::read_to_string(&path).map_err(|cause| (path, cause))?);
            }
        }
    }
    Ok(sources)
}

/// The package of an exported interface with which no source file registers. A program that does not use the SDK's
/// worlds exports its functions itself.
pub(super) fn missing(exports: &BTreeSet<String>, sources: &[String]) -> Option<&'static str> {
    let worlds = format!("\"{SDK}worlds/");
    if !sources.iter().any(|source| source.contains(&worlds)) {
        return None;
    }
    let exported = PACKAGES.iter().filter(|(prefix, _)| exports.iter().any(|name| name.starts_with(prefix)));
    let mut packages = exported.map(|(_, package)| *package);
    packages.find(|package| !sources.iter().any(|source| registers(source, package)))
}

fn registers(source: &str, package: &str) -> bool {
    let path = format!("\"{SDK}{package}\"");
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    let import = code.clone().find(|line| line.contains(&path));
    let Some(import) = import else { return false };
    // `import alias "path"`, or a line of a block.
    let before = import.split(&path).next().unwrap_or_default().trim();
    let call = match before.trim_start_matches("import").trim().trim_start_matches('(').trim() {
        "" => format!("{package}.Export("),
        "." => "Export(".to_owned(),
        alias => format!("{alias}.Export("),
    };
    code.into_iter().any(|line| line.contains(&call))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_in(source: &str) -> Option<&'static str> {
        let exports = ["umbel:lifecycle/lifecycle@0.1.0", "umbel:resolver/resolver@0.1.0"];
        missing(&exports.map(str::to_owned).into(), &[source.to_owned()])
    }

    const WHOLE: &str = "package main
import (
\t\"umbel.dev/plugin/lifecycle\"
\tfind \"umbel.dev/plugin/resolver\"
\t_ \"umbel.dev/plugin/worlds/resolver\"
)
func init() {
\tlifecycle.Export(about, validate)
\tfind.Export(resolve) // find.Export
}
";

    #[test]
    fn a_package_that_nothing_registers_with_is_named() {
        assert_eq!(missing_in(WHOLE), None);
        assert_eq!(missing_in(&WHOLE.replace("\tfind.Export(resolve)", "\t")), Some("resolver"));
        assert_eq!(
            missing_in(&WHOLE.replace("\tlifecycle.Export(about, validate)\n", "")),
            Some("lifecycle")
        );
        assert_eq!(missing_in(&WHOLE.replace("find \"", ". \"").replace("find.Export(r", "Export(r")), None);
        assert_eq!(missing_in("package main"), None, "it exports by itself");
    }

    #[test]
    fn tests_and_the_sdk_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [("main.go", "m"), ("a_test.go", "t"), ("sdk/x.go", "s"), ("in/b.go", "b")] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut sources = read(dir.path()).unwrap();
        sources.sort();
        assert_eq!(sources, ["b", "m"]);
    }
}
