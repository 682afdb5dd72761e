//! Request bodies: limit, media type, bytes.

use crate::model::byte_budget::{ByteBudget, Reservation};
use crate::model::failure::{Failure, UPLOAD_PAUSE};
use crate::object::decode::Encoding;
use crate::object::patch::PatchFormat;
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Upstream's limit for a request body, in bytes.
pub const BODY_MAX: usize = 3 * 1024 * 1024;

/// Limit for the bytes of all request bodies that are being read or processed at a time.
const BODIES_MAX: usize = 32 * 1024 * 1024;

/// From this size on, in bytes, bodies are processed one at a time. An object with many small fields takes 40 times
/// the memory of its body while its ownership of fields is computed.
const LARGE: usize = 64 * 1024;

/// Limit for the bytes of smaller bodies that are processed at a time, so that they do not wait for large ones.
const SMALL_MAX: usize = 2 * 1024 * 1024;

/// Memory limits of request bodies.
#[derive(Debug)]
pub struct Bodies {
    budget: Arc<ByteBudget>,
    large: Arc<Semaphore>,
    small: Arc<Semaphore>,
}

impl Bodies {
    /// No body is held.
    pub fn new() -> Self {
        Self::with_limit(BODIES_MAX)
    }

    fn with_limit(bytes: usize) -> Self {
        Self {
            budget: ByteBudget::new(bytes),
            large: Arc::new(Semaphore::new(1)),
            small: Arc::new(Semaphore::new(SMALL_MAX)),
        }
    }

    /// Waits until a body of `size` bytes may be processed.
    async fn turn(&self, size: usize) -> Option<OwnedSemaphorePermit> {
        let (semaphore, permits) = if size < LARGE { (&self.small, size) } else { (&self.large, 1) };
        // Neither semaphore is ever closed, and every small size fits into `u32`.
        Arc::clone(semaphore).acquire_many_owned(u32::try_from(permits).ok()?).await.ok()
    }
}

/// A body that was read and may be processed. Its bytes count against the limits until it is dropped.
#[derive(Debug)]
pub struct HeldBody {
    bytes: Bytes,
    _reservation: Reservation,
    _turn: Option<OwnedSemaphorePermit>,
}

impl HeldBody {
    /// The bytes of the body.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Reads a body to its end. 413 beyond [`BODY_MAX`], 400 when it breaks off, 408 when it pauses for longer than
/// [`UPLOAD_PAUSE`], 429 when it does not fit beside others.
pub async fn read<B>(body: B, bodies: &Bodies) -> Result<HeldBody, Failure>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    read_within(body, UPLOAD_PAUSE, bodies).await
}

async fn read_within<B>(mut body: B, pause: Duration, bodies: &Bodies) -> Result<HeldBody, Failure>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    let mut reservation = bodies.budget.reserve(0).ok_or_else(Failure::too_many_uploads)?;
    let stalled = |_| Failure::stalled_upload(pause);
    while let Some(frame) = tokio::time::timeout(pause, body.frame()).await.map_err(stalled)? {
        let frame = frame.map_err(|e| Failure::bad_request(format!("the request body broke off: {e}")))?;
        let Ok(mut data) = frame.into_data() else { continue };
        if bytes.len() + data.remaining() > BODY_MAX {
            return Err(too_large());
        }
        if !reservation.grow(data.remaining()) {
            return Err(Failure::too_many_uploads());
        }
        bytes.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    let turn = bodies.turn(bytes.len()).await;
    Ok(HeldBody { bytes: bytes.freeze(), _reservation: reservation, _turn: turn })
}

fn too_large() -> Failure {
    Failure::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {BODY_MAX}"))
}

/// The encoding of an object in a body; 415 for what Umbel does not read.
pub fn encoding(headers: &HeaderMap) -> Result<Encoding, Failure> {
    Encoding::from_content_type(content_type(headers)).ok_or_else(|| {
        Failure::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: \
             application/json, application/yaml",
        )
    })
}

