//! Watches: order, resumption, progress and the end of patience.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{Open, bytes, events, told, until};
use crate::store::{HistoryBound, Store, StoreError};

const TALE: [&str; 5] = ["1 +a/1=one", "2 +b/1=uno", "3 ~a/1=two<one", "4 -b/1<uno", "5 +a/2=new"];

async fn tell(store: &dyn Store) {
    store.create("a/1".into(), bytes("one")).await.unwrap();
    store.create("b/1".into(), bytes("uno")).await.unwrap();
    store.update("a/1".into(), 1, bytes("two")).await.unwrap();
    store.delete("b/1".into(), 2).await.unwrap();
    store.create("a/2".into(), bytes("new")).await.unwrap();
}

pub(crate) async fn changes_arrive_in_order(open: Open) {
    let subject = open(HistoryBound::default());
    let mut watch = subject.store.watch(String::new(), 0).await.unwrap();
    tell(&*subject.store).await;
    assert_eq!(until(&mut watch, 5).await.unwrap(), TALE);
}

pub(crate) async fn a_watch_resumes_from_every_revision(open: Open) {
    let subject = open(HistoryBound::default());
    tell(&*subject.store).await;
    for after in 0..5 {
        let mut watch = subject.store.watch(String::new(), after).await.unwrap();
        assert_eq!(until(&mut watch, 5).await.unwrap(), TALE[usize::try_from(after).unwrap()..]);
    }
    let mut watch = subject.store.watch(String::new(), 5).await.unwrap();
    subject.store.delete("a/2".into(), 5).await.unwrap();
    assert_eq!(until(&mut watch, 6).await.unwrap(), ["6 -a/2<new"]);
}

pub(crate) async fn a_watch_sees_its_prefix_only(open: Open) {
    let subject = open(HistoryBound::default());
    tell(&*subject.store).await;
    subject.store.create("a/1x/1".into(), bytes("other")).await.unwrap();
    subject.store.create("a/1/1".into(), bytes("inside")).await.unwrap();
    let mut watch = subject.store.watch("a/1/".into(), 0).await.unwrap();
    assert_eq!(until(&mut watch, 7).await.unwrap(), ["7 +a/1/1=inside"]);
}

pub(crate) async fn progress_tells_of_changes_elsewhere(open: Open) {
    let subject = open(HistoryBound::default());
    tell(&*subject.store).await;
    let mut watch = subject.store.watch("b/".into(), 0).await.unwrap();
    assert_eq!(until(&mut watch, 5).await.unwrap(), ["2 +b/1=uno", "4 -b/1<uno", "=5"]);
    subject.store.create("c".into(), bytes("x")).await.unwrap();
    assert_eq!(told(&watch.next().await.unwrap()), "=6");
    subject.store.create("b/2".into(), bytes("dos")).await.unwrap();
    assert_eq!(told(&watch.next().await.unwrap()), "7 +b/2=dos", "an event says as much as progress");
}

pub(crate) async fn a_slow_watch_is_told_that_it_is_too_late(open: Open) {
    let subject = open(events(2));
    let mut watch = subject.store.watch("a/".into(), 0).await.unwrap();
    tell(&*subject.store).await;
    let refused = watch.next().await;
    assert!(matches!(refused, Err(StoreError::Compacted { asked: 0, oldest: 3 })), "{refused:?}");
}

pub(crate) async fn a_watch_cannot_start_out_of_reach(open: Open) {
    let subject = open(events(2));
    tell(&*subject.store).await;
    let old = subject.store.watch(String::new(), 2).await.map(|_| ());
    assert!(matches!(old, Err(StoreError::Compacted { asked: 2, oldest: 3 })), "{old:?}");
    let new = subject.store.watch(String::new(), 6).await.map(|_| ());
    assert!(matches!(new, Err(StoreError::Future { asked: 6, newest: 5 })), "{new:?}");
    let mut watch = subject.store.watch(String::new(), 3).await.unwrap();
    assert_eq!(until(&mut watch, 5).await.unwrap(), TALE[3..]);
}

pub(crate) async fn an_abandoned_wait_loses_nothing(open: Open) {
    let subject = open(HistoryBound::default());
    let mut watch = subject.store.watch(String::new(), 0).await.unwrap();
    {
        let mut waiting = watch.next();
        let poll = Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll, Poll::Pending));
        subject.store.create("a".into(), bytes("x")).await.unwrap();
    }
    assert_eq!(told(&watch.next().await.unwrap()), "1 +a=x");
}
