//! The backends in use: one per service, port, TLS settings and endpoints, shared by their APIServices.

use super::client::Clients;
use super::declared::ServiceName;
use super::watcher::{MemberSpec, Report, WatcherHandle};
use crate::decision::resolver::{Endpoint, url_authority};
use crate::route::{Backend, BackendId};
use crate::upstream::{BackendTls, TlsError, TlsSource};
use http::HeaderValue;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// What makes two ways to a service the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BackendKey {
    pub(super) service: ServiceName,
    pub(super) port: u16,
    pub(super) tls: TlsSource,
    pub(super) endpoints: Vec<Endpoint>,
}

/// Why there is no way to a service although it is resolved.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackendFault {
    /// `caBundle` cannot be used.
    #[error("spec.caBundle: {0}")]
    CaBundle(TlsError),
    /// The names do not make a DNS name, so that no certificate can be for it.
    #[error("{0:?} is no DNS name, so no certificate can be verified for it")]
    ServerName(String),
    /// An endpoint cannot stand in a request.
    #[error("the endpoint {0:?} cannot be used as a host")]
    Endpoint(String),
}

impl BackendFault {
    /// The condition's reason; upstream leaves the condition as it was (quirk 16).
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::CaBundle(_) => "InvalidCABundle",
            Self::ServerName(_) | Self::Endpoint(_) => "InvalidService",
        }
    }
}

type TlsPair = (Arc<rustls::ClientConfig>, Arc<rustls::ClientConfig>);

struct Used {
    key: BackendKey,
    watcher: WatcherHandle,
    members: usize,
}

/// An id that no earlier backend had, including those of a reconciler that panicked: workers key connections by it.
fn next_id() -> BackendId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    BackendId(LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// All backends that APIServices use.
pub(super) struct Backends {
    tls: Arc<BackendTls>,
    clients: Clients,
    tls_pairs: HashMap<TlsSource, TlsPair>,
    by_key: HashMap<BackendKey, Arc<Backend>>,
    used: HashMap<BackendId, Used>,
    reports: mpsc::Sender<Report>,
}

impl Backends {
    pub(super) fn new(tls: Arc<BackendTls>, clients: Clients, reports: mpsc::Sender<Report>) -> Self {
        let (tls_pairs, by_key, used) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { tls, clients, tls_pairs, by_key, used, reports }
    }

    /// Finds or makes the backend and watches `member` on it.
    pub(super) fn join(
        &mut self,
        key: &BackendKey,
        member: MemberSpec,
    ) -> Result<Arc<Backend>, BackendFault> {
        let backend = match self.by_key.get(key) {
            Some(backend) => Arc::clone(backend),
            None => self.create(key)?,
        };
        if let Some(used) = self.used.get_mut(&backend.id) {
            used.members += 1;
            used.watcher.add(member);
        }
        Ok(backend)
    }

    /// Judges a member of a backend anew, maybe by another checker.
    pub(super) fn judge_anew(&self, id: BackendId, member: MemberSpec) {
        if let Some(used) = self.used.get(&id) {
            used.watcher.add(member);
        }
    }

    /// Takes `api_service` off a backend; the last one stops the watching.
    pub(super) fn leave(&mut self, id: BackendId, api_service: &str) {
        let Some(used) = self.used.get_mut(&id) else { return };
        used.watcher.remove(api_service);
        used.members -= 1;
        if used.members == 0
            && let Some(gone) = self.used.remove(&id)
        {
            self.by_key.remove(&gone.key);
            if !self.used.values().any(|other| other.key.tls == gone.key.tls) {
                self.tls_pairs.remove(&gone.key.tls);
            }
        }
    }

    /// Whether the backend is what the key describes.
    pub(super) fn is(&self, id: BackendId, key: &BackendKey) -> bool {
        self.used.get(&id).is_some_and(|used| used.key == *key)
    }

    /// Traffic saw something odd.
    pub(super) fn hint(&self, id: BackendId) {
        if let Some(used) = self.used.get(&id) {
            used.watcher.hint();
        }
    }

    fn create(&mut self, key: &BackendKey) -> Result<Arc<Backend>, BackendFault> {
        let (tls, tls_http1) = match self.tls_pairs.get(&key.tls) {
            Some(pair) => pair.clone(),
            None => {
                let pair = self.tls.configs(&key.tls).map_err(BackendFault::CaBundle)?;
                self.tls_pairs.insert(key.tls.clone(), pair.clone());
                pair
            }
        };
        let (namespace, name) = &key.service;
        let host = format!("{name}.{namespace}.svc");
        let server_name = ServerName::try_from(host.clone()).map_err(|_| BackendFault::ServerName(host))?;
        let authorities = key.endpoints.iter().map(url_authority);
        let authorities = authorities
            .map(|text| HeaderValue::try_from(&text).map_err(|_| BackendFault::Endpoint(text)))
            .collect::<Result<_, _>>()?;
        let backend = Arc::new(Backend {
            id: next_id(),
            service: format!("{namespace}/{name}:{}", key.port),
            endpoints: key.endpoints.clone(),
            authorities,
            server_name,
            tls,
            tls_http1,
        });
        let watcher = WatcherHandle::start(self.clients.of(&backend), self.reports.clone());
        self.by_key.insert(key.clone(), Arc::clone(&backend));
        self.used.insert(backend.id, Used { key: key.clone(), watcher, members: 0 });
        Ok(backend)
    }
}
