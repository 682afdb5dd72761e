//! Threads that read the files of plugins: one for each plugin, and no more than so many, for a thread that hangs in
//! the kernel cannot be ended.

use crate::plugin::source::places::Places;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};

/// Threads that may read, most of which hang by then. The runtime has twice as many for everything.
const THREADS_MAX: usize = 256;

/// Those who read.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    places: Places,
    threads: Arc<Semaphore>,
    plugins: Arc<Mutex<BTreeMap<String, Queue>>>,
}

/// Those who want to read the files of one plugin.
#[derive(Debug)]
struct Queue {
    turn: Arc<Semaphore>,
    /// Whether somebody will tell when the one who reads is back.
    is_watched: bool,
}

/// Held by a thread as long as it reads.
type Hold = [Option<OwnedSemaphorePermit>; 2];

impl Readers {
    /// So many plugins are read at once while reading is quick.
    pub(super) fn new(count: usize) -> Self {
        Self {
            places: Places::new(count),
            threads: Arc::new(Semaphore::new(THREADS_MAX)),
            plugins: Arc::default(),
        }
    }

    /// Reads the files of a plugin, after those who read them before; `None` when that is not over in time. `slow` is
    /// called when it takes long; `back` runs once nobody hangs on the files any more.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        plugin: &str,
        limit: Duration,
        read: impl FnOnce() -> T + Send + 'static,
        slow: impl FnOnce(),
        back: impl Future<Output = ()> + Send + 'static,
    ) -> Option<Result<T, JoinError>> {
        let reading = async {
            let turn = self.turn(plugin);
            let reading = async {
                let hold = self.hold(turn).await;
                let read = spawn_blocking(move || {
                    let read = read();
                    drop(hold);
                    read
                });
                read.await
            };
            let read = tokio::time::timeout(limit, reading).await.ok();
            if read.is_none() {
                self.tell_when_free(plugin, back);
            }
            read
        };
        self.places.work(reading, slow).await
    }

    fn turn(&self, plugin: &str) -> Arc<Semaphore> {
        let mut plugins = self.plugins.lock();
        // Those that nobody reads or waits for.
        plugins.retain(|_, queue| Arc::strong_count(&queue.turn) > 1);
        let fresh = || Queue { turn: Arc::new(Semaphore::new(1)), is_watched: false };
        Arc::clone(&plugins.entry(plugin.to_owned()).or_insert_with(fresh).turn)
    }

    async fn hold(&self, turn: Arc<Semaphore>) -> Hold {
        // Neither is ever closed.
        [turn.acquire_owned().await.ok(), Arc::clone(&self.threads).acquire_owned().await.ok()]
    }

    fn tell_when_free(&self, plugin: &str, back: impl Future<Output = ()> + Send + 'static) {
        let turn = self.turn(plugin);
        let is_watched = |readers: &Self, now: bool| {
            let mut plugins = readers.plugins.lock();
            plugins.get_mut(plugin).map(|queue| std::mem::replace(&mut queue.is_watched, now))
        };
        if is_watched(self, true) == Some(true) {
            return;
        }
        let (readers, plugin) = (self.clone(), plugin.to_owned());
        tokio::spawn(async move {
            // It stays known as long as this holds it.
            let hold = readers.hold(Arc::clone(&turn)).await;
            if let Some(queue) = readers.plugins.lock().get_mut(&plugin) {
                queue.is_watched = false;
            }
            drop((hold, turn));
            back.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Condvar;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    const LIMIT: Duration = Duration::from_millis(30);
    /// Much longer than anything here takes.
    const BOUND: Duration = Duration::from_secs(30);

    /// Files that can be told not to answer.
    #[derive(Clone, Default)]
    struct Files {
        hung: Arc<(Mutex<bool>, Condvar)>,
        asked: Arc<AtomicUsize>,
        back: Arc<(AtomicUsize, Notify)>,
    }

    impl Files {
        fn hang(&self, hang: bool) {
            *self.hung.0.lock() = hang;
            self.hung.1.notify_all();
        }

        async fn read(&self, readers: &Readers, plugin: &str, limit: Duration) -> Option<()> {
            let (files, told) = (self.clone(), Arc::clone(&self.back));
            let read = move || {
                files.asked.fetch_add(1, Ordering::Relaxed);
                let (hung, changed) = &*files.hung;
                changed.wait_while(&mut hung.lock(), |hung| *hung);
            };
            let back = async move {
                told.0.fetch_add(1, Ordering::Relaxed);
                told.1.notify_one();
            };
            readers.read(plugin, limit, read, || (), back).await.map(Result::unwrap)
        }
    }

    #[tokio::test]
    async fn one_thread_hangs_on_a_plugin_however_often_it_is_asked_for() {
        let (readers, sick, well) = (Readers::new(2), Files::default(), Files::default());
        sick.hang(true);
        for _ in 0..5 {
            assert_eq!(sick.read(&readers, "a", LIMIT).await, None);
            assert_eq!(well.read(&readers, "b", BOUND).await, Some(()), "others are read");
        }
        assert_eq!(sick.asked.load(Ordering::Relaxed), 1);
        sick.hang(false);
        tokio::time::timeout(BOUND, sick.back.1.notified()).await.expect("nobody hears of it");
        assert_eq!(sick.read(&readers, "a", BOUND).await, Some(()));
        assert_eq!(sick.asked.load(Ordering::Relaxed), 2);
        assert_eq!(sick.back.0.load(Ordering::Relaxed), 1, "told once");
        // A thread returns its turn a moment before it leaves the queue.
        let began = std::time::Instant::now();
        loop {
            drop(readers.turn("c"));
            if readers.plugins.lock().len() <= 1 {
                break;
            }
            assert!(began.elapsed() < BOUND, "something is kept of those that were read");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn only_so_many_threads_hang() {
        let readers = Readers { threads: Arc::new(Semaphore::new(1)), ..Readers::new(2) };
        let (sick, well) = (Files::default(), Files::default());
        sick.hang(true);
        assert_eq!(sick.read(&readers, "a", LIMIT).await, None);
        assert_eq!(well.read(&readers, "b", LIMIT).await, None);
        assert_eq!(well.asked.load(Ordering::Relaxed), 0);
        sick.hang(false);
        tokio::time::timeout(BOUND, well.back.1.notified()).await.expect("nobody hears of it");
        assert_eq!(well.read(&readers, "b", BOUND).await, Some(()));
    }
}
