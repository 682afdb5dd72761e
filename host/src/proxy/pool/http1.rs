//! HTTP/1.1 connections to a backend: one request at a time.

use super::host::Host;
use crate::model::message_head::HEADERS_MAX;
use crate::proxy::request_body::UploadBody;
use crate::route::SignalKind;
use crate::upstream::{InterimCount, InterimLimit, Stream, UpstreamFault};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use tokio::sync::Notify;

/// Seconds that a connection without a request is kept (contract §2.8).
const IDLE: u64 = 90;
/// Seconds that a safe request waits for its answer before the endpoint is checked.
const QUIET_ANSWER: u64 = 3;
/// Seconds without a byte of a body, such as that of a watch, before the endpoint is checked.
const QUIET_BODY: u64 = 6;

/// The current use of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usage {
    /// It is in the pool, so its end is significant.
    Idle,
    /// It belongs to a request that has not been written yet, or it is being closed.
    Reserved,
    /// A write waits for its response. Only its own time limit ends it: closing the connection would not help the
    /// client, because the outcome would be unknown.
    Write,
    /// A safe request waits for its response.
    Answer,
    /// The body of a response is being read.
    Body,
}

/// The state of a connection that its host watches.
pub(super) struct Http1State {
    usage: Cell<Usage>,
    /// When data last arrived, or when waiting for it began.
    heard_at: Cell<u64>,
    is_dead: Cell<bool>,
    /// Whether a request was answered on it.
    has_answered: Cell<bool>,
    /// Whether the current request is the last one on it.
    is_last: Cell<bool>,
    /// The address that took it.
    address: SocketAddr,
    end: Notify,
}

impl Http1State {
    fn new(now: u64, address: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            usage: Cell::new(Usage::Reserved),
            heard_at: Cell::new(now),
            is_dead: Cell::new(false),
            has_answered: Cell::new(false),
            is_last: Cell::new(false),
            address,
            end: Notify::new(),
        })
    }

    /// A connection on which a safe request waits for its response.
    #[cfg(test)]
    pub(super) fn reading(now: u64, address: SocketAddr) -> Rc<Self> {
        let state = Self::new(now, address);
        state.usage.set(Usage::Answer);
        state
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.get()
    }

    /// The address of the endpoint that took the connection.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the connection has been silent for so long that its address must be checked.
    pub(super) fn is_quiet(&self, now: u64) -> bool {
        let limit = match self.usage.get() {
            _ if self.is_dead() => return false,
            Usage::Idle | Usage::Reserved | Usage::Write => return false,
            Usage::Answer => QUIET_ANSWER,
            Usage::Body => QUIET_BODY,
        };
        now.saturating_sub(self.heard_at.get()) >= limit
    }

    /// The address answers, so the waiting time starts again.
    pub(super) fn hear(&self, now: u64) {
        self.heard_at.set(now);
    }

    /// The address is dead: ends the connection if it is reading and has received nothing since `checked_at`.
    pub(super) fn give_up(&self, checked_at: u64) {
        let reads = matches!(self.usage.get(), Usage::Answer | Usage::Body);
        if reads && self.heard_at.get() <= checked_at {
            self.is_dead.set(true);
            self.end.notify_one();
        }
    }
}

/// A connection without a request.
pub struct IdleHttp1 {
    sender: SendRequest<UploadBody>,
    interim: InterimCount,
    since: u64,
    state: Rc<Http1State>,
}

impl IdleHttp1 {
    /// Whether the exchange before is over, one way or the other.
    pub(super) fn is_settled(&self) -> bool {
        self.sender.is_ready() || self.sender.is_closed()
    }

    pub(super) fn is_usable(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_worth_keeping(&self, now: u64) -> bool {
        !self.sender.is_closed() && now.saturating_sub(self.since) < IDLE
    }
}

impl Drop for IdleHttp1 {
    fn drop(&mut self) {
        self.state.usage.set(Usage::Reserved);
    }
}

/// A connection that carries one request; it goes back to the pool by [`Http1Lease::give_back`].
pub struct Http1Lease {
    connection: IdleHttp1,
    host: Rc<Host>,
}

impl Http1Lease {
    pub(super) fn new(connection: IdleHttp1, host: Rc<Host>) -> Self {
        connection.state.usage.set(Usage::Reserved);
        Self { connection, host }
    }

    /// Whether an earlier request was answered on it. A connection from the pool need not have carried one: the first
    /// dial to an endpoint puts its connection there for any waiting request.
    pub fn has_answered(&self) -> bool {
        self.connection.state.has_answered.get()
    }

    /// Whether the endpoint was found to be dead while this request waited.
    pub fn is_dead(&self) -> bool {
        self.connection.state.is_dead()
    }

    /// A request is about to be sent.
    pub fn note_request(&self, is_safe: bool) {
        self.connection.state.usage.set(if is_safe { Usage::Answer } else { Usage::Write });
        self.note_read();
    }

    /// The response begins.
    pub fn note_answer(&self) {
        self.connection.state.has_answered.set(true);
        self.connection.state.usage.set(Usage::Body);
        self.note_read();
    }

