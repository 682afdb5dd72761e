//! Whether the address of a quiet HTTP/1.1 connection still answers.

use super::host::Host;
use crate::route::SignalKind;
use crate::upstream::{UpstreamFault, connect_to_address};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Time limit for a check.
const LIMIT: Duration = Duration::from_secs(4);
/// Time after which the control plane should check the backend, too.
const DOUBT: Duration = Duration::from_secs(1);
/// Pause after which an unreachable address is dialed again.
const PAUSE: Duration = Duration::from_millis(500);

/// A check of one address. It finds out whether a quiet endpoint is slow or dead.
///
/// HTTP/1.1 has no ping, and the kernel of a stopped process still acknowledges data, but the process does not complete
/// a TLS handshake. The name of the endpoint is not resolved again: its other addresses say nothing about the
/// connection. The new connection is not kept: a server that handles one connection at a time would wait for a request
/// on it.
pub(super) struct AddressCheck {
    host: Rc<Host>,
    address: SocketAddr,
}

impl AddressCheck {
    /// Checks each address with a quiet connection, one check at a time. Called once a second.
    pub(super) fn start_due(host: &Rc<Host>) {
        let now = host.now.get();
        for state in host.open_http1.borrow().iter().filter(|state| state.is_quiet(now)) {
            if let Some(check) = Self::new(host, state.address()) {
                let _detached = tokio::task::spawn_local(check.run());
            }
        }
    }

    /// `None` while the address is being checked.
    fn new(host: &Rc<Host>, address: SocketAddr) -> Option<Self> {
        let mut checked = host.checked.borrow_mut();
        if checked.contains(&address) {
            return None;
        }
        checked.push(address);
        Some(Self { host: Rc::clone(host), address })
    }

    /// Ends the connections that read from the address if it does not answer.
    async fn run(self) {
        let host = &self.host;
        let checked_at = host.now.get();
        let mut reply = Box::pin(self.reply());
        let mut is_silent = tokio::time::timeout(DOUBT, &mut reply).await.is_err();
        if is_silent {
            host.report(SignalKind::Silent);
            is_silent = tokio::time::timeout(LIMIT - DOUBT, reply).await.is_err();
        }
        let open = host.open_http1.borrow();
        let same = open.iter().filter(|state| state.address() == self.address);
        if is_silent {
            tracing::warn!(endpoint = %host.authority, address = %self.address, "a backend stopped answering; requests that read from it end");
            same.for_each(|state| state.give_up(checked_at));
            host.report(SignalKind::Undeliverable);
        } else {
            same.for_each(|state| state.hear(host.now.get()));
        }
    }

    /// Waits for any reply: a refusal comes from a living kernel, whose connections end by themselves.
    async fn reply(&self) {
        let Self { host, address } = self;
        loop {
            match connect_to_address(*address, &host.server_name, &host.tls).await {
                Err(UpstreamFault::Unreachable { .. } | UpstreamFault::TimedOut { .. }) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(_) | Err(_) => return,
            }
        }
    }
}

impl Drop for AddressCheck {
    fn drop(&mut self) {
        self.host.checked.borrow_mut().retain(|address| *address != self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::pool::backend_for_tests;
    use crate::proxy::pool::http1::Http1State;
    use crate::route::Signals;
    use tokio::net::TcpListener;

    /// The name of an endpoint may have several addresses, and only one of them stopped.
    #[tokio::test]
    async fn only_connections_to_the_silent_address_end() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (signals, mut seen) = Signals::channel(16);
        let host = Rc::new(Host::new(&backend_for_tests(&[1]), 0, signals, 0).unwrap());
        let stopped = Http1State::reading(0, silent.local_addr().unwrap());
        let living = Http1State::reading(0, closed);
        for state in [&stopped, &living] {
            host.watch_http1(Rc::clone(state));
        }
        let checks = tokio::task::LocalSet::new();
        checks
            .run_until(async {
                host.tick(10);
                AddressCheck::start_due(&host);
                assert_eq!(host.checked.borrow().len(), 2);
                while !host.checked.borrow().is_empty() {
                    tokio::time::sleep(PAUSE).await;
                }
            })
            .await;
        assert_eq!((stopped.is_dead(), living.is_dead()), (true, false));
        assert!(!living.is_quiet(10), "it waits again");
        let kinds: Vec<_> = std::iter::from_fn(|| seen.try_recv().ok()).map(|signal| signal.kind).collect();
        assert_eq!(kinds, [SignalKind::Silent, SignalKind::Undeliverable]);
    }
}
