//! The threads that compile: one component at a time, another one beside it when that takes long, and nobody waits.

use crate::observe::{catch_panic_in, failpoint};
use crate::plugin::code::foundry::Foundry;
use crate::plugin::code::priority::step_back;
use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::load::digest;
use crate::plugin::source::files::Source;
use crate::plugin::status::{Reason, State};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use wasmtime::component::Component;

/// Results that may wait to be taken. The threads wait when there are more.
const DONE_MAX: usize = 16;

/// Components that are compiled at once, when those before take long.
const BENCHES: usize = 3;
/// How long a component is compiled alone.
const HEAD_START: Duration = Duration::from_secs(10);

/// What was made of one component.
pub(in crate::plugin) struct Done {
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The code, or what is wrong; `None` when the file is not the one that was ordered any more.
    pub made: Option<Result<Component, LoadFault>>,
}

#[derive(Clone, Debug)]
struct Order {
    source: Source,
    digest: String,
    /// When somebody has begun to work on it.
    begun: Option<Instant>,
}

#[derive(Debug, Default)]
struct Orders {
    open: VecDeque<Order>,
    closed: bool,
}

/// What there is to do for a bench that is free.
enum Turn {
    Work(Order),
    /// Somebody else is at work and has a head start of this time, or there is nothing to do.
    Wait(Option<Duration>),
    End,
}

impl Orders {
    fn turn(&mut self, now: Instant) -> Turn {
        if self.closed {
            return Turn::End;
        }
        let running = self.open.iter().filter_map(|order| order.begun).max();
        let left = running.map(|begun| (begun + HEAD_START).saturating_duration_since(now));
        let Some(next) = self.open.iter_mut().find(|order| order.begun.is_none()) else {
            return Turn::Wait(None);
        };
        match left.filter(|left| !left.is_zero()) {
            Some(left) => Turn::Wait(Some(left)),
            None => {
                next.begun = Some(now);
                Turn::Work(next.clone())
            }
        }
    }
}

/// Takes orders. Dropping it ends what is under way.
pub(in crate::plugin) struct Workshop {
    orders: Arc<watch::Sender<Orders>>,
    done: Receiver<Done>,
}

impl Workshop {
    /// Starts the threads. `wake` is called when something is done.
    pub(in crate::plugin) fn open(
        foundry: Arc<Foundry>,
        wake: impl Fn() + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let orders = Arc::new(watch::Sender::new(Orders::default()));
        let (finished, done) = sync_channel(DONE_MAX);
        for _ in 0..BENCHES {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (foundry, finished) = (Arc::clone(&foundry), finished.clone());
            let (bench, wake) = (Bench { orders: Arc::clone(&orders), foundry, finished }, wake.clone());
            std::thread::Builder::new().name("plugin-compiler".to_owned()).spawn(move || {
                bench.work(&runtime, wake);
                // A thread that hangs on a file would be waited for otherwise.
                runtime.shutdown_background();
            })?;
        }
        Ok(Self { orders, done })
    }

    /// Asks for the code of a component. Its file is read again when its turn comes, so that orders cost no memory.
    pub(in crate::plugin) fn order(&self, source: Source, digest: String) {
        self.orders.send_if_modified(|orders| {
            let is_new = orders.open.iter().all(|order| order.digest != digest);
            if is_new {
                orders.open.push_back(Order { source, digest, begun: None });
            }
            is_new
        });
    }

    /// Withdraws the orders that nobody wants any more; the one under way is broken off.
    pub(in crate::plugin) fn keep(&self, wanted: impl Fn(&str) -> bool) {
        self.orders.send_if_modified(|orders| {
            let before = orders.open.len();
            orders.open.retain(|order| wanted(&order.digest));
            orders.open.len() != before
        });
    }

    /// What was finished since this was asked last.
    pub(in crate::plugin) fn collect(&self) -> impl Iterator<Item = Done> {
        self.done.try_iter()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        self.orders.send_modify(|orders| orders.closed = true);
    }
}

/// The side of one thread.
struct Bench {
    orders: Arc<watch::Sender<Orders>>,
    foundry: Arc<Foundry>,
    finished: SyncSender<Done>,
}