    /// The connection takes no request after this one.
    pub fn note_last(&self) {
        self.connection.state.is_last.set(true);
    }

    /// A part of the response arrived.
    pub fn note_read(&self) {
        self.connection.state.hear(self.host.now.get());
    }

    /// Counts the interim responses to the request.
    pub fn interim(&self) -> InterimCount {
        self.connection.interim.clone()
    }

    /// What sends the request.
    pub fn sender(&mut self) -> &mut SendRequest<UploadBody> {
        &mut self.connection.sender
    }

    /// The answer is complete: keeps the connection for the next request, unless it is to be closed.
    pub fn give_back(self) {
        let Self { mut connection, host } = self;
        if !connection.sender.is_closed() && !connection.state.is_last.get() {
            connection.since = host.now.get();
            connection.state.usage.set(Usage::Idle);
            host.add_http1(connection);
        }
    }
}

/// A connection in the list of its host, as long as its driver runs. A driver that panics must leave the list, too, and
/// must not end the body of a response like a complete one.
struct Watched {
    state: Rc<Http1State>,
    host: Weak<Host>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.state.is_dead.set(true);
        }
        if let Some(host) = self.host.upgrade() {
            host.forget_http1(&self.state);
        }
    }
}

/// Speaks HTTP/1.1 on a fresh connection and spawns the task that drives it.
pub(super) async fn open(
    host: &Rc<Host>,
    stream: Stream,
    address: SocketAddr,
) -> Result<IdleHttp1, UpstreamFault> {
    let interim = InterimCount::default();
    let stream = InterimLimit::new(stream, &interim);
    let (mut sender, driver) = hyper::client::conn::http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| UpstreamFault::Protocol(format!("HTTP/1.1: {error}")))?;
    let state = Http1State::new(host.now.get(), address);
    host.watch_http1(Rc::clone(&state));
    let watched = Watched { state: Rc::clone(&state), host: Rc::downgrade(host) };
    let _detached = tokio::task::spawn_local(async move {
        let outcome = tokio::select! {
            outcome = driver => outcome,
            () = watched.state.end.notified() => Ok(()),
        };
        let Some(host) = watched.host.upgrade() else { return };
        if watched.state.usage.get() == Usage::Idle {
            tracing::debug!(endpoint = %host.authority, error = outcome.err().map(tracing::field::display), "idle HTTP/1.1 connection to a backend closed");
            host.report(SignalKind::ConnectionClosed);
        }
    });
    sender.ready().await.map_err(|error| UpstreamFault::Closed(error.to_string()))?;
    Ok(IdleHttp1 { sender, interim, since: 0, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::pool::backend_for_tests;
    use crate::route::Signals;

    fn used(usage: Usage, since: u64) -> Rc<Http1State> {
        let state = Http1State::new(since, ([127, 0, 0, 1], 1).into());
        state.usage.set(usage);
        state
    }

    #[test]
    fn only_what_is_read_becomes_quiet() {
        let first_quiet = |usage| (10..100).find(|now| used(usage, 10).is_quiet(*now));
        assert_eq!(first_quiet(Usage::Answer), Some(10 + QUIET_ANSWER));
        assert_eq!(first_quiet(Usage::Body), Some(10 + QUIET_BODY));
        for usage in [Usage::Idle, Usage::Reserved, Usage::Write] {
            assert_eq!(first_quiet(usage), None, "{usage:?}");
        }
    }

    /// A driver that panics takes its part of a body with it, and hyper ends that body like a complete one.
    #[tokio::test]
    async fn a_driver_that_panics_leaves_a_dead_connection() {
        let host = Rc::new(Host::new(&backend_for_tests(&[1]), 0, Signals::channel(4).0, 0).unwrap());
        let state = used(Usage::Body, 0);
        host.watch_http1(Rc::clone(&state));
        let watched = Watched { state: Rc::clone(&state), host: Rc::downgrade(&host) };
        let driver = async move {
            let _watched = watched;
            panic!("on purpose");
        };
        let tasks = tokio::task::LocalSet::new();
        tasks.run_until(async { tokio::task::spawn_local(driver).await }).await.unwrap_err();
        assert!(state.is_dead() && host.is_empty());
        let ended = used(Usage::Body, 0);
        drop(Watched { state: Rc::clone(&ended), host: Rc::downgrade(&host) });
        assert!(!ended.is_dead());
    }

    #[test]
    fn a_dead_endpoint_ends_what_reads_and_nothing_else() {
        for (usage, heard_at, is_ended) in [
            (Usage::Answer, 10, true),
            (Usage::Body, 9, true),
            (Usage::Body, 11, false),
            (Usage::Write, 0, false),
            (Usage::Reserved, 0, false),
            (Usage::Idle, 0, false),
        ] {
            let state = used(usage, heard_at);
            state.give_up(10);
            assert_eq!(state.is_dead.get(), is_ended, "{usage:?} heard at {heard_at}");
        }
    }
}
