//! Create, compare-and-swap update and delete.

use super::{Open, below, bytes};
use crate::store::{HistoryBound, StoreError};

pub(crate) async fn an_empty_store_is_at_revision_zero(open: Open) {
    let subject = open(HistoryBound::default());
    assert_eq!(subject.store.revision(), 0);
    assert_eq!(subject.store.get("a").await.unwrap(), None);
    let page = subject.store.list(below("")).await.unwrap();
    assert_eq!((page.records.len(), page.revision, page.remaining), (0, 0, 0));
}

pub(crate) async fn create_refuses_an_existing_key(open: Open) {
    let subject = open(HistoryBound::default());
    let revision = subject.store.create("a".into(), bytes("one")).await.unwrap();
    let refused = subject.store.create("a".into(), bytes("two")).await;
    assert!(matches!(refused, Err(StoreError::Exists { key }) if key == "a"));
    let record = subject.store.get("a").await.unwrap().unwrap();
    assert_eq!((record.key.as_str(), record.value, record.revision), ("a", bytes("one"), revision));
}

pub(crate) async fn update_needs_the_expected_revision(open: Open) {
    let subject = open(HistoryBound::default());
    let store = &subject.store;
    let absent = store.update("a".into(), 1, bytes("x")).await;
    assert!(matches!(absent, Err(StoreError::Conflict { current: None, .. })));
    let first = store.create("a".into(), bytes("one")).await.unwrap();
    let second = store.update("a".into(), first, bytes("two")).await.unwrap();
    assert!(second > first);
    assert_eq!(store.revision(), second);
    let stale = store.update("a".into(), first, bytes("three")).await;
    let Err(StoreError::Conflict { key, current: Some(current) }) = stale else { panic!("{stale:?}") };
    assert_eq!((key.as_str(), current.revision, current.value), ("a", second, bytes("two")));
}

pub(crate) async fn delete_needs_the_expected_revision(open: Open) {
    let subject = open(HistoryBound::default());
    let store = &subject.store;
    assert!(matches!(store.delete("a".into(), 0).await, Err(StoreError::Conflict { current: None, .. })));
    let first = store.create("a".into(), bytes("one")).await.unwrap();
    let stale = store.delete("a".into(), first + 1).await;
    assert!(
        matches!(stale, Err(StoreError::Conflict { current: Some(record), .. }) if record.revision == first)
    );
    let gone = store.delete("a".into(), first).await.unwrap();
    assert!(gone > first);
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(store.revision(), gone);
}

pub(crate) async fn revisions_are_never_reused(open: Open) {
    let subject = open(HistoryBound::default());
    let store = &subject.store;
    let mut newest = 0;
    for _ in 0..3 {
        let created = store.create("a".into(), bytes("x")).await.unwrap();
        assert!(created > newest);
        newest = store.delete("a".into(), created).await.unwrap();
        assert!(newest > created);
        assert!(matches!(
            store.update("a".into(), created, bytes("y")).await,
            Err(StoreError::Conflict { .. })
        ));
    }
}

pub(crate) async fn a_refused_write_takes_no_revision(open: Open) {
    let subject = open(HistoryBound::default());
    let store = &subject.store;
    let first = store.create("a".into(), bytes("x")).await.unwrap();
    store.create("a".into(), bytes("x")).await.unwrap_err();
    store.delete("b".into(), first).await.unwrap_err();
    assert_eq!(store.revision(), first);
    assert_eq!(store.create("b".into(), bytes("x")).await.unwrap(), first + 1);
}

pub(crate) async fn empty_values_are_values(open: Open) {
    let subject = open(HistoryBound::default());
    let revision = subject.store.create("a".into(), bytes("")).await.unwrap();
    let record = subject.store.get("a").await.unwrap().unwrap();
    assert_eq!((record.value, record.revision), (bytes(""), revision));
}
