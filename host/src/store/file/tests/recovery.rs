//! A commit that fails although it happened, and that also forgets more history than anybody has seen.

use std::sync::Arc;

use super::bytes;
use super::failing::FailingDisk;
use crate::store::change::Change;
use crate::store::file::directory::Directory;
use crate::store::file::engine::Engine;
use crate::store::published::Published;
use crate::store::{ListRequest, Revision, StoreError};

fn created(revision: Revision) -> Change {
    Change { revision, key: Arc::from(format!("k/{revision:02}")), value: Some(bytes("x")), previous: None }
}

#[tokio::test]
async fn changes_whose_history_is_gone_already_are_shown_all_the_same() {
    let mut happened = 0;
    // Each operation of the commit is the one that fails, in turn, until the commit gets through.
    for operation in 0.. {
        let home = tempfile::tempdir().unwrap();
        let disk = FailingDisk::default();
        let faults = Arc::clone(&disk.0);
        let (mut engine, contents) = Engine::open(Directory::claim(home.path()).unwrap(), disk).unwrap();
        let published = Published::new(contents);
        let known: Vec<_> = (1..=3).map(created).collect();
        engine.commit(&known, 0, 0).unwrap();
        published.publish(known, 0);
        let mut watch = published.watch(String::new(), 1).unwrap();

        faults.fill_after(operation);
        let batch: Vec<_> = (4..=12).map(created).collect();
        let committed = engine.commit(&batch, 0, 9);
        if committed.is_ok() && !faults.was_hit() {
            assert!(happened > 0, "no operation fails after the commit: nothing was tried");
            return;
        }
        faults.make_room();
        engine.recover(&published).unwrap();
        let (revision, compacted) = (published.read().revision(), published.read().compacted());
        if revision == 3 {
            continue;
        }
        happened += 1;
        assert_eq!((revision, compacted), (12, 9), "operation {operation}");
        let page = published.read().list(&ListRequest::default()).unwrap();
        let keys: Vec<_> = page.records.iter().map(|record| record.key.as_str()).collect();
        let expected: Vec<_> = (1..=12).map(|revision| format!("k/{revision:02}")).collect();
        assert_eq!(keys, expected, "operation {operation}");
        let told = watch.next().await;
        assert!(matches!(told, Err(StoreError::Compacted { asked: 1, oldest: 9 })), "{told:?}");
        let next = created(13);
        engine.commit(std::slice::from_ref(&next), 9, 10).unwrap();
        published.publish(vec![next], 10);
        assert_eq!((published.read().revision(), published.read().compacted()), (13, 10));
    }
}
