//! The body of an HTTP/1.1 request whose response is ready before the whole body was read.
//!
//! The rest of the body has to be read from the connection before the next request. A small rest is read and dropped;
//! otherwise the response says `Connection: close`, so that the client does not send a request that would be lost.

use http::Response;
use http::header::{CONNECTION, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// Bytes that are read and dropped, as in Go's server.
const DISCARD_MAX: u64 = 256 << 10;
/// How long a response waits for them.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// The body of a request in flight, if it has one.
pub struct UnreadBody {
    /// Receives the rest of the body when the request has been dropped.
    rest: oneshot::Receiver<Incoming>,
    /// The client sends no body before `100 Continue`.
    awaits_continue: bool,
}

impl UnreadBody {
    /// `rest` receives the rest of the body.
    pub fn new(rest: oneshot::Receiver<Incoming>, awaits_continue: bool) -> Self {
        Self { rest, awaits_continue }
    }

    /// Makes the connection ready for another request, or makes the response close it.
    pub async fn settle<B>(mut self, response: &mut Response<B>) {
        let is_settled = match self.rest.try_recv() {
            Ok(body) => !self.awaits_continue && discard(body).await,
            // It was read to its end.
            Err(TryRecvError::Closed) => true,
            // It is still being sent to a backend.
            Err(TryRecvError::Empty) => false,
        };
        if !is_settled {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Reads a body to its end and drops it. `false` when it is too large, too slow or malformed.
async fn discard<B: Body + Unpin>(mut body: B) -> bool {
    let reading = async {
        let mut size = 0;
        while size + body.size_hint().lower() <= DISCARD_MAX {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    size += frame.data_ref().map_or(0, |data| bytes::Buf::remaining(data) as u64);
                }
            }
        }
        false
    };
    tokio::time::timeout(DISCARD_TIMEOUT, reading).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::{StreamExt, stream};
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use std::io;

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let limit = DISCARD_MAX as usize;
        for (size, is_read) in [(0, true), (limit, true), (limit + 1, false)] {
            assert_eq!(discard(Full::new(Bytes::from(vec![0; size]))).await, is_read, "{size}");
            let halves = [size / 2, size - size / 2].map(|half| Bytes::from(vec![0; half]));
            let frames = halves.map(|half| Ok::<_, io::Error>(Frame::data(half)));
            assert_eq!(discard(StreamBody::new(stream::iter(frames))).await, is_read, "{size} in halves");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_or_stops_is_not_read() {
        let first = || stream::iter([Ok(Frame::data(Bytes::from("x")))]);
        let broken = stream::iter([Err(io::Error::from(io::ErrorKind::UnexpectedEof))]);
        assert!(!discard(StreamBody::new(first().chain(broken))).await);
        assert!(!discard(StreamBody::new(first().chain(stream::pending()))).await);
    }
}
