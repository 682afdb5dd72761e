//! Many writers at once.

use std::sync::Arc;

use super::{Open, below, bytes, until};
use crate::store::{HistoryBound, Store, StoreError};

const WRITERS: u64 = 8;
const ROUNDS: u64 = 25;

/// Creates `w<n>/<round>` from all writers at once; returns each writer's revisions.
async fn write_all(store: &Arc<dyn Store>) -> Vec<Vec<u64>> {
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for round in 0..ROUNDS {
                    revisions.push(store.create(format!("w{writer}/{round}"), bytes("x")).await.unwrap());
                }
                revisions
            })
        })
        .collect();
    let mut all = Vec::new();
    for writer in writers {
        all.push(writer.await.unwrap());
    }
    all
}

pub(crate) async fn writers_of_many_keys_share_one_sequence(open: Open) {
    let subject = open(HistoryBound::default());
    let all = write_all(&subject.store).await;
    assert!(all.iter().all(|own| own.is_sorted()), "a writer's own revisions increase");
    let mut together = all.concat();
    together.sort_unstable();
    assert!(together.iter().copied().eq(1..=WRITERS * ROUNDS), "each revision is taken exactly once");
    assert_eq!(subject.store.revision(), WRITERS * ROUNDS);
    for (writer, revisions) in all.iter().enumerate() {
        let page = subject.store.list(below(&format!("w{writer}/"))).await.unwrap();
        let mut listed: Vec<_> = page.records.iter().map(|record| record.revision).collect();
        listed.sort_unstable();
        assert_eq!(&listed, revisions);
    }
}

pub(crate) async fn one_of_many_creates_wins(open: Open) {
    let subject = open(HistoryBound::default());
    let attempts: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&subject.store);
            tokio::spawn(async move { store.create("one".into(), bytes(&writer.to_string())).await })
        })
        .collect();
    let mut won = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(revision) => {
                assert_eq!(revision, 1);
                won += 1;
            }
            Err(refused) => assert!(matches!(refused, StoreError::Exists { .. }), "{refused:?}"),
        }
    }
    assert_eq!((won, subject.store.revision()), (1, 1));
}

pub(crate) async fn compare_and_swap_counts_right(open: Open) {
    let subject = open(HistoryBound::default());
    subject.store.create("count".into(), bytes("0")).await.unwrap();
    let counters: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = Arc::clone(&subject.store);
            tokio::spawn(async move {
                let mut added = 0;
                while added < ROUNDS {
                    let record = store.get("count").await.unwrap().unwrap();
                    let count: u64 = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
                    let next = bytes(&(count + 1).to_string());
                    match store.update("count".into(), record.revision, next).await {
                        Ok(_) => added += 1,
                        Err(StoreError::Conflict { current: Some(_), .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    for counter in counters {
        counter.await.unwrap();
    }
    let record = subject.store.get("count").await.unwrap().unwrap();
    assert_eq!(record.value, bytes(&(WRITERS * ROUNDS).to_string()));
    assert_eq!(record.revision, WRITERS * ROUNDS + 1);
}

pub(crate) async fn a_watch_started_amid_writes_misses_nothing(open: Open) {
    let subject = open(HistoryBound::default());
    let writing = tokio::spawn({
        let store = Arc::clone(&subject.store);
        async move { write_all(&store).await }
    });
    let mut watchers = Vec::new();
    for _ in 0..10 {
        tokio::task::yield_now().await;
        let page = subject.store.list(below("")).await.unwrap();
        assert_eq!(page.records.len() as u64, page.revision, "a list shows exactly its revision");
        let mut watch = subject.store.watch(String::new(), page.revision).await.unwrap();
        watchers.push(tokio::spawn(async move {
            if page.revision < WRITERS * ROUNDS {
                let told = until(&mut watch, WRITERS * ROUNDS).await.unwrap();
                assert_eq!(told.len() as u64, WRITERS * ROUNDS - page.revision);
                for (item, revision) in told.iter().zip(page.revision + 1..) {
                    assert!(item.starts_with(&format!("{revision} +w")), "{item} at {revision}");
                }
            }
        }));
    }
    writing.await.unwrap();
    for watcher in watchers {
        watcher.await.unwrap();
    }
}
