//! Downloads from a backend.

use crate::control::client::{Clients, ControlClient, Question};
use crate::decision::resolver::Endpoint;
use crate::route::Backend;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::Arc;
use std::time::Duration;

/// Limit for one download (contract §4.1).
const LIMIT: Duration = Duration::from_secs(60);

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

/// The reason that there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DownloadFault {
    /// The backend does not answer now, or not correctly; the next attempt may succeed.
    #[error("{0}")]
    Unanswered(String),
    /// It has answered with a document that cannot be served, and will do so until the backend changes.
    #[error("{0}")]
    Unusable(String),
}

/// Downloads documents of one backend.
pub(super) trait Download: Send + Sync {
    /// Sends one GET.
    fn get(&self, wanted: Wanted) -> BoxFuture<'_, Result<Received, DownloadFault>>;
}

/// Makes a downloader for one round with a backend.
pub(super) type Connect = Arc<dyn Fn(Arc<Backend>) -> Box<dyn Download> + Send + Sync>;

/// Downloads over the TLS of traffic, as `system:kube-aggregator` in `system:masters`.
///
/// kube-aggregator comes as `system:aggregator` without groups (contract §4.1); a backend that has nobody to ask
/// about authorization then answers 500, so Umbel uses the identity of its probes throughout.
pub(super) struct BackendDownload(Arc<ControlClient>);

impl BackendDownload {
    /// A downloader over the connection that watches the backend.
    pub(super) fn connect(clients: &Clients, backend: &Arc<Backend>) -> Box<dyn Download> {
        Box::new(Self(clients.of(backend)))
    }

    async fn download(&self, wanted: Wanted) -> Result<Received, DownloadFault> {
        let question = Question {
            endpoint: choose(&self.0.backend().endpoints),
            method: Method::GET,
            path: &wanted.path,
            headers: headers(wanted.etag.as_deref()),
            limit: LIMIT,
            body_max: wanted.max,
        };
        let outcome = self.0.ask(&question).await;
        if outcome.as_ref().is_ok_and(|answer| answer.truncated) || outcome.is_err() {
            // The connection may be lost to whoever watches the backend over it.
            self.0.doubt();
        }
        let path = &wanted.path;
        let answer = outcome.map_err(|fault| DownloadFault::Unanswered(format!("GET {path}: {fault}")))?;
        if let Some(fault) = answer.body_fault.as_ref().filter(|_| answer.status == 200) {
            return Err(DownloadFault::Unusable(format!("GET {path}: {fault}")));
        }
        if answer.truncated && answer.status == 200 {
            let max = wanted.max;
            let fault = format!("GET {path}: the answer is larger than {max} bytes, which is the limit");
            return Err(DownloadFault::Unusable(fault));
        }
        let text = |name: HeaderName| Some(answer.headers.get(name)?.to_str().ok()?.to_owned());
        Ok(Received { status: answer.status, etag: text(ETAG), location: text(LOCATION), body: answer.body })
    }
}

impl Download for BackendDownload {
    fn get(&self, wanted: Wanted) -> BoxFuture<'_, Result<Received, DownloadFault>> {
        Box::pin(self.download(wanted))
    }
}

/// Any endpoint that gets traffic: replicas say the same, and one that is broken is not asked each time.
fn choose(endpoints: &[Endpoint]) -> usize {
    let used: Vec<usize> = (0..endpoints.len()).filter(|index| endpoints[*index].weight > 0).collect();
    if used.is_empty() { 0 } else { used[fastrand::usize(..used.len())] }
}

fn headers(etag: Option<&str>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = HeaderMap::new();
    headers.insert("x-remote-user", HeaderValue::from_static("system:kube-aggregator"));
    headers.insert("x-remote-group", HeaderValue::from_static("system:masters"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("umbel/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(etag) = etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
        headers.insert(IF_NONE_MATCH, etag);
    }
    headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
