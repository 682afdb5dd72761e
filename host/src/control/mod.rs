//! The control plane: reconciles the store into the routing snapshot.
//!
//! ```text
//!  intake ──▶ reconciler ──▶ publisher ──▶ route::Shared      one task each
//!               ▲   │  ▲
//!   resolvers ──┘   │  └── watchers (one task per backend)    report back, never share state
//!                   └────▶ writes of conditions, and events about them
//! ```

mod backends;
mod client;
mod condition;
mod declared;
mod documents;
mod entry;
pub mod events;
mod intake;
pub mod manifests;
pub mod openapi;
mod own;
mod parts;
mod pending;
pub mod plugins;
mod publish;
mod reconcile;
mod services;
mod source;
mod transforming;
mod watcher;

pub use client::{Answer, BodyFault, Clients, ControlClient, Question};
pub use parts::SnapshotParts;

use crate::decision::binding::Decisions;
use crate::observe::{Metrics, Supervisor};
use crate::registry::Registry;
use crate::route::{Shared, Signal};
use crate::upstream::BackendTls;
use backends::Backends;
use events::Recorder;
use publish::Publisher;
use reconcile::{Inbox, Reconciler};
use services::Services;
use source::Source;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How much news may wait for the reconciler, by kind of news.
const QUEUE: usize = 256;

/// What the control plane works with.
pub struct ControlConfig {
    /// The objects.
    pub registry: Registry,
    /// Where snapshots are published; nobody else may.
    pub shared: Arc<Shared>,
    /// Trust and our certificate.
    pub tls: Arc<BackendTls>,
    /// Who decides.
    pub decisions: Arc<dyn Decisions>,
    /// What traffic sees.
    pub signals: mpsc::Receiver<Signal>,
    /// Gauges and counters of availability and discovery.
    pub metrics: Arc<Metrics>,
    /// Takes down when an APIService becomes available or ceases to be.
    pub events: Recorder,
}

/// The control plane of one process.
#[derive(Debug)]
pub struct ControlPlane;

/// A running control plane. Dropping it stops all its tasks; the last snapshot stays published.
#[derive(Debug)]
pub struct Running {
    ready: watch::Receiver<bool>,
    parts: SnapshotParts,
    clients: Clients,
    /// Aborted when dropped.
    _tasks: JoinSet<()>,
}

impl ControlPlane {
    /// Starts all tasks on the current runtime, which must be the control runtime.
    pub fn start(config: ControlConfig) -> Running {
        let (ready_sender, ready) = watch::channel(false);
        let core = Core {
            source: Source { registry: config.registry, events: config.events },
            shared: config.shared,
            tls: config.tls,
            decisions: config.decisions,
            metrics: config.metrics,
            parts: SnapshotParts::new(),
            clients: Clients::default(),
            ready: ready_sender,
        };
        let (parts, clients) = (core.parts.clone(), core.clients.clone());
        let mut signals = config.signals;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut supervisor = Supervisor::new("reconciling APIServices");
            while supervisor.must_restart(core.run(&mut signals)).await {}
        });
        Running { ready, parts, clients, _tasks: tasks }
    }
}

/// Inputs of the tasks that build snapshots from stored objects. The tasks share much state, so a panic in one of
/// them restarts all of them from the stored objects. The last snapshot stays published until the first new one is
/// complete.
struct Core {
    source: Source,
    shared: Arc<Shared>,
    tls: Arc<BackendTls>,
    decisions: Arc<dyn Decisions>,
    metrics: Arc<Metrics>,
    parts: SnapshotParts,
    clients: Clients,
    ready: watch::Sender<bool>,
}

impl Core {
    /// Runs until all tasks end. Panics when one of them panicked.
    async fn run(&self, signals: &mut mpsc::Receiver<Signal>) {
        let (hints, heard) = mpsc::channel(QUEUE);
        let mut tasks = self.start(heard);
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => return,
                    Some(ended) => {
                        if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
                            std::panic::resume_unwind(panic);
                        }
                    }
                },
                Some(signal) = signals.recv() => {
                    // If the queue is full, the reconciler wakes anyway; one more lost hint does not matter.
                    let _: Result<(), _> = hints.try_send(signal);
                }
            }
        }
    }

    fn start(&self, signals: mpsc::Receiver<Signal>) -> JoinSet<()> {
        let outbox = Arc::<pending::Pending<_>>::default();
        let (intake_sender, intake) = mpsc::channel(QUEUE);
        let (news, resolved) = mpsc::channel(QUEUE);
        let (report, reports) = mpsc::channel(QUEUE);
        let (started, when_started) = oneshot::channel();
        let mut openapi_faults = self.parts.openapi_faults.subscribe();
        // Results from before a panic are new to a restarted reconciler.
        openapi_faults.mark_changed();
        let inbox = Inbox { intake, resolved, reports, signals, openapi_faults };
        let reconciler = Reconciler::new(
            self.source.clone(),
            Arc::clone(&self.decisions),
            Arc::clone(&self.metrics),
            (Services::new(news), Backends::new(Arc::clone(&self.tls), self.clients.clone(), report)),
            Arc::clone(&outbox),
            started,
            own::own_registrations(),
        );
        let publisher = Publisher {
            inbox: outbox,
            shared: Arc::clone(&self.shared),
            decisions: Arc::clone(&self.decisions),
            metrics: Arc::clone(&self.metrics),
            parts: self.parts.clone(),
            ready: self.ready.clone(),
            pace: transforming::Pace::default(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(intake::follow(self.source.clone(), intake_sender));
        tasks.spawn(reconciler.run(inbox));
        tasks.spawn(publisher.run(when_started));
        tasks
    }
}

impl Running {
    /// Resolves when the first snapshot that holds all stored APIServices is published; `false` when the
    /// control plane stopped before that.
    pub async fn ready(&self) -> bool {
        let mut ready = self.ready.clone();
        ready.wait_for(|is| *is).await.is_ok()
    }
}
