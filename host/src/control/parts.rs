//! The parts that make up a snapshot, each with one writer.

use crate::route::{BackendId, OpenApiDocuments};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What collectors of documents hold: hand in a part, learn of new snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotParts {
    pub(super) openapi: watch::Sender<Arc<OpenApiDocuments>>,
    pub(super) published: watch::Sender<u64>,
    pub(super) openapi_faults: watch::Sender<Arc<OpenApiFaults>>,
}

/// The errors of the OpenAPI documents of backends, for the conditions of their APIServices.
pub(super) type OpenApiFaults = BTreeMap<BackendId, String>;

impl SnapshotParts {
    pub(super) fn new() -> Self {
        Self {
            openapi: watch::Sender::new(Arc::default()),
            published: watch::Sender::new(0),
            openapi_faults: watch::Sender::new(Arc::default()),
        }
    }

    /// Replaces the OpenAPI documents; they are in the snapshot a few milliseconds later.
    pub fn set_openapi(&self, documents: OpenApiDocuments) {
        self.openapi.send_replace(Arc::new(documents));
    }

    /// Counts the published snapshots whose routes differ from the one before: a collector that waits on this
    /// looks at [`crate::route::Shared::load`] for new, gone and recovered group-versions. Starts at 0, which
    /// means that none is published yet.
    pub fn routes_changed(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }
}
