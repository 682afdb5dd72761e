//! The snapshot itself.

use super::{Backend, DocumentSet};
use crate::model::group_version::GroupVersion;
use crate::observe::ProxiedRequests;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;

/// Whether requests may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// They pass.
    Open,
    /// They are refused with 503 and this text.
    Closed {
        /// Condition reason, for example `FailedDiscoveryCheck`, or `Unknown` before the first check.
        reason: String,
        /// What clients are told: which APIService and why, without addresses.
        message: String,
        /// Whether a check found this out; until then it may change at any moment.
        is_checked: bool,
    },
}

/// Where requests of a group-version go.
#[derive(Clone, Debug)]
pub enum Target {
    /// Umbel serves it itself (own kinds), or an APIService without a service says so.
    Local,
    /// A backend.
    Backend {
        /// How to reach it.
        backend: Arc<Backend>,
        /// Whether requests may pass.
        availability: Availability,
    },
    /// An APIService whose service cannot be resolved or whose TLS settings are unusable.
    Unreachable {
        /// Condition reason.
        reason: String,
        /// What clients are told.
        message: String,
        /// Whether a check found this out; until then it may change at any moment.
        is_checked: bool,
    },
}

/// One APIService as the data plane sees it.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name.
    pub api_service: String,
    /// What it serves.
    pub group_version: GroupVersion,
    /// Where requests go.
    pub target: Target,
    /// Counts what it forwards; the same for the life of the process (`Metrics::proxied`).
    pub counter: Arc<ProxiedRequests>,
}

/// Everything that a request may need to know, never changed after it is built.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Routes by group, then version. Few versions per group: a scan beats a second hash.
    pub routes: HashMap<Arc<str>, Arc<[Route]>>,
    /// Prepared documents.
    pub documents: Arc<DocumentSet>,
}

impl Snapshot {
    /// Whether the control plane made it. The one before the first knows no route; every other one knows those of the
    /// gateway's own groups.
    pub fn is_published(&self) -> bool {
        !self.routes.is_empty()
    }

    /// The route of a group-version; allocates nothing.
    pub fn route(&self, group: &str, version: &str) -> Option<&Route> {
        self.routes.get(group)?.iter().find(|r| r.group_version.version == version)
    }

    /// Every backend that a route names, as often as routes name it.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.routes.values().flat_map(|routes| routes.iter()).filter_map(|route| match &route.target {
            Target::Backend { backend, .. } => Some(backend),
            Target::Local | Target::Unreachable { .. } => None,
        })
    }
}

/// The cell in which the newest snapshot lies.
#[derive(Debug, Default)]
pub struct Shared(ArcSwap<Snapshot>);

impl Shared {
    /// The newest snapshot; wait-free.
    pub fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// The same, to be kept.
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Replaces the snapshot. One writer only: the reconciler.
    pub fn publish(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}
