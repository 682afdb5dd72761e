//! A store whose file is deleted, moved or replaced while it is open.

use std::fs;
use std::path::Path;

use super::bytes;
use crate::store::{FileStore, OpenError, Store, StoreError};

fn refusal<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    match outcome {
        Err(StoreError::Medium(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn store_file(directory: &Path) -> std::path::PathBuf {
    directory.join("store/store.redb")
}

#[tokio::test]
async fn writes_to_a_deleted_file_are_refused_and_reads_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    store.create("a".into(), bytes("one")).await.unwrap();
    store.check().unwrap();
    fs::remove_file(store_file(directory.path())).unwrap();
    for _ in 0..2 {
        let told = refusal(store.create("b".into(), bytes("two")).await);
        assert!(told.contains("store.redb was deleted or moved away while Umbel was running"), "{told}");
        assert_eq!(refusal(store.check()), told);
    }
    assert_eq!(store.get("b").await.unwrap(), None);
    assert_eq!(store.get("a").await.unwrap().unwrap().value, bytes("one"));
    drop(store);
    assert!(matches!(FileStore::open(directory.path()), Err(OpenError::Missing { .. })));
}

#[tokio::test]
async fn a_directory_that_is_moved_away_and_back_takes_writes_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let (here, away) = (directory.path().join("store"), directory.path().join("away"));
    fs::rename(&here, &away).unwrap();
    let told = refusal(store.create("a".into(), bytes("x")).await);
    assert!(told.contains("Move it back"), "{told}");
    fs::rename(&away, &here).unwrap();
    assert_eq!(store.create("a".into(), bytes("x")).await.unwrap(), 1);
    store.check().unwrap();
    drop(store);
    assert_eq!(FileStore::open(directory.path()).unwrap().revision(), 1);
}

#[tokio::test]
async fn a_copy_in_place_of_the_file_is_not_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    store.create("a".into(), bytes("x")).await.unwrap();
    let (file, copy) = (store_file(directory.path()), directory.path().join("copy"));
    fs::copy(&file, &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    fs::rename(&copy, &file).unwrap();
    let told = refusal(store.create("b".into(), bytes("x")).await);
    assert!(told.contains("was replaced by another file") && told.contains("Restart Umbel"), "{told}");
    drop(store);
    assert!(fs::read(&file).unwrap() == before, "the copy was written to");
}

#[test]
fn an_empty_store_replaces_a_lost_one_only_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = store_file(directory.path());
    drop(FileStore::open(directory.path()).unwrap());
    fs::remove_file(&file).unwrap();
    let told = FileStore::open(directory.path()).unwrap_err().to_string();
    assert!(told.contains("--allow-empty-store"), "{told}");
    assert_eq!(FileStore::open_or_replace_lost(directory.path()).unwrap().revision(), 0);
    // An existing file is kept, even a damaged one.
    let store = FileStore::open(directory.path()).unwrap();
    let runtime = super::runtime();
    runtime.block_on(store.create("a".into(), bytes("x"))).unwrap();
    drop(store);
    assert_eq!(FileStore::open_or_replace_lost(directory.path()).unwrap().revision(), 1);
    fs::write(&file, "").unwrap();
    let refused = FileStore::open_or_replace_lost(directory.path());
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
}
