//! The connections of one worker to backends, kept and shared between requests.

mod dial;
mod host;
mod http1;
mod http2;

use crate::route::{Backend, BackendId, Signals, Snapshot};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

pub use host::{Host, Lease};
pub use http1::Http1Lease;
pub use http2::Http2Lease;

/// All hosts that the worker talks to.
pub struct Pool {
    hosts: RefCell<HashMap<(BackendId, usize), Rc<Host>>>,
    /// Hosts that no route uses any more and that still carry requests.
    leaving: RefCell<Vec<Rc<Host>>>,
    now: Cell<u64>,
    signals: Signals,
}

impl Pool {
    /// An empty pool that reports what it sees to `signals`.
    pub fn new(signals: Signals) -> Self {
        Self { hosts: RefCell::default(), leaving: RefCell::default(), now: Cell::new(0), signals }
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

    /// Pings, and closes what has been idle for too long; once a second, `now` in seconds.
    pub fn tick(&self, now: u64) {
        self.now.set(now);
        for host in self.hosts.borrow().values() {
            host.tick(now);
        }
        self.leaving.borrow_mut().retain(|host| {
            host.tick(now);
            !host.is_empty()
        });
    }

    /// Leaves connections behind that no route of `snapshot` uses: requests on them end in peace.
    pub fn keep_only(&self, snapshot: &Snapshot) {
        let used: HashSet<BackendId> = snapshot.backends().map(|backend| backend.id).collect();
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

/// Chooses an endpoint by weight, `avoid` only when there is no other.
pub fn choose_endpoint(backend: &Backend, avoid: &[usize]) -> Option<usize> {
    if backend.endpoints.len() == 1 {
        return avoid.is_empty().then_some(0);
    }
    let open = |index: &usize| !avoid.contains(index);
    let total: u32 = (0..backend.endpoints.len())
        .filter(open)
        .map(|index| u32::from(backend.endpoints[index].weight))
        .sum();
    if total == 0 {
        // All that is left carries weight 0: better one of those than no answer, but only as a last resort.
        return (0..backend.endpoints.len()).find(open);
    }
    let mut ticket = fastrand::u32(..total);
    for index in (0..backend.endpoints.len()).filter(open) {
        let weight = u32::from(backend.endpoints[index].weight);
        if ticket < weight {
            return Some(index);
        }
        ticket -= weight;
    }
    None
}
