//! The connections to one endpoint.

use super::dial::{self, SharedDial};
use super::http1::{Http1Lease, Http1State, IdleHttp1};
use super::http2::{Http2Connection, Http2Lease};
use crate::decision::resolver::Endpoint;
use crate::route::{Backend, BackendId, SignalKind, Signals};
use crate::upstream::{Protocol, UpstreamFault};
use http::HeaderValue;
use http::uri::Authority;
use rustls::pki_types::ServerName;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Idle HTTP/1.1 connections that are kept (contract §2.8).
const IDLE_HTTP1: usize = 25;

/// How often a request waits for a new connection only to find it full already.
const DIALS_PER_REQUEST: usize = 64;

/// A connection that a request may use.
pub enum Lease {
    /// A whole HTTP/1.1 connection.
    Http1(Http1Lease),
    /// A stream of an HTTP/2 connection.
    Http2(Http2Lease),
}

/// One endpoint of one backend.
pub struct Host {
    /// The backend.
    pub id: BackendId,
    /// Its index among the backend's endpoints.
    pub index: usize,
    /// `:authority` for HTTP/2.
    pub authority: Authority,
    /// `Host` for HTTP/1.1.
    pub host_header: HeaderValue,
    pub(super) endpoint: Endpoint,
    pub(super) server_name: ServerName<'static>,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) now: Cell<u64>,
    /// What the endpoint spoke last.
    pub(super) protocol: Cell<Option<Protocol>>,
    pub(super) is_retired: Cell<bool>,
    http2: RefCell<Vec<Rc<Http2Connection>>>,
    http1: RefCell<Vec<IdleHttp1>>,
    /// All open HTTP/1.1 connections, idle or not.
    pub(super) open_http1: RefCell<Vec<Rc<Http1State>>>,
    /// The addresses of the endpoint that are being checked.
    pub(super) checked: RefCell<Vec<SocketAddr>>,
    dial: RefCell<Option<SharedDial>>,
    signals: Signals,
}

impl Host {
    pub(super) fn new(backend: &Backend, endpoint: usize, signals: Signals, now: u64) -> Option<Self> {
        let host_header = backend.authorities.get(endpoint)?.clone();
        Some(Self {
            id: backend.id,
            index: endpoint,
            authority: Authority::try_from(host_header.as_bytes()).ok()?,
            host_header,
            endpoint: backend.endpoints.get(endpoint)?.clone(),
            server_name: backend.server_name.clone(),
            tls: Arc::clone(&backend.tls),
            now: Cell::new(now),
            protocol: Cell::new(None),
            is_retired: Cell::new(false),
            http2: RefCell::default(),
            http1: RefCell::default(),
            open_http1: RefCell::default(),
            checked: RefCell::default(),
            dial: RefCell::default(),
            signals,
        })
    }

    /// A connection that is open already and has room, and is not `avoid`.
    pub fn take(self: &Rc<Self>, avoid: Option<&Rc<Http2Connection>>) -> Option<Lease> {
        let is_good = |connection: &&Rc<Http2Connection>| {
            connection.has_room() && !avoid.is_some_and(|avoid| Rc::ptr_eq(avoid, connection))
        };
        if let Some(connection) = self.http2.borrow().iter().find(is_good) {
            return Some(Lease::Http2(Http2Lease::new(Rc::clone(connection))));
        }
        let mut idle = self.http1.borrow_mut();
        // The one used last is the least likely to be closed by the other side.
        while let Some(index) = idle.iter().rposition(IdleHttp1::is_settled) {
            let connection = idle.remove(index);
            if connection.is_usable() {
                return Some(Lease::Http1(Http1Lease::new(connection, Rc::clone(self))));
            }
        }
        None
    }

    /// A connection with room that is not `avoid`, opened when none is. Requests that find none wait for one dial together,
    /// unless the endpoint is known to speak HTTP/1.1, where each needs its own.
    ///
    /// # Errors
    /// Why the endpoint cannot be reached.
    pub async fn connect(
        self: &Rc<Self>,
        avoid: Option<&Rc<Http2Connection>>,
    ) -> Result<Lease, UpstreamFault> {
        for _ in 0..DIALS_PER_REQUEST {
            if self.protocol.get() == Some(Protocol::Http1) || self.is_retired.get() {
                return dial::dial(self).await;
            }
            let shared = self.join_dial();
            shared.await?;
            if let Some(lease) = self.take(avoid) {
                return Ok(lease);
            }
        }
        Err(UpstreamFault::Protocol("the backend opens connections and takes no requests on them".to_owned()))
    }

    /// Opens a connection before a request needs it.
    ///
    /// # Errors
    /// Why the endpoint cannot be reached.
    pub(super) async fn dial_ahead(self: &Rc<Self>) -> Result<(), UpstreamFault> {
        self.join_dial().await
    }

    fn join_dial(self: &Rc<Self>) -> SharedDial {
        let mut dial = self.dial.borrow_mut();
        match dial.as_ref().and_then(SharedDial::join) {
            Some(running) => running,
            None => {
                let (started, kept) = SharedDial::start(Rc::clone(self));
                *dial = Some(kept);
                started
            }
        }
    }

    pub(super) fn add_http2(&self, connection: Rc<Http2Connection>) {
        self.protocol.set(Some(Protocol::Http2));
        if self.is_retired.get() {
            connection.retire();
        }
        self.http2.borrow_mut().push(connection);
    }

    /// Keeps an HTTP/1.1 connection for the next request.
    pub(super) fn add_http1(&self, connection: IdleHttp1) {
        let mut idle = self.http1.borrow_mut();
        if !self.is_retired.get() && idle.len() < IDLE_HTTP1 {
            idle.push(connection);
        }
    }

    /// Forgets an HTTP/2 connection that ended.
    pub(super) fn forget(&self, connection: &Rc<Http2Connection>) {
        self.http2.borrow_mut().retain(|known| !Rc::ptr_eq(known, connection));
    }

    /// Reports what traffic saw, unless nobody routes here any more.
    pub fn report(&self, kind: SignalKind) {
        if !self.is_retired.get() {
            self.signals.report(self.id, kind);
        }
    }

    pub(super) fn watch_http1(&self, state: Rc<Http1State>) {
        self.open_http1.borrow_mut().push(state);
    }

    pub(super) fn forget_http1(&self, state: &Rc<Http1State>) {
        self.open_http1.borrow_mut().retain(|known| !Rc::ptr_eq(known, state));
    }

    pub(super) fn tick(&self, now: u64) {
        self.now.set(now);
        self.http1.borrow_mut().retain(|connection| connection.is_worth_keeping(now));
        self.http2.borrow_mut().retain(|connection| connection.tick(now));
    }

    /// Takes no more requests; those under way go on, and are still looked after by [`Self::tick`].
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.http1.borrow_mut().clear();
        self.http2.borrow().iter().for_each(|connection| connection.retire());
    }

    /// Whether nothing is left to look after.
    pub(super) fn is_empty(&self) -> bool {
        self.http2.borrow().is_empty() && self.open_http1.borrow().is_empty()
    }
}