impl Bench {
    fn work(&self, runtime: &Runtime, wake: impl Fn()) {
        step_back();
        while let Some(order) = runtime.block_on(self.next_order()) {
            let made = runtime.block_on(catch_panic_in(async {
                failpoint("plugin.compiler");
                tokio::select! {
                    made = self.fulfil(&order) => Some(made),
                    () = self.withdrawn(&order.digest) => None,
                }
            }));
            let panicked = || {
                let text = "the gateway panicked while it was compiled; its log shows where";
                Some(Some(Err(LoadFault::new(Reason::CompileFailed, text))))
            };
            let Some(made) = made.unwrap_or_else(panicked) else { continue };
            self.orders.send_modify(|orders| orders.open.retain(|open| open.digest != order.digest));
            if self.finished.send(Done { digest: order.digest, made }).is_err() {
                return;
            }
            wake();
        }
    }

    async fn next_order(&self) -> Option<Order> {
        let mut orders = self.orders.subscribe();
        loop {
            orders.mark_unchanged();
            let mut turn = Turn::End;
            self.orders.send_if_modified(|orders| {
                turn = orders.turn(Instant::now());
                matches!(turn, Turn::Work(_))
            });
            match turn {
                Turn::Work(order) => return Some(order),
                Turn::Wait(limit) => {
                    let limit = limit.unwrap_or(Duration::MAX);
                    // The sender lives as long as this does.
                    tokio::time::timeout(limit, orders.changed()).await.ok();
                }
                Turn::End => return None,
            }
        }
    }

    async fn withdrawn(&self, digest: &str) {
        let is_gone =
            |orders: &Orders| orders.closed || orders.open.iter().all(|order| order.digest != digest);
        // The sender lives as long as this does.
        self.orders.subscribe().wait_for(is_gone).await.ok();
    }

    async fn fulfil(&self, order: &Order) -> Option<Result<Component, LoadFault>> {
        let (source, wanted) = (order.source.clone(), order.digest.clone());
        let read = move || source.read_component().ok().filter(|bytes| digest(bytes) == wanted);
        let component = in_time(State::Checking.limit().unwrap_or(Duration::MAX), read).await?;
        Some(self.foundry.make(&order.digest, &component).await)
    }
}

/// What was read; `None` where reading does not end in time. The files are taken again then, and refused where they
/// still do not answer.
async fn in_time<T: Send + 'static>(
    limit: Duration,
    read: impl FnOnce() -> Option<T> + Send + 'static,
) -> Option<T> {
    tokio::time::timeout(limit, spawn_blocking(read)).await.ok()?.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::source::rights::Trust;
    use std::path::Path;

    #[tokio::test]
    async fn a_file_that_hangs_does_not_hold_up_a_bench() {
        let (answer, hung) = std::sync::mpsc::channel::<()>();
        let read = move || hung.recv().ok();
        assert_eq!(in_time(Duration::from_millis(20), read).await, None);
        answer.send(()).unwrap();
        assert_eq!(in_time(Duration::from_secs(30), || Some(7)).await, Some(7));
    }

    #[test]
    fn another_component_is_compiled_beside_one_that_takes_long() {
        let order = |digest: &str| Order {
            source: Source::new(Path::new("/"), digest, Trust::OwnersOnly),
            digest: digest.to_owned(),
            begun: None,
        };
        let (mut orders, start) = (Orders::default(), Instant::now());
        let works_on = |turn: Turn, wanted: &str| matches!(turn, Turn::Work(order) if order.digest == wanted);
        assert!(matches!(orders.turn(start), Turn::Wait(None)), "there is nothing to do");
        orders.open.extend(["a", "b", "c"].map(order));
        assert!(works_on(orders.turn(start), "a"));
        let soon = start + HEAD_START / 2;
        assert!(matches!(orders.turn(soon), Turn::Wait(Some(left)) if left == HEAD_START / 2));
        let late = start + HEAD_START;
        assert!(works_on(orders.turn(late), "b"));
        assert!(matches!(orders.turn(late), Turn::Wait(Some(HEAD_START))), "it has a head start as well");
        orders.open.retain(|order| order.digest != "b");
        assert!(works_on(orders.turn(late), "c"), "the next one, once it is done");
    }
}
