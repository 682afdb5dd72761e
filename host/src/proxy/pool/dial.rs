//! Opening connections.

use super::host::{Host, Lease};
use super::http1::{self, Http1Lease};
use super::http2::{self, Http2Lease};
use crate::upstream::{Protocol, UpstreamFault, connect};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Opens a connection for one request.
pub(super) async fn dial(host: &Rc<Host>) -> Result<Lease, UpstreamFault> {
    let opened = connect(&host.endpoint, &host.server_name, &host.tls).await?;
    match opened.protocol {
        Protocol::Http2 => {
            let connection = http2::open(host, opened.stream).await?;
            host.add_http2(Rc::clone(&connection));
            Ok(Lease::Http2(Http2Lease::new(connection)))
        }
        Protocol::Http1 => {
            host.protocol.set(Some(Protocol::Http1));
            let connection = http1::open(host, opened.stream, opened.address).await?;
            Ok(Lease::Http1(Http1Lease::new(connection, Rc::clone(host))))
        }
    }
}

type Outcome = Result<(), UpstreamFault>;

/// A dial for whose end several requests wait. It goes on while one of them does; what it opens is found in
/// the pool afterwards.
pub(super) enum SharedDial {
    /// For a request: polls it.
    Waiting(Shared<LocalBoxFuture<'static, Outcome>>),
    /// For the host: does not keep it alive.
    Kept(WeakShared<LocalBoxFuture<'static, Outcome>>),
}

impl SharedDial {
    /// Starts a dial: one handle to wait with, one to keep.
    pub(super) fn start(host: Rc<Host>) -> (Self, Self) {
        let future = async move {
            if let Lease::Http1(lease) = dial(&host).await? {
                lease.give_back();
            }
            Ok(())
        };
        let shared = future.boxed_local().shared();
        // `downgrade` only fails on a future that has been polled to its end.
        let kept = shared.downgrade().map_or_else(|| Self::Waiting(shared.clone()), Self::Kept);
        (Self::Waiting(shared), kept)
    }

    /// A handle to wait with, while the dial runs.
    pub(super) fn join(&self) -> Option<Self> {
        let Self::Kept(weak) = self else { return None };
        weak.upgrade().filter(|shared| shared.peek().is_none()).map(Self::Waiting)
    }
}

impl Future for SharedDial {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.get_mut() {
            Self::Waiting(shared) => shared.poll_unpin(cx),
            Self::Kept(_) => Poll::Ready(Ok(())),
        }
    }
}
