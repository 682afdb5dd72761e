//! The thread that compiles: one component at a time, and nobody waits for it.

use crate::plugin::code::foundry::Foundry;
use crate::plugin::code::priority::step_back;
use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::load::digest;
use crate::plugin::source::files::Source;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use wasmtime::component::Component;

/// Results that may wait to be taken. The thread waits when there are more.
const DONE_MAX: usize = 16;

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
}

#[derive(Debug, Default)]
struct Orders {
    /// The first is being worked on.
    open: VecDeque<Order>,
    closed: bool,
}

/// Takes orders. Dropping it ends what is under way.
pub(in crate::plugin) struct Workshop {
    orders: Arc<watch::Sender<Orders>>,
    done: Receiver<Done>,
}

impl Workshop {
    /// Starts the thread. `wake` is called when something is done.
    pub(in crate::plugin) fn open(
        foundry: Arc<Foundry>,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let orders = Arc::new(watch::Sender::new(Orders::default()));
        let (finished, done) = sync_channel(DONE_MAX);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let bench = Bench { orders: Arc::clone(&orders), foundry, finished };
        std::thread::Builder::new()
            .name("plugin-compiler".to_owned())
            .spawn(move || bench.work(&runtime, wake))?;
        Ok(Self { orders, done })
    }

    /// Asks for the code of a component. Its file is read again when its turn comes, so that orders cost no memory.
    pub(in crate::plugin) fn order(&self, source: Source, digest: String) {
        self.orders.send_if_modified(|orders| {
            let is_new = orders.open.iter().all(|order| order.digest != digest);
            if is_new {
                orders.open.push_back(Order { source, digest });
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

/// The thread's side.
struct Bench {
    orders: Arc<watch::Sender<Orders>>,
    foundry: Arc<Foundry>,
    finished: SyncSender<Done>,
}

impl Bench {
    fn work(&self, runtime: &Runtime, wake: impl Fn()) {
        step_back();
        while let Some(order) = runtime.block_on(self.next_order()) {
            let made = runtime.block_on(async {
                tokio::select! {
                    made = self.fulfil(&order) => Some(made),
                    () = self.withdrawn(&order.digest) => None,
                }
            });
            let Some(made) = made else { continue };
            self.orders.send_modify(|orders| orders.open.retain(|open| open.digest != order.digest));
            if self.finished.send(Done { digest: order.digest, made }).is_err() {
                return;
            }
            wake();
        }
    }

    async fn next_order(&self) -> Option<Order> {
        let mut orders = self.orders.subscribe();
        let orders = orders.wait_for(|orders| orders.closed || !orders.open.is_empty()).await.ok()?;
        if orders.closed { None } else { orders.open.front().cloned() }
    }

    async fn withdrawn(&self, digest: &str) {
        let is_gone =
            |orders: &Orders| orders.closed || orders.open.iter().all(|order| order.digest != digest);
        // The sender lives as long as this does.
        self.orders.subscribe().wait_for(is_gone).await.ok();
    }

    async fn fulfil(&self, order: &Order) -> Option<Result<Component, LoadFault>> {
        let component = order.source.read_component().ok().filter(|bytes| digest(bytes) == order.digest)?;
        Some(self.foundry.make(&order.digest, &component).await)
    }
}
