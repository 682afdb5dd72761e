//! A hand-over of the newest value per key: never blocks the giver, never grows beyond the keys.

use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::{Notify, watch};

/// Values by key that wait to be taken.
#[derive(Debug)]
pub(super) struct Pending<V> {
    state: Mutex<State<V>>,
    given: Notify,
    settled: watch::Sender<u64>,
}

#[derive(Debug)]
struct State<V> {
    values: HashMap<String, V>,
    /// How often something was given, and how much of that has been taken.
    given: u64,
    taken: u64,
}

impl<V> Default for Pending<V> {
    fn default() -> Self {
        let state = Mutex::new(State { values: HashMap::new(), given: 0, taken: 0 });
        Self { state, given: Notify::new(), settled: watch::Sender::new(0) }
    }
}

impl<V> Pending<V> {
    /// Gives a value; one with the same key that was not taken yet is replaced.
    pub(super) fn give(&self, key: String, value: V) {
        let mut state = self.state.lock();
        state.values.insert(key, value);
        state.given += 1;
        drop(state);
        self.given.notify_one();
    }

    /// How often something was given.
    pub(super) fn count(&self) -> u64 {
        self.state.lock().given
    }

    /// Takes everything.
    pub(super) fn take(&self) -> HashMap<String, V> {
        let mut state = self.state.lock();
        state.taken = state.given;
        std::mem::take(&mut state.values)
    }

    /// Says that what was taken has had its effect. For the one who takes.
    pub(super) fn settle(&self) {
        let taken = self.state.lock().taken;
        self.settled.send_replace(taken);
    }

    /// Resolves when the first `count` values, or newer ones in their place, have had their effect.
    pub(super) async fn settled(&self, count: u64) {
        // The sender lives as long as `self`, so waiting cannot fail.
        drop(self.settled.subscribe().wait_for(|settled| *settled >= count).await);
    }

    /// Resolves when something was given since the last call. Cancel safe.
    pub(super) async fn given(&self) {
        self.given.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn what_was_given_is_settled_when_the_taker_says_so() {
        let pending = Pending::default();
        pending.give("a".to_owned(), 1);
        pending.give("a".to_owned(), 2);
        let count = pending.count();
        assert_eq!(pending.take(), HashMap::from([("a".to_owned(), 2)]));
        assert!(pending.settled(count).now_or_never().is_none(), "taken is not yet settled");
        pending.give("b".to_owned(), 3);
        pending.settle();
        assert!(pending.settled(count).now_or_never().is_some());
        assert!(pending.settled(count + 1).now_or_never().is_none(), "b was given after the taking");
    }

    #[test]
    fn nothing_is_settled_before_it_was_taken() {
        let pending = Pending::default();
        pending.settle();
        pending.give("a".to_owned(), 1);
        pending.settle();
        assert!(pending.settled(1).now_or_never().is_none());
    }
}
