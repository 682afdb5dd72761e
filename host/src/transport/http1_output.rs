//! Output to an HTTP/1.1 client in addition to the responses of the service.
//!
//! hyper answers a malformed head by itself, without a body, and cannot send interim responses. Both are done here,
//! below hyper: its bare response is replaced by a complete one, and interim responses are inserted between its
//! writes. A write is hyper's own only when no response of the service is being written, so the service reports when
//! one begins and ends. A response ends with the flush after its last byte.

use super::lingering_close::LingerHandle;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Nothing is being written.
const IDLE: u8 = 0;
/// A response of the service is being written, or will be.
const BUSY: u8 = 1;
/// hyper has the whole response, but may not have written all of it.
const ENDING: u8 = 2;
/// The connection no longer speaks HTTP.
const UPGRADED: u8 = 3;
/// hyper closes the connection.
const CLOSING: u8 = 4;

/// Limit for queued interim responses, in bytes.
const WAITING_MAX: usize = 64 << 10;

/// The handle of the service. hyper requires it to be `Send`; all uses are on one thread.
#[derive(Clone, Debug, Default)]
pub struct Http1OutputHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    is_held: AtomicBool,
    /// Whether bytes were read since the last response ended.
    has_input: AtomicBool,
    /// Whether hyper has written something since its last flush.
    is_unflushed: AtomicBool,
    has_interim: AtomicBool,
    interim: Mutex<BytesMut>,
    task: AtomicWaker,
}

impl Http1OutputHandle {
    /// A request begins.
    pub fn begin(&self) {
        self.0.phase.store(BUSY, Ordering::Relaxed);
    }

    /// hyper has the whole response.
    pub fn end(&self) {
        if self.0.phase.load(Ordering::Relaxed) == BUSY {
            self.0.phase.store(ENDING, Ordering::Relaxed);
        }
        self.0.has_input.store(false, Ordering::Relaxed);
    }

    /// After this response the connection no longer speaks HTTP.
    pub fn upgrade(&self) {
        self.0.phase.store(UPGRADED, Ordering::Relaxed);
    }

    /// Whether nothing is being written, and no next request has begun.
    pub fn is_idle(&self) -> bool {
        self.0.phase.load(Ordering::Relaxed) == IDLE && !self.0.has_input.load(Ordering::Relaxed)
    }

    /// Holds the connection: until it is released, hyper reads nothing and cannot close it.
    pub fn hold(&self, is_held: bool) {
        self.0.is_held.store(is_held, Ordering::Relaxed);
    }

    /// Sends an interim response before the response of the request in progress. It is dropped if an earlier response
    /// is still being written: it is a hint, and useless when it is late.
    pub fn send_interim(&self, response: &[u8]) {
        let mut interim = self.0.interim.lock();
        let is_clear = self.0.phase.load(Ordering::Relaxed) == BUSY
            && !self.0.is_unflushed.load(Ordering::Relaxed)
            && interim.len() + response.len() <= WAITING_MAX;
        if is_clear {
            interim.extend_from_slice(response);
            self.0.has_interim.store(true, Ordering::Relaxed);
            self.0.task.wake();
        }
    }
}

/// The client's side of an HTTP/1.1 connection. Reads pass through.
#[derive(Debug)]
pub struct Http1Output<T> {
    inner: T,
    shared: Arc<Shared>,
    linger: LingerHandle,
    /// Builds a complete response from a status code.
    complete: fn(u16) -> Option<Bytes>,
    /// Bytes that are written before hyper's next write.
    ahead: Bytes,
}

impl<T> Http1Output<T> {
    /// Wraps a connection. `complete` returns the whole response for a status code of hyper, or `None` to leave it
    /// unchanged.
    pub fn new(
        inner: T,
        handle: &Http1OutputHandle,
        linger: &LingerHandle,
        complete: fn(u16) -> Option<Bytes>,
    ) -> Self {
        Self { inner, shared: Arc::clone(&handle.0), linger: linger.clone(), complete, ahead: Bytes::new() }
    }

    /// The wrapped connection.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    fn is_held(&self) -> bool {
        self.shared.is_held.load(Ordering::Relaxed)
    }

    /// The response that replaces `data`, if `data` is hyper's own response.
    fn replace(&self, data: &[u8]) -> Option<Bytes> {
        if self.shared.phase.load(Ordering::Relaxed) != IDLE || !data.ends_with(b"\r\n\r\n") {
            return None;
        }
        let code = data.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
        let code = std::str::from_utf8(code).ok()?.parse().ok()?;
        let complete = (self.complete)(code);
        if complete.is_some() {
            // The client may still be sending the rejected request.
            self.linger.ask();
        }
        complete
    }
}

