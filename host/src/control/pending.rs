//! A hand-over of the newest value per key: never blocks the giver, never grows beyond the keys.

use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::Notify;

/// Values by key that wait to be taken.
#[derive(Debug)]
pub(super) struct Pending<V> {
    values: Mutex<HashMap<String, V>>,
    given: Notify,
}

impl<V> Default for Pending<V> {
    fn default() -> Self {
        Self { values: Mutex::default(), given: Notify::new() }
    }
}

impl<V> Pending<V> {
    /// Gives a value; one with the same key that was not taken yet is replaced.
    pub(super) fn give(&self, key: String, value: V) {
        self.values.lock().insert(key, value);
        self.given.notify_one();
    }

    /// Takes everything.
    pub(super) fn take(&self) -> HashMap<String, V> {
        std::mem::take(&mut *self.values.lock())
    }

    /// Resolves when something was given since the last call. Cancel safe.
    pub(super) async fn given(&self) {
        self.given.notified().await;
    }
}
