//! Interim responses (1xx) of a backend: passed on if the client accepts them, and limited in number.

use http::header::{CONNECTION, HeaderMap, HeaderName};
use http::{Request, StatusCode};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most interim responses before one response.
pub const INTERIM_MAX: u32 = 32;

/// The number of interim responses since the last request on a connection. hyper requires it to be `Send`.
#[derive(Clone, Debug, Default)]
pub struct InterimCount(Arc<AtomicU32>);

impl InterimCount {
    /// Counts the interim responses to `request` from zero, and calls `pass_on` for each up to the limit.
    pub fn attach<B>(
        &self,
        request: &mut Request<B>,
        pass_on: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
    ) {
        self.0.store(0, Ordering::Relaxed);
        let count = self.clone();
        hyper::ext::on_informational(request, move |response| {
            if count.0.fetch_add(1, Ordering::Relaxed) < INTERIM_MAX {
                pass_on(response.status(), response.headers());
            }
        });
    }

    /// Whether the limit was exceeded.
    pub fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) > INTERIM_MAX
    }
}

/// An HTTP/1.1 connection to a backend. Reading fails after too many interim responses: a backend that sends them as
/// fast as they are read would keep the reader busy.
#[derive(Debug)]
pub struct InterimLimit<T> {
    inner: T,
    count: InterimCount,
}

impl<T> InterimLimit<T> {
    /// Wraps a connection.
    pub fn new(inner: T, count: &InterimCount) -> Self {
        Self { inner, count: count.clone() }
    }
}

/// The error for a backend that sends more than [`INTERIM_MAX`].
pub fn too_many_interim() -> io::Error {
    let text = format!("more than {INTERIM_MAX} interim responses (1xx) came before the response");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl<T: AsyncRead + Unpin> AsyncRead for InterimLimit<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.count.is_exceeded() {
            return Poll::Ready(Err(too_many_interim()));
        }
        Pin::new(&mut self.inner).poll_read(cx, target)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for InterimLimit<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// An interim response in HTTP/1.1 syntax, without the headers of the backend's connection. `None` for 100, which
/// each connection handles itself, and for 101.
pub fn write_interim(status: StatusCode, headers: &HeaderMap) -> Option<Vec<u8>> {
    if !status.is_informational() || matches!(status.as_u16(), 100 | 101) {
        return None;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .collect();
    let reason = status.canonical_reason().unwrap_or("Interim");
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in headers {
        let is_hop = matches!(
            name.as_str(),
            "connection"
                | "keep-alive"
                | "proxy-connection"
                | "transfer-encoding"
                | "content-length"
                | "upgrade"
        );
        if !is_hop && !named.contains(name) {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(b"\r\n");
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn an_interim_response_is_written_without_what_belongs_to_its_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("link", "</a>"),
            ("link", "</b>"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("content-length", "3"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let written = write_interim(StatusCode::EARLY_HINTS, &headers).unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n"
        );
        for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS, StatusCode::OK] {
            assert_eq!(write_interim(status, &headers), None);
        }
    }

    #[tokio::test]
    async fn slices_are_written_at_once() {
        let (near, mut far) = tokio::io::duplex(100);
        let mut limited = InterimLimit::new(near, &InterimCount::default());
        assert!(limited.is_write_vectored());
        let slices = [io::IoSlice::new(b"head "), io::IoSlice::new(b"body")];
        assert_eq!(limited.write_vectored(&slices).await.unwrap(), 9);
        drop(limited);
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "head body");
    }
}
