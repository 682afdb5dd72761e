//! What a restart keeps.

use std::collections::BTreeSet;

use super::{bytes, filled, sequence};
use crate::store::{FileStore, HistoryBound, ListRequest, OpenError, Store, StoreError, WatchItem, verify};

#[tokio::test]
async fn everything_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let first = store.create("a".into(), bytes("one")).await.unwrap();
    let second = store.create("b".into(), bytes("two")).await.unwrap();
    let third = store.update("a".into(), first, bytes("three")).await.unwrap();
    let gone = store.delete("b".into(), second).await.unwrap();
    let all = || ListRequest { at: Some(second), ..ListRequest::default() };
    let past = store.list(all()).await.unwrap();
    drop(store);

    let store = FileStore::open(directory.path()).unwrap();
    assert_eq!(store.revision(), gone);
    let record = store.get("a").await.unwrap().unwrap();
    assert_eq!((record.value, record.revision), (bytes("three"), third));
    assert_eq!(store.get("b").await.unwrap(), None);
    assert_eq!(store.list(all()).await.unwrap(), past, "old revisions are listed as before");
    assert_eq!(store.create("b".into(), bytes("x")).await.unwrap(), gone + 1);
}

#[tokio::test]
async fn revisions_are_not_reused_when_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let bound = HistoryBound { events: 1, bytes: 1 };
    let mut newest = 0;
    for _ in 0..3 {
        let store = FileStore::open_bounded(directory.path(), bound).unwrap();
        assert_eq!(store.revision(), newest);
        let created = store.create("a".into(), bytes("x")).await.unwrap();
        newest = store.delete("a".into(), created).await.unwrap();
        assert_eq!((created, newest), (newest - 1, created + 1));
    }
}

#[tokio::test]
async fn a_watch_resumes_across_a_restart_without_loss_or_repetition() {
    let directory = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    let mut written = 0;
    for round in 0..4 {
        let store = FileStore::open(directory.path()).unwrap();
        let resume = seen.last().map_or(0, |(revision, _)| *revision);
        let mut watch = store.watch(String::new(), resume).await.unwrap();
        for number in 0..10 {
            written = store.create(format!("{round}/{number}"), bytes("x")).await.unwrap();
        }
        // The last three of each round are left for the watch after the restart.
        seen.extend(sequence(&mut watch, written - 3).await);
    }
    let store = FileStore::open(directory.path()).unwrap();
    let resume = seen.last().map_or(0, |(revision, _)| *revision);
    let mut watch = store.watch(String::new(), resume).await.unwrap();
    seen.extend(sequence(&mut watch, written).await);
    assert!(seen.iter().map(|(revision, _)| *revision).eq(1..=40), "{seen:?}");
    assert_eq!(seen.iter().map(|(_, key)| key).collect::<BTreeSet<_>>().len(), 40);
}

#[tokio::test]
async fn the_bound_of_history_holds_across_a_restart_and_may_shrink() {
    let directory = tempfile::tempdir().unwrap();
    let bound = |events| HistoryBound { events, ..HistoryBound::default() };
    let store = FileStore::open_bounded(directory.path(), bound(8)).unwrap();
    for number in 0..20 {
        store.create(format!("{number}"), bytes("x")).await.unwrap();
    }
    drop(store);
    let store = FileStore::open_bounded(directory.path(), bound(3)).unwrap();
    let refused = store.watch(String::new(), 11).await.map(|_| ());
    assert!(matches!(refused, Err(StoreError::Compacted { asked: 11, oldest: 12 })), "{refused:?}");
    let mut watch = store.watch(String::new(), 12).await.unwrap();
    assert!(matches!(watch.next().await.unwrap(), WatchItem::Event(event) if event.revision == 13));
    store.create("more".into(), bytes("x")).await.unwrap();
    let refused = store.watch(String::new(), 17).await.map(|_| ());
    assert!(matches!(refused, Err(StoreError::Compacted { asked: 17, oldest: 18 })), "{refused:?}");
    drop(store);
    assert_eq!(verify(directory.path()).unwrap().oldest, 18);
}

#[tokio::test]
async fn a_closed_store_ends_its_watches() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let mut watch = store.watch(String::new(), 0).await.unwrap();
    store.create("a".into(), bytes("x")).await.unwrap();
    drop(store);
    assert!(matches!(watch.next().await, Ok(WatchItem::Event(event)) if event.key == "a"));
    assert!(matches!(watch.next().await, Err(StoreError::Medium(_))));
}

#[test]
fn a_second_opening_is_refused_by_the_name_of_the_directory() {
    let directory = filled(3);
    let store = FileStore::open(directory.path()).unwrap();
    let text = FileStore::open(directory.path()).unwrap_err().to_string();
    let expected = format!(
        "the store in {}/store is in use by process {}: stop it first, or use another data directory",
        directory.path().display(),
        std::process::id()
    );
    assert_eq!(text, expected);
    assert!(matches!(verify(directory.path()), Err(OpenError::InUse { .. })));
    drop(store);
    FileStore::open(directory.path()).unwrap();
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("deep/data");
    drop(FileStore::open(&data_dir).unwrap());
    let file = data_dir.join("store/store.redb");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(FileStore::open(&data_dir).unwrap());
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&data_dir), 0o700);
    assert_eq!(mode(&data_dir.join("store")), 0o700);
    for entry in std::fs::read_dir(data_dir.join("store")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn verify_changes_nothing_and_says_what_it_found() {
    let directory = filled(50);
    let file = directory.path().join("store/store.redb");
    let before = std::fs::read(&file).unwrap();
    let found = verify(directory.path()).unwrap();
    assert_eq!((found.records, found.revision, found.oldest), (45, 65, 0));
    assert_eq!(found.file_bytes, before.len() as u64);
    assert!(std::fs::read(&file).unwrap() == before, "the file has been left as it was");
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(verify(empty.path()), Err(OpenError::Absent { .. })));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}
