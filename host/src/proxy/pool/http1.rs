//! HTTP/1.1 connections to a backend: one request at a time.

use super::host::Host;
use crate::model::message_head::HEADERS_MAX;
use crate::proxy::request_body::UploadBody;
use crate::route::SignalKind;
use crate::upstream::{InterimCount, InterimLimit, Stream, UpstreamFault};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::rc::Rc;

/// Seconds that a connection without a request is kept (contract §2.8).
const IDLE: u64 = 90;

/// A connection without a request.
pub struct IdleHttp1 {
    sender: SendRequest<UploadBody>,
    interim: InterimCount,
    since: u64,
    /// Whether it lies in the pool, so that its end is news.
    is_idle: Rc<Cell<bool>>,
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
        self.is_idle.set(false);
    }
}

/// A connection that carries one request; it goes back to the pool by [`Http1Lease::give_back`].
pub struct Http1Lease {
    connection: IdleHttp1,
    host: Rc<Host>,
    is_reused: bool,
}

impl Http1Lease {
    pub(super) fn fresh(connection: IdleHttp1, host: Rc<Host>) -> Self {
        Self { connection, host, is_reused: false }
    }

    pub(super) fn reuse(connection: IdleHttp1, host: Rc<Host>) -> Self {
        connection.is_idle.set(false);
        Self { connection, host, is_reused: true }
    }

    /// Whether it carried a request before.
    pub fn is_reused(&self) -> bool {
        self.is_reused
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
        let Self { mut connection, host, .. } = self;
        if !connection.sender.is_closed() {
            connection.since = host.now.get();
            connection.is_idle.set(true);
            host.add_http1(connection);
        }
    }
}

/// Speaks HTTP/1.1 on a fresh connection and spawns the task that drives it.
pub(super) async fn open(host: &Rc<Host>, stream: Stream) -> Result<IdleHttp1, UpstreamFault> {
    let interim = InterimCount::default();
    let stream = InterimLimit::new(stream, &interim);
    let (mut sender, driver) = hyper::client::conn::http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| UpstreamFault::Protocol(format!("HTTP/1.1: {error}")))?;
    let is_idle = Rc::new(Cell::new(false));
    let (watched, host) = (Rc::clone(&is_idle), Rc::downgrade(host));
    let _detached = tokio::task::spawn_local(async move {
        let outcome = driver.await;
        if watched.get()
            && let Some(host) = host.upgrade()
        {
            tracing::debug!(endpoint = %host.authority, error = outcome.err().map(tracing::field::display), "idle HTTP/1.1 connection to a backend closed");
            host.report(SignalKind::ConnectionClosed);
        }
    });
    sender.ready().await.map_err(|error| UpstreamFault::Closed(error.to_string()))?;
    Ok(IdleHttp1 { sender, interim, since: 0, is_idle })
}
