//! An open connection to a backend.

use super::connect::Protocol;
use crate::transport::{BulkRead, TlsRecords};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// TCP with TLS over it.
///
/// A backend that speaks HTTP/1.1 may end a connection without `close_notify`, as in Go: Python's `http.server`
/// always does, and a body without a length or chunks ends there. Only an end between two records is accepted. An end
/// inside a record is an error, like a reset, and a body with a length or chunks that ends too early is an error of
/// HTTP. HTTP/2 does not use the end of a connection as a delimiter.
#[derive(Debug)]
pub struct Stream {
    tls: TlsStream<TlsRecords<BulkRead<TcpStream>>>,
    may_end_silently: bool,
}

impl Stream {
    pub(super) fn new(tls: TlsStream<TlsRecords<BulkRead<TcpStream>>>, protocol: Protocol) -> Self {
        Self { tls, may_end_silently: protocol == Protocol::Http1 }
    }

    fn is_end(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::UnexpectedEof
            && self.may_end_silently
            && self.tls.get_ref().0.is_between_records()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.tls).poll_read(cx, target) {
            Poll::Ready(Err(error)) if self.is_end(&error) => Poll::Ready(Ok(())),
            outcome => outcome,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
