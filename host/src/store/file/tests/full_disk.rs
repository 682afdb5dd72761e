//! A disk that fills up at any point of a commit: nothing acknowledged is lost, nothing is told twice.

use std::process::Command;
use std::sync::Arc;

use super::failing::{FailingDisk, Faults};
use super::{bytes, is_run_again, run_again, sequence, skip};
use crate::store::{FileStore, HistoryBound, ListRequest, Store, StoreError, verify};

struct Tale {
    store: FileStore,
    faults: Arc<Faults>,
    directory: tempfile::TempDir,
}

async fn begin() -> Tale {
    let directory = tempfile::tempdir().unwrap();
    let disk = FailingDisk::default();
    let faults = Arc::clone(&disk.0);
    let bound = HistoryBound { events: 6, ..HistoryBound::default() };
    let store = FileStore::open_on(directory.path(), bound, disk).unwrap();
    for number in 0..5 {
        store.create(format!("kept/{number}"), bytes("before")).await.unwrap();
    }
    Tale { store, faults, directory }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_only_and_recovers_without_a_restart() {
    // Each operation of a commit is the one that fails, in turn, until a commit gets through.
    for operation in 0.. {
        let Tale { store, faults, directory } = begin().await;
        let mut watch = store.watch(String::new(), 3).await.unwrap();
        faults.fill_after(operation);
        let written = store.create("lost?".into(), bytes(&"x".repeat(20_000))).await;
        if !faults.was_hit() {
            assert!(operation > 3, "a commit takes several operations");
            written.unwrap();
            return;
        }
        // The failing operation may have come after the commit, which then stands.
        if let Err(refused) = &written {
            assert!(matches!(refused, StoreError::Medium(_)), "{refused:?}");
            let text = refused.to_string();
            assert!(text.contains("store.redb") && text.contains("reads go on"), "{text}");
        }
        let again = store.delete("kept/0".into(), 1).await;
        assert!(matches!(again, Err(StoreError::Medium(_))), "still full: {again:?}");
        assert_eq!(store.get("kept/4").await.unwrap().unwrap().value, bytes("before"));

        faults.make_room();
        let gone = store.delete("kept/0".into(), 1).await.unwrap();
        let stands = store.get("lost?").await.unwrap();
        assert_eq!(gone, if stands.is_some() { 7 } else { 6 }, "operation {operation}");
        assert!(written.is_err() || stands.is_some(), "what was acknowledged is there");
        let told = sequence(&mut watch, gone).await;
        let mut expected = vec![(4, "kept/3".to_owned()), (5, "kept/4".to_owned())];
        expected.extend(stands.iter().map(|record| (record.revision, "lost?".to_owned())));
        expected.push((gone, "kept/0".to_owned()));
        assert_eq!(told, expected, "operation {operation}");

        drop(store);
        let found = verify(directory.path()).unwrap();
        assert_eq!((found.revision, found.records), (gone, gone - 2), "operation {operation}");
    }
}

#[tokio::test]
async fn a_restart_on_a_full_disk_keeps_what_was_acknowledged() {
    for operation in 0..12 {
        let Tale { store, faults, directory } = begin().await;
        faults.fill_after(operation);
        let written = store.create("lost?".into(), bytes(&"x".repeat(20_000))).await;
        drop(store);
        let store = FileStore::open(directory.path()).unwrap();
        assert!(store.revision() >= if written.is_ok() { 6 } else { 5 });
        for number in 0..5 {
            assert!(store.get(&format!("kept/{number}")).await.unwrap().is_some());
        }
        let next = store.revision() + 1;
        assert_eq!(store.create("next".into(), bytes("x")).await.unwrap(), next);
    }
}

/// A small file system of its own, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// The refusal is that of `mount`.
    fn mount() -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=8m,mode=0700", "umbel-test"];
        let mounted = Command::new("mount").args(arguments).arg(directory.path()).output();
        let mounted = mounted.map_err(|error| format!("mount cannot be started: {error}"))?;
        if mounted.status.success() {
            return Ok(Self(directory));
        }
        Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0.path()).status().unwrap();
    }
}

#[tokio::test]
async fn a_really_full_file_system_behaves_the_same() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => {
            assert!(!is_run_again(), "not even in a namespace of its own: {why}");
            // Who is not root may be it in a namespace.
            let program = ["unshare", "--user", "--map-root-user", "--mount"];
            let test = "full_disk::a_really_full_file_system_behaves_the_same";
            if let Err(neither) = run_again(&program, test) {
                skip(&format!(
                    "nobody lets this test mount the small file system to be filled: {why}; {neither}"
                ));
            }
            return;
        }
    };
    let data_dir = disk.0.path();
    let store = FileStore::open(data_dir).unwrap();
    let mut acknowledged = 0;
    let refused = loop {
        let key = format!("k/{acknowledged:04}");
        match store.create(key, bytes(&"x".repeat(10_000))).await {
            Ok(revision) => acknowledged = revision,
            Err(refused) => break refused.to_string(),
        }
        assert!(acknowledged < 1_000, "the disk never fills");
    };
    assert!(refused.contains("No space left on device") && refused.contains("Make room"), "{refused}");
    for _ in 0..3 {
        assert!(store.create("k/more".into(), bytes(&"x".repeat(10_000))).await.is_err());
    }
    let page = store.list(ListRequest::default()).await.unwrap();
    assert_eq!(page.records.len() as u64, acknowledged, "reads go on");

    // With all that was said before, so that the owner it is listed with, which may mean nobody here, is not added.
    let arguments = ["-t", "tmpfs", "-o", "remount,size=32m", "umbel-test"];
    let larger = Command::new("mount").args(arguments).arg(data_dir).status().unwrap();
    assert!(larger.success());
    assert_eq!(store.create("k/more".into(), bytes("x")).await.unwrap(), acknowledged + 1);
    drop(store);
    let found = verify(data_dir).unwrap();
    assert_eq!((found.records, found.revision), (acknowledged + 1, acknowledged + 1));
}