impl<T: AsyncWrite + Unpin> Http1Output<T> {
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.ahead.is_empty() {
                match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.ahead))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => self.ahead.advance(count),
                }
            }
            if !self.shared.has_interim.swap(false, Ordering::Relaxed) {
                // Frees what was written.
                self.ahead = Bytes::new();
                self.shared.task.register(cx.waker());
                return Poll::Ready(Ok(()));
            }
            self.ahead = std::mem::take(&mut *self.shared.interim.lock()).freeze();
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Http1Output<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_held() {
            return Poll::Pending;
        }
        let before = target.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, target))?;
        if target.filled().len() > before {
            self.shared.has_input.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Http1Output<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored_or_replace(cx, &[io::IoSlice::new(data)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored_or_replace(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ahead(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.shared.is_unflushed.store(false, Ordering::Relaxed);
        if self.shared.phase.load(Ordering::Relaxed) == ENDING {
            self.shared.phase.store(IDLE, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_held() {
            return Poll::Ready(Ok(()));
        }
        self.shared.phase.store(CLOSING, Ordering::Relaxed);
        ready!(self.poll_ahead(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: AsyncWrite + Unpin> Http1Output<T> {
    fn poll_write_vectored_or_replace(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ahead(cx))?;
        if let [only] = slices
            && let Some(complete) = self.replace(only)
        {
            self.ahead = complete;
            return Poll::Ready(Ok(only.len()));
        }
        self.shared.is_unflushed.store(true, Ordering::Relaxed);
        match slices {
            [only] => Pin::new(&mut self.inner).poll_write(cx, only),
            slices => Pin::new(&mut self.inner).poll_write_vectored(cx, slices),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const BARE: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    fn complete(code: u16) -> Option<Bytes> {
        (code == 431).then(|| Bytes::from_static(b"<complete>"))
    }

    fn output() -> (Http1Output<DuplexStream>, Http1OutputHandle, DuplexStream) {
        let (near, far) = duplex(1 << 10);
        let handle = Http1OutputHandle::default();
        (Http1Output::new(near, &handle, &LingerHandle::default(), complete), handle, far)
    }

    async fn written(output: Http1Output<DuplexStream>, mut far: DuplexStream) -> String {
        drop(output);
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        text
    }

    async fn write(output: &mut Http1Output<DuplexStream>, data: &[u8]) {
        output.write_all(data).await.unwrap();
        output.flush().await.unwrap();
    }

    #[tokio::test]
    async fn a_bare_response_is_completed() {
        let (mut near, _handle, far) = output();
        write(&mut near, b"HTTP/1.1 405 Method Not Allowed\r\n\r\n").await;
        assert!(!near.linger.is_asked(), "it is not replaced");
        write(&mut near, BARE).await;
        assert!(near.linger.is_asked(), "the client may still be sending");
        assert_eq!(written(near, far).await, "HTTP/1.1 405 Method Not Allowed\r\n\r\n<complete>");
        let (mut near, handle, far) = output();
        handle.begin();
        handle.end();
        write(&mut near, b"first ").await;
        write(&mut near, BARE).await;
        assert_eq!(written(near, far).await, "first <complete>");
    }

    /// Otherwise a backend could make one response look like two.
    #[tokio::test]
    async fn what_the_service_sends_is_never_replaced() {
        let bare = std::str::from_utf8(BARE).unwrap();
        let (mut near, handle, far) = output();
        handle.begin();
        write(&mut near, b"head ").await;
        write(&mut near, BARE).await;
        handle.end();
        write(&mut near, BARE).await;
        assert_eq!(written(near, far).await, format!("head {bare}{bare}"));
        let (mut near, handle, far) = output();
        handle.begin();
        handle.upgrade();
        handle.end();
        write(&mut near, b"101 ").await;
        write(&mut near, BARE).await;
        assert_eq!(written(near, far).await, format!("101 {bare}"));
    }

    #[tokio::test]
    async fn interim_responses_come_before_the_response() {
        let (mut near, handle, far) = output();
        handle.send_interim(b"too early ");
        handle.begin();
        handle.send_interim(b"hint ");
        write(&mut near, b"response ").await;
        handle.end();
        handle.send_interim(b"too late ");
        write(&mut near, b"end").await;
        assert_eq!(written(near, far).await, "hint response end");
    }

    #[tokio::test]
    async fn interim_responses_are_not_kept() {
        let (mut near, handle, far) = output();
        handle.begin();
        handle.send_interim(&[b'x'; 500]);
        handle.send_interim(&[b'y'; 100]);
        write(&mut near, b"response").await;
        assert_eq!(handle.0.interim.lock().capacity(), 0);
        assert!(!near.ahead.is_unique(), "the buffer is held");
        assert_eq!(written(near, far).await.len(), 608);
    }

    #[tokio::test]
    async fn a_held_connection_is_neither_read_nor_closed() {
        use futures_util::FutureExt;
        let (mut near, handle, mut far) = output();
        far.write_all(b"request").await.unwrap();
        handle.hold(true);
        assert!(near.read(&mut [0; 7]).now_or_never().is_none());
        near.shutdown().await.unwrap();
        handle.hold(false);
        assert!(handle.is_idle());
        assert_eq!(near.read(&mut [0; 7]).await.unwrap(), 7);
        assert!(!handle.is_idle());
        handle.begin();
        write(&mut near, b"response").await;
        handle.end();
        assert!(!handle.is_idle(), "not flushed");
        near.flush().await.unwrap();
        assert!(handle.is_idle());
        near.shutdown().await.unwrap();
        assert!(!handle.is_idle());
        assert_eq!(written(near, far).await, "response");
    }

    #[tokio::test]
    async fn interim_responses_do_not_cut_into_an_earlier_response() {
        let (mut near, handle, far) = output();
        handle.begin();
        near.write_all(b"half ").await.unwrap();
        handle.begin();
        handle.send_interim(b"hint ");
        write(&mut near, b"other half").await;
        assert_eq!(written(near, far).await, "half other half");
    }
}
