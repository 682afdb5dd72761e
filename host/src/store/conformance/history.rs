//! Old revisions, and where history ends.

use std::collections::BTreeMap;

use super::{Open, below, bytes, events};
use crate::store::{HistoryBound, ListRequest, Store, StoreError};

/// Writes at random and returns what stood there at each revision, from 0 on.
async fn scribble(store: &dyn Store, writes: usize) -> Vec<BTreeMap<String, (u64, String)>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut past = vec![BTreeMap::new()];
    while past.len() <= writes {
        let mut now = past.last().unwrap().clone();
        let key = format!("{}/{}", random.choice(["a", "b"]).unwrap(), random.u8(0..8));
        let value = format!("v{}", random.u32(..));
        match now.get(&key).cloned() {
            None => {
                let revision = store.create(key.clone(), bytes(&value)).await.unwrap();
                now.insert(key, (revision, value));
            }
            Some((expected, _)) if random.bool() => {
                let revision = store.update(key.clone(), expected, bytes(&value)).await.unwrap();
                now.insert(key, (revision, value));
            }
            Some((expected, _)) => {
                store.delete(key.clone(), expected).await.unwrap();
                now.remove(&key);
            }
        }
        past.push(now);
    }
    past
}

pub(crate) async fn every_kept_revision_can_be_listed(open: Open) {
    let subject = open(HistoryBound::default());
    let past = scribble(&*subject.store, 120).await;
    for (at, expected) in past.iter().enumerate() {
        for prefix in ["", "a/", "b/"] {
            let wanted: Vec<_> = expected.iter().filter(|(key, _)| key.starts_with(prefix)).collect();
            let mut request = ListRequest { at: Some(at as u64), limit: 3, ..below(prefix) };
            let mut seen = Vec::new();
            loop {
                let page = subject.store.list(request.clone()).await.unwrap();
                assert_eq!(page.revision, at as u64);
                seen.extend(page.records);
                assert_eq!(page.remaining as usize, wanted.len() - seen.len());
                if page.remaining == 0 {
                    break;
                }
                request.after = seen.last().map(|record| record.key.clone());
            }
            assert_eq!(seen.len(), wanted.len(), "at {at} below {prefix:?}");
            for (record, (key, (revision, value))) in seen.iter().zip(wanted) {
                assert_eq!((&record.key, record.revision, &record.value), (key, *revision, &bytes(value)));
            }
        }
    }
}

pub(crate) async fn the_future_is_refused(open: Open) {
    let subject = open(HistoryBound::default());
    subject.store.create("a".into(), bytes("x")).await.unwrap();
    let refused = subject.store.list(ListRequest { at: Some(2), ..below("") }).await;
    assert!(matches!(refused, Err(StoreError::Future { asked: 2, newest: 1 })), "{refused:?}");
}

pub(crate) async fn the_past_beyond_the_bound_is_refused(open: Open) {
    let subject = open(events(4));
    let past = scribble(&*subject.store, 10).await;
    for (at, expected) in past.iter().enumerate() {
        let answer = subject.store.list(ListRequest { at: Some(at as u64), ..below("") }).await;
        if at >= 6 {
            assert_eq!(answer.unwrap().records.len(), expected.len());
        } else {
            let asked = at as u64;
            assert!(
                matches!(answer, Err(StoreError::Compacted { asked: told, oldest: 6 }) if told == asked),
                "{answer:?}"
            );
        }
    }
}

pub(crate) async fn bytes_bound_the_history_too(open: Open) {
    let subject = open(HistoryBound { events: 1000, bytes: 100 });
    let big = "x".repeat(39);
    for key in ["1", "2", "3"] {
        subject.store.create(key.into(), bytes(&big)).await.unwrap();
    }
    subject.store.list(ListRequest { at: Some(1), ..below("") }).await.unwrap();
    let refused = subject.store.list(ListRequest { at: Some(0), ..below("") }).await;
    assert!(matches!(refused, Err(StoreError::Compacted { asked: 0, oldest: 1 })), "{refused:?}");
    subject.store.create("huge".into(), bytes(&"y".repeat(500))).await.unwrap();
    let kept = subject.store.list(ListRequest { at: Some(3), ..below("") }).await.unwrap();
    assert_eq!(kept.records.len(), 3, "the newest change is always kept");
}
