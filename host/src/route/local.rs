//! How a worker hands a request that Umbel answers itself to the control runtime.

use crate::model::identity::Caller;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The body of a client's request. When it is dropped, its unread rest returns to the connection, which decides
/// whether it can carry another request.
#[derive(Debug)]
pub struct ClientBody {
    incoming: Option<Incoming>,
    unread: Option<oneshot::Sender<Incoming>>,
}

impl ClientBody {
    /// A body whose unread rest does not matter.
    pub fn new(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), unread: None }
    }

    /// The body of a request without one.
    #[cfg(test)]
    pub fn none() -> Self {
        Self { incoming: None, unread: None }
    }

    /// A body whose unread rest is sent to the receiver.
    pub fn returning(incoming: Incoming) -> (Self, oneshot::Receiver<Incoming>) {
        let (unread, receiver) = oneshot::channel();
        (Self { incoming: Some(incoming), unread: Some(unread) }, receiver)
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let (Some(incoming), Some(unread)) = (self.incoming.take(), self.unread.take())
            && !incoming.is_end_stream()
        {
            // Fails if the connection no longer waits for it.
            drop(unread.send(incoming));
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.incoming.as_mut().map_or(Poll::Ready(None), |incoming| Pin::new(incoming).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A body that ended early.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LocalError(pub String);

/// The body of a local answer: whole, or a stream for a watch.
pub type LocalBody = UnsyncBoxBody<Bytes, LocalError>;

/// Answers requests for the own kinds, health, version and metrics. Implementations do their work on the
/// control runtime, whatever runtime polls the returned future.
pub trait LocalApi: Send + Sync {
    /// Answers one authenticated and authorised request.
    fn serve(
        &self,
        request: Request<ClientBody>,
        caller: Arc<Caller>,
    ) -> BoxFuture<'static, Response<LocalBody>>;
}
