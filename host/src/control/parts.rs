//! The parts that make up a snapshot, each with one writer.

use crate::route::Document;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The prepared OpenAPI documents, as [`crate::route::DocumentSet`] carries them.
#[derive(Clone, Debug, Default)]
pub struct OpenApiPart {
    /// `/openapi/v3`: the index.
    pub index: Option<Document>,
    /// `/openapi/v3/<key>` by key such as `apis/apps/v1`, with the hash that its URL carries.
    pub documents: HashMap<String, (String, Document)>,
    /// `/openapi/v2` as JSON and as protobuf.
    pub v2: Option<(Document, Document)>,
}

/// What collectors of documents hold: hand in a part, learn of new snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotParts {
    pub(super) openapi: watch::Sender<Arc<OpenApiPart>>,
    pub(super) published: watch::Sender<u64>,
}

impl SnapshotParts {
    pub(super) fn new() -> Self {
        Self { openapi: watch::Sender::new(Arc::default()), published: watch::Sender::new(0) }
    }

    /// Replaces the OpenAPI documents; they are in the snapshot a few milliseconds later.
    pub fn set_openapi(&self, part: OpenApiPart) {
        self.openapi.send_replace(Arc::new(part));
    }

    /// Counts the published snapshots whose routes differ from the one before: a collector that waits on this
    /// looks at [`crate::route::Shared::load`] for new, gone and recovered group-versions. Starts at 0, which
    /// means that none is published yet.
    pub fn routes_changed(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }
}
