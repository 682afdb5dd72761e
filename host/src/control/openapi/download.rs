//! One download from a backend.

use crate::route::Backend;
use bytes::Bytes;
use futures_util::future::BoxFuture;

/// What to get.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Path and query, below `/openapi/`.
    pub(super) path: String,
    /// The entity tag of what is there already.
    pub(super) etag: Option<String>,
    /// More bytes than this are an error.
    pub(super) max: usize,
}

/// What came.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    /// `Location` of a redirect.
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

/// Downloads documents from backends over the TLS of traffic, as `system:kube-aggregator` in `system:masters`.
///
/// kube-aggregator comes as `system:aggregator` without groups (contract §4.1); a backend that has nobody to ask
/// about authorization then answers 500, so Umbel uses the identity of its probes throughout.
pub(super) trait Download: Send + Sync + 'static {
    /// Sends one GET.
    fn get<'a>(&'a self, backend: &'a Backend, wanted: Wanted) -> BoxFuture<'a, Result<Received, String>>;
}
