//! `umbel store export`, `import` and `verify`, as processes.

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use umbel::store::{FileStore, Store as _};
use umbel_tests::umbel_program;

const OBJECTS: &str = "\
apiVersion: service.grafana.app/v0alpha1
kind: ExternalName
metadata:
  name: api
  namespace: wardle
spec:
  host: 127.0.0.1
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: v1alpha1.wardle.example.com
spec:
  group: wardle.example.com
  version: v1alpha1
  groupPriorityMinimum: 1000
  versionPriority: 15
  insecureSkipTLSVerify: true
  service:
    name: api
    namespace: wardle
";

struct Told {
    code: Option<i32>,
    out: String,
    error: String,
}

fn run(data_dir: &Path, arguments: &[&str]) -> Result<Told> {
    let output = Command::new(umbel_program()?)
        .arg("store")
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::null())
        .output()?;
    Ok(Told {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        error: String::from_utf8(output.stderr)?,
    })
}

fn done(data_dir: &Path, arguments: &[&str]) -> Result<String> {
    let told = run(data_dir, arguments)?;
    ensure!(told.code == Some(0), "{arguments:?} ended with {:?}: {}", told.code, told.error);
    Ok(told.out)
}

fn failed(data_dir: &Path, arguments: &[&str]) -> Result<String> {
    let told = run(data_dir, arguments)?;
    ensure!(told.code == Some(1), "{arguments:?} ended with {:?}: {}", told.code, told.out);
    Ok(told.error)
}

fn write(home: &TempDir, name: &str, text: &str) -> Result<PathBuf> {
    let file = home.path().join(name);
    std::fs::write(&file, text)?;
    Ok(file)
}

#[test]
fn what_is_exported_can_be_imported_elsewhere() -> Result<()> {
    let home = TempDir::new()?;
    let (here, there) = (home.path().join("here"), home.path().join("there"));
    let objects = write(&home, "objects.yaml", OBJECTS)?;
    let objects = objects.to_string_lossy();

    let dry = done(&here, &["import", "--dry-run", &objects])?;
    assert!(dry.ends_with("created 2, updated 0, unchanged 0 (dry run)\n"), "{dry}");
    assert!(!here.exists(), "a dry run writes nothing");
    let told = done(&here, &["import", &objects])?;
    assert_eq!(
        told,
        "apiregistration.k8s.io/apiservices/v1alpha1.wardle.example.com created\n\
         service.grafana.app/externalnames/wardle/api created\n\
         created 2, updated 0, unchanged 0\n"
    );
    let again = done(&here, &["import", &objects])?;
    assert_eq!(again, "created 0, updated 0, unchanged 2\n");
    let verified = done(&here, &["verify"])?;
    assert!(verified.contains("is whole: 2 objects, revision 2, history from revision 0"), "{verified}");

    let saved = home.path().join("saved.yaml");
    done(&here, &["export", "--output", &saved.to_string_lossy()])?;
    let exported = done(&here, &["export"])?;
    assert_eq!(std::fs::read_to_string(&saved)?, exported);
    assert!(exported.contains("\n  uid: "), "{exported}");
    done(&there, &["import", &saved.to_string_lossy()])?;
    assert_eq!(done(&there, &["export"])?, exported, "identities and times are restored, too");
    assert_eq!(done(&here, &["import", &saved.to_string_lossy()])?, "created 0, updated 0, unchanged 2\n");

    let changed = write(&home, "changed.yaml", &OBJECTS.replace("127.0.0.1", "api.example.com"))?;
    let dry = done(&here, &["import", "--dry-run", &changed.to_string_lossy()])?;
    assert!(
        dry.ends_with("externalnames/wardle/api updated\ncreated 0, updated 1, unchanged 1 (dry run)\n"),
        "{dry}"
    );
    assert_eq!(done(&here, &["export"])?, exported);
    let told = done(&here, &["import", &changed.to_string_lossy()])?;
    assert!(
        told.ends_with("externalnames/wardle/api updated\ncreated 0, updated 1, unchanged 1\n"),
        "{told}"
    );
    assert!(done(&here, &["export"])?.contains("host: api.example.com"));
    Ok(())
}

