//! What only a store on disk can show: restarts, damage, a full disk, and kills.

mod backup;
mod damage;
mod failing;
mod full_disk;
mod group_commit;
mod kill;
mod lost;
mod measure;
mod recovery;
mod restart;

use std::io::Write as _;
use std::process::Command;

use bytes::Bytes;

use crate::store::{FileStore, Store, Watch, WatchItem};

/// Says that a test is left out, past the test harness, which shows nothing of a test that passes. Where `CI=true`
/// that is a failure.
fn skip(reason: &str) {
    assert!(!std::env::var("CI").is_ok_and(|value| value == "true"), "cannot be left out in CI: {reason}");
    writeln!(std::io::stderr(), "SKIPPED: {reason}").unwrap();
}

/// Set where a test runs a second time, with other rights.
const AGAIN: &str = "UMBEL_TEST_AGAIN";

/// Runs a test of this folder once more in a process of its own, by a program that gives it other rights. The error
/// says why there was no such process.
fn run_again(program: &[&str], test: &str) -> Result<(), String> {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(std::env::current_exe().unwrap());
    let test = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let output = command.args(["--exact", &test, "--nocapture"]).env(AGAIN, "1").output();
    let output = output.map_err(|error| format!("{}: {error}", program[0]))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !out.contains("running 1 test") {
        return Err(format!("{}: {}", program[0], err.trim()));
    }
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
    Ok(())
}

fn is_run_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The revisions and keys that a watch tells, up to and including revision `last`.
async fn sequence(watch: &mut Box<dyn Watch>, last: u64) -> Vec<(u64, String)> {
    let mut told = Vec::new();
    while told.last().is_none_or(|(revision, _)| *revision < last) {
        match watch.next().await.unwrap() {
            WatchItem::Event(event) => told.push((event.revision, event.key)),
            WatchItem::Progress(revision) => {
                panic!("nothing lies beside the prefix, but progress to {revision}")
            }
        }
    }
    told
}

/// A directory with a closed store that holds `count` records of some size, a few of them rewritten and deleted.
fn filled(count: u64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    runtime().block_on(async {
        for number in 0..count {
            let value = bytes(&format!("{number:0>300}"));
            store.create(format!("k/{number:04}"), value).await.unwrap();
        }
        for number in (0..count).step_by(5) {
            let (key, at) = (format!("k/{number:04}"), number + 1);
            let revision = store.update(key.clone(), at, bytes("changed")).await.unwrap();
            if number % 2 == 0 {
                store.delete(key, revision).await.unwrap();
            }
        }
    });
    directory
}
