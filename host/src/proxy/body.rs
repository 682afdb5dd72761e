//! The body of an answer, from wherever it comes.

use super::connection::InFlight;
use super::event_boundary::EventBoundary;
use super::pool::Http1Lease;
use super::progress;
use super::response_headers::clean_trailers;
use super::upload::StreamHold;
use crate::model::message_head::HEADERS_MAX;
use crate::route::{LocalBody, LocalError};
use crate::upstream::UpstreamFault;
use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
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
    /// A backend stopped answering.
    #[error("backend: {0}")]
    Silent(UpstreamFault),
    /// An own answer broke.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// A backend sent more trailers than are accepted.
    #[error("backend: too many trailers")]
    TooManyTrailers,
}

enum Source {
    /// Nowhere, or memory.
    Whole(Option<Bytes>),
    /// The control runtime.
    Local(LocalBody),
    /// A backend.
    Http2 { body: RecvStream, is_data_over: bool, _hold: StreamHold },
    /// A backend. The lease goes back to the pool when the body is complete.
    Http1 { body: Incoming, lease: Option<Http1Lease> },
    /// A backend's answer to an upgrade, on a connection of its own.
    Dedicated(Incoming),
}

/// Maximum size of one frame. hyper buffers every frame that it gets, however slowly the client reads. Data that
/// hyper has not got costs nothing and counts as not read.
const PIECE: usize = 64 << 10;

/// A body on its way to a client.
pub struct AnswerBody {
    source: Source,
    /// The rest of a chunk that is sent in pieces.
    rest: Bytes,
    /// Held until the body is sent or given up.
    in_flight: Option<InFlight>,
    /// The position in a watch that ends when the process drains.
    watch: Option<EventBoundary>,
}

impl AnswerBody {
    fn new(source: Source) -> Self {
        Self { source, rest: Bytes::new(), in_flight: None, watch: None }
    }

    /// No body.
    pub fn empty() -> Self {
        Self::new(Source::Whole(None))
    }

