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
use crate::observe::Metrics;
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
        let (parts, clients) = (SnapshotParts::new(), Clients::default());
        let source = Source { registry: config.registry, events: config.events };
        let outbox = Arc::<pending::Pending<_>>::default();
        let (intake_sender, intake) = mpsc::channel(QUEUE);
        let (news, resolved) = mpsc::channel(QUEUE);
        let (report, reports) = mpsc::channel(QUEUE);
        let (started, when_started) = oneshot::channel();
        let (ready_sender, ready) = watch::channel(false);
        let openapi_faults = parts.openapi_faults.subscribe();
        let inbox = Inbox { intake, resolved, reports, signals: config.signals, openapi_faults };
        let reconciler = Reconciler::new(
            source.clone(),
            Arc::clone(&config.decisions),
            Arc::clone(&config.metrics),
            (Services::new(news), Backends::new(config.tls, clients.clone(), report)),
            Arc::clone(&outbox),
            started,
            own::own_registrations(),
        );
        let publisher = Publisher {
            inbox: outbox,
            shared: config.shared,
            decisions: config.decisions,
            metrics: config.metrics,
            parts: parts.clone(),
            ready: ready_sender,
            pace: transforming::Pace::default(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(intake::follow(source, intake_sender));
        tasks.spawn(reconciler.run(inbox));
        tasks.spawn(publisher.run(when_started));
        Running { ready, parts, clients, _tasks: tasks }
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
