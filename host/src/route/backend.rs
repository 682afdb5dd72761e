//! A backend as the data plane needs it.

use crate::decision::resolver::Endpoint;
use http::HeaderValue;
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// Names one way to reach one service: same id, same endpoints, same TLS. Connections are pooled under it.
/// A backend whose endpoints, trust or name change gets a new id, so that old connections are left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(pub u64);

/// A resolved service with its TLS settings.
pub struct Backend {
    /// Pool key.
    pub id: BackendId,
    /// `namespace/name:port`, for logs and messages.
    pub service: String,
    /// Where it listens; never empty.
    pub endpoints: Vec<Endpoint>,
    /// The `Host` to send, one per endpoint.
    pub authorities: Vec<HeaderValue>,
    /// The name that is sent as SNI and verified: `<service>.<namespace>.svc` (contract §2.8).
    pub server_name: ServerName<'static>,
    /// Trust, our front-proxy certificate, and ALPN `h2`, `http/1.1`.
    pub tls: Arc<rustls::ClientConfig>,
    /// The same with ALPN `http/1.1` only, for upgrades.
    pub tls_http1: Arc<rustls::ClientConfig>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend")
            .field("id", &self.id)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