    /// A body that lies in memory; shared, not copied.
    pub fn whole(bytes: Bytes) -> Self {
        Self::new(Source::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// A body that the control runtime makes.
    pub fn local(body: LocalBody) -> Self {
        Self::new(Source::Local(body))
    }

    pub(super) fn http2(body: RecvStream, hold: StreamHold) -> Self {
        Self::new(Source::Http2 { body, is_data_over: false, _hold: hold })
    }

    pub(super) fn http1(body: Incoming, lease: Http1Lease) -> Self {
        Self::new(Source::Http1 { body, lease: Some(lease) })
    }

    pub(super) fn dedicated(body: Incoming) -> Self {
        Self::new(Source::Dedicated(body))
    }

    /// Takes out what lies in memory and returns its length, because the answer to a HEAD has none.
    pub fn withhold(&mut self) -> usize {
        match &mut self.source {
            Source::Whole(bytes) => bytes.take().map_or(0, |bytes| bytes.len()),
            _ => 0,
        }
    }

    /// Keeps its request counted until the body is done.
    pub fn keep(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }

    /// Lets the body of a watch end between two events when the process drains, because it would last much longer. A
    /// body of a known length always ends at that length.
    pub fn end_with_drain(&mut self, boundary: EventBoundary) {
        if self.size_hint().exact().is_none() {
            self.watch = Some(boundary);
        }
    }

    /// Whether the process drains, and no event would be cut.
    fn ends_now(&self) -> bool {
        self.watch.as_ref().is_some_and(EventBoundary::is_between)
            && self.in_flight.as_ref().is_some_and(InFlight::is_draining)
    }

    /// Returns `data`, or its first piece.
    fn hand_over(&mut self, mut data: Bytes) -> Frame<Bytes> {
        if data.len() > PIECE {
            self.rest = data.split_off(PIECE);
        }
        if let Some(watch) = &mut self.watch {
            watch.advance(&data);
        }
        Frame::data(data)
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Local(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::from),
            Source::Http2 { body, is_data_over, .. } => {
                poll_http2(body, is_data_over, cx).map_err(BodyError::from)
            }
            Source::Dedicated(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::from),
            Source::Http1 { body, lease } => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                if let Some(lease) = lease.as_ref() {
                    if lease.is_dead() {
                        // hyper ends a body whose connection was dropped in the same way as a complete one.
                        return Poll::Ready(Some(Err(BodyError::Silent(UpstreamFault::Silent))));
                    }
                    lease.note_read();
                }
                if frame.is_none()
                    && let Some(lease) = lease.take()
                {
                    lease.give_back();
                }
                Poll::Ready(frame.map(|frame| Ok(frame?)))
            }
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.in_flight.is_some() {
            progress::note_end();
        }
        if let Source::Http1 { body, lease } = &mut self.source
            && body.is_end_stream()
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
    }
}

fn poll_http2(
    body: &mut RecvStream,
    is_data_over: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
    if !*is_data_over {
        match ready!(body.poll_data(cx)) {
            Some(Ok(data)) => {
                // The window opens again as the client takes what came: that is the backpressure.
                body.flow_control().release_capacity(data.len())?;
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => *is_data_over = true,
        }
    }
    Poll::Ready(ready!(body.poll_trailers(cx)).transpose().map(|trailers| trailers.map(Frame::trailers)))
}

/// Trailers of a backend as they may be sent to a client.
fn pass_trailers(frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
    match frame.into_trailers() {
        Ok(trailers) if trailers.len() > HEADERS_MAX => Err(BodyError::TooManyTrailers),
        Ok(mut trailers) => {
            clean_trailers(&mut trailers);
            Ok(Frame::trailers(trailers))
        }
        Err(frame) => Ok(frame),
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ends_now() {
            return Poll::Ready(None);
        }
        if !self.rest.is_empty() {
            progress::note_part();
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.hand_over(rest))));
        }
        let frame = ready!(self.poll_source(cx));
        progress::note_part();
        Poll::Ready(frame.map(|frame| match frame?.into_data() {
            Ok(data) => Ok(self.hand_over(data)),
            Err(trailers) => pass_trailers(trailers),
        }))
    }

    fn is_end_stream(&self) -> bool {
        if !self.rest.is_empty() {
            return false;
        }
        match &self.source {
            Source::Whole(bytes) => bytes.is_none(),
            Source::Local(body) => body.is_end_stream(),
            Source::Http2 { body, .. } => body.is_end_stream(),
            Source::Http1 { body, .. } | Source::Dedicated(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => {
                let waiting = bytes.as_ref().map_or(0, Bytes::len) + self.rest.len();
                SizeHint::with_exact(waiting as u64)
            }
            // Checked at the head only, when `rest` is empty.
            Source::Local(body) => body.size_hint(),
            Source::Http2 { body, .. } if body.is_end_stream() => SizeHint::with_exact(0),
            Source::Http2 { .. } => SizeHint::default(),
            Source::Http1 { body, .. } | Source::Dedicated(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn trailers_of_a_backend_are_cleaned_and_limited_in_number() {
        let trailers = |count: usize| {
            let mut trailers = HeaderMap::new();
            (1..count).for_each(|_| _ = trailers.append("x-sum", "1".parse().unwrap()));
            trailers.append("content-length", "1".parse().unwrap());
            pass_trailers(Frame::trailers(trailers)).map(|frame| frame.into_trailers().unwrap())
        };
        for count in [2, HEADERS_MAX] {
            let passed = trailers(count).unwrap();
            assert_eq!(passed.get_all("x-sum").iter().count(), count - 1);
            assert!(!passed.contains_key("content-length"));
        }
        assert!(matches!(trailers(HEADERS_MAX + 1), Err(BodyError::TooManyTrailers)));
        assert!(pass_trailers(Frame::data(Bytes::from("x"))).unwrap().is_data());
    }
}
