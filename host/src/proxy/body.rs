//! The body of an answer, from wherever it comes.

use super::connection::InFlight;
use crate::route::LocalBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Why an answer ended before its end. The client sees its connection or stream break, never a short body
/// that looks complete.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// A backend's HTTP/2 stream broke.
    #[error("backend: {0}")]
    Http2(#[from] h2::Error),
    /// A backend's HTTP/1.1 connection broke.
    #[error("backend: {0}")]
    Http1(#[from] hyper::Error),
    /// An own answer broke.
    #[error(transparent)]
    Local(#[from] crate::route::LocalError),
}

/// Where the bytes come from.
pub enum Source {
    /// Nowhere, or from memory.
    Whole(Option<Bytes>),
    /// From the control runtime.
    Local(LocalBody),
}

/// A body on its way to a client.
pub struct AnswerBody {
    source: Source,
    /// Held until the body is sent or given up.
    _in_flight: Option<InFlight>,
}

impl AnswerBody {
    /// A body from `source`.
    pub fn new(source: Source) -> Self {
        Self { source, _in_flight: None }
    }

    /// Keeps its request counted until the body is done.
    pub fn keep(&mut self, in_flight: InFlight) {
        self._in_flight = Some(in_flight);
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Local(body) => Poll::Ready(ready!(Pin::new(body).poll_frame(cx)).map(|f| Ok(f?))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_none(),
            Source::Local(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Source::Local(body) => body.size_hint(),
        }
    }
}
