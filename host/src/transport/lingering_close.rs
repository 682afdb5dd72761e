//! Closing a connection so that the last answer arrives.
//!
//! A socket that is closed while the other side still sends is reset, and a reset destroys what the other side has
//! not read yet: the refusal of a large upload would be lost. So writing is closed first, and what still comes is
//! read and thrown away until the other side has closed too, within bounds.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How much patience a closing connection has with the other side.
#[derive(Clone, Copy, Debug)]
pub struct LingerLimits {
    /// In all (nginx: `lingering_time`).
    pub total: Duration,
    /// Between two reads (nginx: `lingering_timeout`).
    pub quiet: Duration,
    /// Bytes that are thrown away.
    pub bytes: usize,
}

impl Default for LingerLimits {
    fn default() -> Self {
        Self { total: Duration::from_secs(30), quiet: Duration::from_secs(5), bytes: 64 << 20 }
    }
}

/// A connection that closes as said above when its handle asks for it, and at once otherwise.
#[derive(Debug)]
pub struct LingeringClose<T> {
    inner: T,
    is_wanted: Arc<AtomicBool>,
    limits: LingerLimits,
    linger: Option<Linger>,
}

/// Asks for a lingering close. Cloned handles ask for the same connection.
#[derive(Clone, Debug, Default)]
pub struct LingerHandle(Arc<AtomicBool>);

impl LingerHandle {
    /// The other side may be sending when the connection closes.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Linger {
    bytes: usize,
    end: Instant,
    quiet: Pin<Box<Sleep>>,
}

/// Thrown away at a time.
const CHUNK: usize = 64 << 10;

thread_local! {
    /// Buffer for discarded data of all connections: many may close at the same time.
    static SINK: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

impl<T> LingeringClose<T> {
    /// Wraps a connection.
    pub fn new(inner: T, handle: &LingerHandle, limits: LingerLimits) -> Self {
        Self { inner, is_wanted: Arc::clone(&handle.0), limits, linger: None }
    }
}

impl<T> LingeringClose<T> {
    /// The wrapped connection.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: AsyncRead + Unpin> LingeringClose<T> {
    /// Throws away what comes. Ready when the other side closed or a limit is reached.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limits = self.limits;
        let linger = self.linger.get_or_insert_with(|| Linger {
            bytes: 0,
            end: Instant::now() + limits.total,
            quiet: Box::pin(sleep(limits.quiet.min(limits.total))),
        });
        loop {
            let read = SINK.with_borrow_mut(|sink| {
                let mut target = ReadBuf::new(sink);
                let outcome = Pin::new(&mut self.inner).poll_read(cx, &mut target);
                outcome.map_ok(|()| target.filled().len())
            });
            let count = match read {
                Poll::Pending => return linger.quiet.as_mut().poll(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(count)) => count,
            };
            linger.bytes += count;
            let now = Instant::now();
            if count == 0 || linger.bytes >= limits.bytes || now >= linger.end {
                return Poll::Ready(());
            }
            linger.quiet.set(sleep_until(linger.end.min(now + limits.quiet)));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LingeringClose<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, target)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringClose<T> {
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
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        }
        if self.is_wanted.load(Ordering::Relaxed) {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    const BOUND: Duration = Duration::from_secs(10);
    const LIMITS: LingerLimits =
        LingerLimits { total: Duration::from_secs(20), quiet: Duration::from_secs(20), bytes: 1 << 20 };

    fn pair(limits: LingerLimits, is_asked: bool) -> (LingeringClose<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(1 << 10);
        let handle = LingerHandle::default();
        if is_asked {
            handle.ask();
        }
        (LingeringClose::new(near, &handle, limits), far)
    }

    #[tokio::test]
    async fn what_still_comes_is_taken_until_the_other_side_closes() {
        let (mut near, mut far) = pair(LIMITS, true);
        let upload = async move {
            let mut answer = String::new();
            far.write_all(&[7; 100_000]).await.unwrap();
            far.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let close = async {
            near.write_all(b"no").await.unwrap();
            near.shutdown().await.unwrap();
        };
        let both = async { tokio::join!(upload, close).0 };
        assert_eq!(timeout(BOUND, both).await.unwrap(), "no");
    }

    #[tokio::test]
    async fn nothing_is_awaited_unasked() {
        let (mut near, _far) = pair(LIMITS, false);
        near.shutdown().await.unwrap();
        assert!(near.linger.is_none());
    }

    #[tokio::test]
    async fn each_limit_ends_it() {
        let short = Duration::from_millis(20);
        let (mut near, _far) = pair(LingerLimits { quiet: short, ..LIMITS }, true);
        timeout(BOUND, near.shutdown()).await.unwrap().unwrap();
        for limits in [LingerLimits { bytes: 5000, ..LIMITS }, LingerLimits { total: short, ..LIMITS }] {
            let (mut near, mut far) = pair(limits, true);
            let endless = async move { while far.write_all(&[7; 100]).await.is_ok() {} };
            let close = async move { near.shutdown().await.unwrap() };
            timeout(BOUND, async { tokio::join!(endless, close) }).await.unwrap();
        }
    }
}
