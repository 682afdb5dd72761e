//! Pages, prefixes and continuation.

use super::{Open, below, bytes, keys};
use crate::store::{HistoryBound, ListRequest, Store};

async fn fill(store: &dyn Store, keys: &[&str]) {
    for key in keys {
        store.create((*key).to_owned(), bytes(key)).await.unwrap();
    }
}

pub(crate) async fn pages_follow_each_other(open: Open) {
    let subject = open(HistoryBound::default());
    fill(&*subject.store, &["k/5", "k/3", "k/1", "l/0", "k/4", "k/2", "j/9"]).await;
    let mut request = ListRequest { limit: 2, ..below("k/") };
    let mut seen = Vec::new();
    for remaining in [3, 1, 0] {
        let page = subject.store.list(request.clone()).await.unwrap();
        assert_eq!(page.remaining, remaining);
        assert_eq!(page.revision, 7);
        request.after = page.records.last().map(|record| record.key.clone());
        seen.extend(page.records.into_iter().map(|record| record.key));
    }
    assert_eq!(seen, ["k/1", "k/2", "k/3", "k/4", "k/5"]);
    let beyond = subject.store.list(request).await.unwrap();
    assert_eq!((beyond.records.len(), beyond.remaining), (0, 0));
}

pub(crate) async fn prefixes_are_isolated(open: Open) {
    let subject = open(HistoryBound::default());
    let store = &*subject.store;
    fill(store, &["a/b", "a/b/1", "a/bc", "a/bc/1", "a", "b", "ä/b/1"]).await;
    assert_eq!(keys(store, below("a/b/")).await, ["a/b/1"]);
    assert_eq!(keys(store, below("a/bc")).await, ["a/bc", "a/bc/1"]);
    assert_eq!(keys(store, below("a/b")).await, ["a/b", "a/b/1", "a/bc", "a/bc/1"]);
    assert_eq!(keys(store, below("ä")).await, ["ä/b/1"]);
    assert_eq!(keys(store, below("c")).await, Vec::<String>::new());
    assert_eq!(keys(store, below("")).await.len(), 7);
}

pub(crate) async fn after_need_not_exist(open: Open) {
    let subject = open(HistoryBound::default());
    let store = &*subject.store;
    fill(store, &["b/1", "k/1", "k/3", "k/5"]).await;
    let after = |key: &str| ListRequest { after: Some(key.to_owned()), ..below("k/") };
    assert_eq!(keys(store, after("k/2")).await, ["k/3", "k/5"]);
    assert_eq!(keys(store, after("a")).await, ["k/1", "k/3", "k/5"]);
    assert_eq!(keys(store, after("k/5")).await, Vec::<String>::new());
    assert_eq!(keys(store, after("z")).await, Vec::<String>::new());
}

pub(crate) async fn pages_of_one_revision_ignore_later_writes(open: Open) {
    let subject = open(HistoryBound::default());
    let store = &*subject.store;
    fill(store, &["k/1", "k/2", "k/3", "k/4"]).await;
    let first = store.list(ListRequest { limit: 2, ..below("k/") }).await.unwrap();
    store.delete("k/3".into(), 3).await.unwrap();
    store.update("k/4".into(), 4, bytes("changed")).await.unwrap();
    store.create("k/35".into(), bytes("late")).await.unwrap();
    let request =
        ListRequest { limit: 1, after: Some("k/2".into()), at: Some(first.revision), ..below("k/") };
    let second = store.list(request).await.unwrap();
    assert_eq!((second.revision, second.remaining), (4, 1));
    assert_eq!((second.records[0].key.as_str(), second.records[0].revision), ("k/3", 3));
    let request = ListRequest { after: Some("k/3".into()), at: Some(4), ..below("k/") };
    let third = store.list(request).await.unwrap();
    assert_eq!((third.records.len(), third.remaining), (1, 0));
    assert_eq!((&third.records[0].value, third.records[0].revision), (&bytes("k/4"), 4));
}
