//! What the thread that looks after the directory is told from elsewhere.

use crate::plugin::source::settling::Hint;
use parking_lot::Mutex;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Events that may wait. When there are more, they are lost, and a look finds what they told.
const HINTS_MAX: usize = 1024;

/// Wakes the thread, or ends it.
#[derive(Clone, Debug, Default)]
pub(in crate::plugin) struct Waker(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    woken: Notify,
    stopped: AtomicBool,
    hints: Mutex<VecDeque<Hint>>,
    /// Plugins to be read again although nothing has changed.
    again: Mutex<BTreeSet<String>>,
}

impl Waker {
    /// Something happened in the directory.
    pub(in crate::plugin) fn wake(&self) {
        self.0.woken.notify_one();
    }

    /// Keeps what an event says, and wakes the thread.
    pub(super) fn tell(&self, told: impl IntoIterator<Item = Hint>) {
        let mut hints = self.0.hints.lock();
        hints.extend(told);
        if hints.len() > HINTS_MAX {
            hints.clear();
            hints.push_back(Hint::Lost);
        }
        drop(hints);
        self.wake();
    }

    /// Reads the files of a plugin again, changed or not.
    pub(in crate::plugin) fn look_again(&self, plugin: &str) {
        self.0.again.lock().insert(plugin.to_owned());
        self.wake();
    }

    pub(in crate::plugin) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
        self.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// Waits until somebody wakes it; what happened since the last time counts.
    pub(super) async fn woken(&self) {
        self.0.woken.notified().await;
    }

    pub(super) fn take_hints(&self) -> VecDeque<Hint> {
        std::mem::take(&mut self.0.hints.lock())
    }

    pub(super) fn take_again(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.0.again.lock())
    }
}