/// The format of a patch; 415 for anything else, in go-restful's words. Server-side apply gets a 415 of its own.
pub fn patch_format(headers: &HeaderMap) -> Result<PatchFormat, Failure> {
    let given = content_type(headers);
    if given.starts_with("application/apply-patch") {
        let message = "415: Unsupported Media Type: server-side apply is not served yet; \
                       use client-side apply (kubectl apply without --server-side)";
        return Err(unsupported(message));
    }
    PatchFormat::from_content_type(given).ok_or_else(|| unsupported("415: Unsupported Media Type"))
}

fn unsupported(message: &str) -> Failure {
    Failure { details: Some(Box::default()), ..Failure::new(415, "UnsupportedMediaType", message) }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_read() {
        let bodies = Bodies::new();
        let body = |size| Full::new(Bytes::from(vec![b'x'; size]));
        let read_at_limit = read(body(BODY_MAX), &bodies).await.unwrap();
        assert_eq!(read_at_limit.bytes().len(), BODY_MAX);
        let refused = read(body(BODY_MAX + 1), &bodies).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (413, "Request entity too large: limit is 3145728")
        );
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_refused_at_the_limit() {
        use futures_util::stream;
        let piece = Bytes::from(vec![b'x'; BODY_MAX / 2]);
        for (pieces, is_accepted) in [(2, true), (3, false)] {
            let frames =
                (0..pieces).map(|_| Ok::<_, std::convert::Infallible>(http_body::Frame::data(piece.clone())));
            let body = http_body_util::StreamBody::new(stream::iter(frames));
            let read = read(body, &Bodies::new()).await;
            assert_eq!(
                read.map(|held| held.bytes().len()).map_err(|refused| refused.code),
                match is_accepted {
                    true => Ok(2 * (BODY_MAX / 2)),
                    false => Err(413),
                }
            );
        }
    }

    #[tokio::test]
    async fn bodies_that_do_not_fit_beside_others_are_refused_until_those_are_done() {
        let bodies = Bodies::with_limit(10);
        let body = |size| Full::new(Bytes::from(vec![b'x'; size]));
        let held = read(body(6), &bodies).await.unwrap();
        let refused = read(body(5), &bodies).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.reason, refused.retry_after_seconds()),
            (429, "TooManyRequests", Some(1))
        );
        assert_eq!(bodies.budget.used(), 6, "a refused body counts no more");
        drop(held);
        assert_eq!(read(body(10), &bodies).await.unwrap().bytes().len(), 10);
        assert_eq!(bodies.budget.used(), 0);
    }

    #[tokio::test]
    async fn large_bodies_are_processed_one_at_a_time_and_small_ones_beside_them() {
        use futures_util::FutureExt;
        let bodies = Bodies::new();
        let body = |size| Full::new(Bytes::from(vec![b'x'; size]));
        let first = read(body(LARGE), &bodies).await.unwrap();
        let mut second = Box::pin(read(body(LARGE), &bodies));
        assert!(second.as_mut().now_or_never().is_none(), "two at a time");
        let mut small = Vec::new();
        for _ in 0..SMALL_MAX / (LARGE - 1) {
            small.push(read(body(LARGE - 1), &bodies).now_or_never().unwrap().unwrap());
        }
        assert!(read(body(LARGE - 1), &bodies).now_or_never().is_none(), "more than {SMALL_MAX} bytes");
        drop(first);
        assert!(second.now_or_never().unwrap().is_ok());
        small.pop();
        assert!(read(body(LARGE - 1), &bodies).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_body_that_stops_coming_is_refused() {
        use futures_util::{StreamExt, stream};
        let first =
            stream::iter([Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from("{")))]);
        let body = http_body_util::StreamBody::new(first.chain(stream::pending()));
        let refused =
            read_within(body, Duration::from_millis(20), &Bodies::with_limit(10)).await.unwrap_err();
        assert_eq!((refused.code, refused.reason), (408, "Timeout"));
    }

    #[test]
    fn protobuf_bodies_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/vnd.kubernetes.protobuf".parse().unwrap());
        assert_eq!(encoding(&headers).unwrap_err().code, 415);
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        assert_eq!(encoding(&headers), Ok(Encoding::Json));
        assert_eq!(patch_format(&headers).unwrap_err().message, "415: Unsupported Media Type");
    }
}
