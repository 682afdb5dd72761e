//! The connections of one worker to backends, kept and shared between requests.

mod address_check;
mod dial;
mod down;
mod host;
mod http1;
mod http2;
mod liveness;

use crate::route::{Backend, BackendId, Signals, Snapshot};
use address_check::AddressCheck;
use down::DownMarks;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

pub use host::{Host, Lease};
pub use http1::Http1Lease;
#[cfg(test)]
pub use http2::tests::settle;
pub use http2::{Http2Connection, Http2Lease};

/// All hosts that the worker talks to.
pub struct Pool {
    hosts: RefCell<HashMap<(BackendId, usize), Rc<Host>>>,
    /// Hosts that no route uses any more and that still carry requests.
    leaving: RefCell<Vec<Rc<Host>>>,
    down: Rc<DownMarks>,
    now: Cell<u64>,
    signals: Signals,
}

impl Pool {
    /// An empty pool that reports what it sees to `signals`.
    pub fn new(signals: Signals) -> Self {
        Self {
            hosts: RefCell::default(),
            leaving: RefCell::default(),
            down: Rc::default(),
            now: Cell::new(0),
            signals,
        }
    }

    /// The connections to one endpoint of a backend. `None` when the index names none or its authority is no
    /// authority, which the resolver's checks rule out.
    pub fn host(&self, backend: &Backend, endpoint: usize) -> Option<Rc<Host>> {
        let key = (backend.id, endpoint);
        if let Some(known) = self.hosts.borrow().get(&key) {
            return Some(Rc::clone(known));
        }
        let host = Rc::new(Host::new(backend, endpoint, self.signals.clone(), self.now.get())?);
        self.hosts.borrow_mut().insert(key, Rc::clone(&host));
        Some(host)
    }

    /// Chooses an endpoint by weight: one that is neither in `tried` nor known to be away, or else one that is
    /// not in `tried`.
    pub fn choose(&self, backend: &Backend, tried: &[usize]) -> Option<usize> {
        if backend.endpoints.len() == 1 {
            return tried.is_empty().then_some(0);
        }
        let is_new = |index: usize| !tried.contains(&index);
        if !self.down.is_empty() {
            let well = choose_by_weight(backend, |index| is_new(index) && !self.down.has(backend.id, index));
            if well.is_some() {
                return well;
            }
        }
        choose_by_weight(backend, is_new)
    }

    /// An endpoint could not be reached: others come first until it can.
    pub fn note_away(&self, backend: &Arc<Backend>, endpoint: usize) {
        self.down.set(backend, endpoint, self.now.get());
    }

    /// An endpoint was reached.
    pub fn note_reached(&self, backend: &Backend, endpoint: usize) {
        if !self.down.is_empty() {
            self.down.clear(backend.id, endpoint);
        }
    }

    /// Pings, and closes what has been idle for too long; once a second, `now` in seconds.
    pub fn tick(&self, now: u64) {
        self.now.set(now);
        for host in self.hosts.borrow().values() {
            host.tick(now);
            AddressCheck::start_due(host);
        }
        self.leaving.borrow_mut().retain(|host| {
            host.tick(now);
            AddressCheck::start_due(host);
            !host.is_empty()
        });
        for (backend, endpoint) in self.down.take_due(now) {
            self.dial_again(&backend, endpoint);
        }
    }

    /// Finds out, at no request's cost, whether an endpoint is back. The connection is kept for requests.
    fn dial_again(&self, backend: &Backend, endpoint: usize) {
        let Some(host) = self.host(backend, endpoint) else { return };
        let (down, id) = (Rc::clone(&self.down), backend.id);
        let _detached = tokio::task::spawn_local(async move {
            match host.dial_ahead().await {
                Ok(()) => down.clear(id, endpoint),
                Err(fault) => {
                    tracing::debug!(endpoint = %host.authority, %fault, "an endpoint is still away")
                }
            }
        });
    }

    /// Leaves connections behind that no route of `snapshot` uses: requests on them end in peace.
    pub fn keep_only(&self, snapshot: &Snapshot) {
        let used: HashSet<BackendId> = snapshot.backends().map(|backend| backend.id).collect();
        self.down.keep_only(&used);
        self.hosts.borrow_mut().retain(|(id, _), host| {
            let is_used = used.contains(id);
            if !is_used {
                host.retire();
                self.leaving.borrow_mut().push(Rc::clone(host));
            }
            is_used
        });
    }
}

fn choose_by_weight(backend: &Backend, is_open: impl Fn(usize) -> bool) -> Option<usize> {
    let open = || (0..backend.endpoints.len()).filter(|index| is_open(*index));
    let weight = |index: usize| u32::from(backend.endpoints[index].weight);
    let total: u32 = open().map(weight).sum();
    if total == 0 {
        // All that is left carries weight 0: better one of those than no answer, but only as a last resort.
        return open().next();
    }
    let mut ticket = fastrand::u32(..total);
    open().find(|index| {
        let is_drawn = ticket < weight(*index);
        ticket = ticket.saturating_sub(weight(*index));
        is_drawn
    })
}

/// A backend with one endpoint for each weight, at which nobody listens.
#[cfg(test)]
pub fn backend_for_tests(weights: &[u16]) -> Arc<Backend> {
    use crate::decision::resolver::Endpoint;
    use crate::upstream::{BackendTls, FrontProxy, TlsSource};
    use http::HeaderValue;
    use rustls::pki_types::{PrivateKeyDer, ServerName};

    let made = rcgen::generate_simple_self_signed(["a.b.svc".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let front_proxy = FrontProxy { chain: vec![made.cert.der().clone()], key };
    let tls = BackendTls::new(front_proxy, made.cert.pem().as_bytes()).unwrap();
    let (tls, tls_http1) = tls.configs(&TlsSource::Insecure).unwrap();
    let endpoint = |weight: &u16| Endpoint { host: "127.0.0.1".to_owned(), port: 1, weight: *weight };
    Arc::new(Backend {
        id: BackendId(1),
        service: "b/a:443".to_owned(),
        endpoints: weights.iter().map(endpoint).collect(),
        authorities: weights.iter().map(|_| HeaderValue::from_static("a.b.svc")).collect(),
        server_name: ServerName::try_from("a.b.svc").unwrap(),
        tls,
        tls_http1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_no_route_uses_take_no_more_requests() {
        let (backend, pool) = (backend_for_tests(&[1]), Pool::new(Signals::channel(1).0));
        let host = pool.host(&backend, 0).unwrap();
        pool.keep_only(&Snapshot::default());
        assert!(host.is_retired.get());
        assert!(!Rc::ptr_eq(&host, &pool.host(&backend, 0).unwrap()), "it is still in the pool");
    }
}