#[test]
fn a_failure_policy_that_was_accepted_once_is_imported_with_a_warning() -> Result<()> {
    let home = TempDir::new()?;
    let annotated = "  namespace: wardle\n  annotations: {umbel.dev/plugin-failure-policy: fail}\nspec:";
    let text = OBJECTS.replace("  namespace: wardle\nspec:", annotated);
    let file = write(&home, "old.yaml", &text)?;
    let data_dir = home.path().join("data");
    let told = done(&data_dir, &["import", &file.to_string_lossy()])?;
    let warning =
        "warning: document 1 (line 1): annotation umbel.dev/plugin-failure-policy does nothing: \"fail\"";
    assert!(told.contains(warning) && told.ends_with("created 2, updated 0, unchanged 0\n"), "{told}");
    assert!(done(&data_dir, &["export"])?.contains("umbel.dev/plugin-failure-policy: fail"));
    Ok(())
}

#[test]
fn bad_streams_import_nothing_and_are_named() -> Result<()> {
    let home = TempDir::new()?;
    let data_dir = home.path().join("data");
    let good = OBJECTS.split("---\n").next().unwrap_or_default();
    let cases = [
        ("broken YAML", format!("{good}---\na: [1,\n"), "document 2 (line 9): "),
        ("no object", format!("{good}---\nhello\n"), "document 2 (line 9): it is no object"),
        (
            "a foreign kind",
            format!("{good}---\n# a comment\napiVersion: v1\nkind: Secret\nmetadata: {{name: x}}\n"),
            "document 2 (line 10): apiVersion \"v1\", kind \"Secret\": Umbel keeps no such objects, only ",
        ),
        (
            "a bad value",
            OBJECTS.replace("127.0.0.1", "http://x"),
            "document 1 (line 1): ExternalName.service.grafana.app",
        ),
        (
            "no namespace",
            good.replace("  namespace: wardle\n", ""),
            "document 1 (line 1): ExternalName.service.grafana.app \"api\" is invalid: metadata.namespace: Required value",
        ),
        (
            "twice the same",
            format!("{good}---\n{good}"),
            "document 2 (line 9): the same object as in document 1 (line 1)",
        ),
    ];
    for (name, text, expected) in cases {
        let file = write(&home, "bad.yaml", &text)?;
        let told = failed(&data_dir, &["import", &file.to_string_lossy()])?;
        let start = format!("error: {}: {expected}", file.display());
        assert!(told.starts_with(&start) && told.ends_with("Nothing has been imported.\n"), "{name}: {told}");
        assert!(!data_dir.exists(), "{name}: something has been made");
    }
    let told = failed(&data_dir, &["import", "/nowhere/objects.yaml"])?;
    assert!(told.starts_with("error: cannot read /nowhere/objects.yaml: "), "{told}");
    Ok(())
}

#[test]
fn a_store_in_use_is_left_alone() -> Result<()> {
    let home = TempDir::new()?;
    let objects = write(&home, "objects.yaml", OBJECTS)?;
    let store = FileStore::open(home.path())?;
    for arguments in [&["verify"][..], &["export"], &["import", &objects.to_string_lossy()]] {
        let told = failed(home.path(), arguments)?;
        let expected = format!(
            "error: the store in {}/store is in use by process {}: stop it first, or use another data directory\n",
            home.path().display(),
            std::process::id()
        );
        assert_eq!(told, expected, "{arguments:?}");
    }
    assert_eq!(store.revision(), 0);
    Ok(())
}

#[test]
fn verify_tells_whole_damaged_and_absent_apart() -> Result<()> {
    let home = TempDir::new()?;
    let data_dir = home.path().join("data");
    let absent = failed(&data_dir, &["verify"])?;
    assert!(absent.starts_with("error: there is no store in "), "{absent}");
    assert!(!data_dir.exists(), "looking makes nothing");
    let objects = write(&home, "objects.yaml", OBJECTS)?;
    done(&data_dir, &["import", &objects.to_string_lossy()])?;
    done(&data_dir, &["verify"])?;

    let file = data_dir.join("store/store.redb");
    let mut bytes = std::fs::read(&file)?;
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&file, &bytes)?;
    for arguments in [&["verify"][..], &["export"], &["import", &objects.to_string_lossy()]] {
        let told = failed(&data_dir, arguments)?;
        assert!(
            told.starts_with(&format!("error: {} is damaged: ", file.display())),
            "{arguments:?}: {told}"
        );
    }
    assert_eq!(std::fs::read(&file)?, bytes);
    Ok(())
}
