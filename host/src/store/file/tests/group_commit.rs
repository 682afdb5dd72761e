//! That writers share commits, and that readers never wait for one.

use std::sync::Arc;
use std::time::Duration;

use super::bytes;
use super::failing::FailingDisk;
use crate::store::{FileStore, HistoryBound, ListRequest, Store, StoreError};

const WRITERS: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_writers_share_one_commit_and_readers_do_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FailingDisk::default();
    let faults = Arc::clone(&disk.0);
    let store = Arc::new(FileStore::open_on(directory.path(), HistoryBound::default(), disk).unwrap());
    let write = |key: String| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.create(key, bytes("x")).await })
    };

    let before = faults.syncs();
    store.create("alone".into(), bytes("x")).await.unwrap();
    let one_commit = faults.syncs() - before;

    faults.hold();
    let before = faults.syncs();
    let first = write("first".into());
    patiently(|| faults.syncs() > before).await;
    let others: Vec<_> = (0..WRITERS).map(|writer| write(format!("w{writer}"))).collect();
    patiently(|| store.waiting() == WRITERS).await;

    assert_eq!(store.get("first").await.unwrap(), None, "nothing is shown before it is durable");
    assert_eq!(store.list(ListRequest::default()).await.unwrap().records.len(), 1);
    assert!(!first.is_finished(), "nothing is acknowledged before it is durable");

    faults.release();
    assert_eq!(first.await.unwrap().unwrap(), 2);
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(faults.syncs() - before, 2 * one_commit, "one commit for the first, one for all others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_decides_against_its_own_writes() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FailingDisk::default();
    let faults = Arc::clone(&disk.0);
    let store = Arc::new(FileStore::open_on(directory.path(), HistoryBound::default(), disk).unwrap());
    let before = faults.syncs();
    faults.hold();
    let first = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.create("other".into(), bytes("x")).await }
    });
    patiently(|| faults.syncs() > before).await;
    // Polled in this order once, they queue in this order, to be decided in one batch.
    let chain = async {
        tokio::join!(
            store.create("a".into(), bytes("1")),
            store.create("a".into(), bytes("2")),
            store.update("a".into(), 2, bytes("3")),
            store.delete("a".into(), 2),
            store.delete("a".into(), 3),
            store.create("a".into(), bytes("4")),
        )
    };
    let release = async {
        patiently(|| store.waiting() == 6).await;
        faults.release();
    };
    let ((one, two, three, four, five, six), ()) = tokio::join!(chain, release);
    assert_eq!(first.await.unwrap().unwrap(), 1);
    assert_eq!(one.unwrap(), 2);
    assert!(matches!(two, Err(StoreError::Exists { .. })), "{two:?}");
    assert_eq!(three.unwrap(), 3);
    assert!(
        matches!(&four, Err(StoreError::Conflict { current: Some(now), .. }) if now.revision == 3),
        "{four:?}"
    );
    assert_eq!(five.unwrap(), 4);
    assert_eq!(six.unwrap(), 5);
    assert_eq!(store.get("a").await.unwrap().unwrap().value, bytes("4"));
}

async fn patiently(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the condition never holds");
}
