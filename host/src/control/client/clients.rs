//! One client per backend, whoever in the control plane asks it.

use super::ControlClient;
use crate::route::{Backend, BackendId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The clients that somebody holds. A second user of a backend shares the connections of the first: a handshake
/// costs more than the request that it would be for.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Mutex<HashMap<BackendId, Weak<ControlClient>>>>);

impl Clients {
    /// The client of a backend; a new one, not connected yet, where nobody holds one.
    pub fn of(&self, backend: &Arc<Backend>) -> Arc<ControlClient> {
        let mut known = self.0.lock();
        if let Some(client) = known.get(&backend.id).and_then(Weak::upgrade) {
            return client;
        }
        if known.len() == known.capacity() {
            known.retain(|_, client| client.strong_count() > 0);
        }
        let client = Arc::new(ControlClient::new(Arc::clone(backend)));
        known.insert(backend.id, Arc::downgrade(&client));
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;

    fn backend(id: u64) -> Arc<Backend> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let tls = Arc::new(tls);
        Arc::new(Backend {
            id: BackendId(id),
            service: "default/api:443".to_owned(),
            endpoints: Vec::new(),
            authorities: Vec::new(),
            server_name: "api.default.svc".try_into().unwrap(),
            tls: Arc::clone(&tls),
            tls_http1: tls,
        })
    }

    #[test]
    fn a_backend_has_one_client_as_long_as_somebody_holds_it() {
        let clients = Clients::default();
        let first = clients.of(&backend(1));
        assert!(Arc::ptr_eq(&first, &clients.of(&backend(1))));
        assert!(!Arc::ptr_eq(&first, &clients.of(&backend(2))));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none());
        drop(clients.of(&backend(1)));
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let clients = Clients::default();
        for id in 0..1_000 {
            drop(clients.of(&backend(id)));
        }
        assert!(clients.0.lock().len() < 10);
    }
}
