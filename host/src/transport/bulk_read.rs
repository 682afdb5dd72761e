//! Reading in bulk below TLS.
//!
//! rustls asks its transport for 4 KiB at a time, so a large body costs one system call for every quarter of
//! a TLS record. This wrapper asks the kernel for much more and hands it out in pieces. An idle connection
//! holds no buffer: buffers are lent by the thread and go back as soon as they are empty.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes asked from the kernel at a time: four full TLS records.
const CHUNK: usize = 64 * 1024;
/// Spare buffers that a thread keeps.
const SPARE_BUFFERS: usize = 16;

thread_local! {
    static SPARES: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

fn lend() -> Box<[u8]> {
    SPARES.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice())
}

fn give_back(buffer: Box<[u8]>) {
    SPARES.with_borrow_mut(|spares| {
        if spares.len() < SPARE_BUFFERS {
            spares.push(buffer);
        }
    });
}

/// A transport that is read in bulk. Writes pass through.
#[derive(Debug)]
pub struct BulkRead<T> {
    inner: T,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<T> BulkRead<T> {
    /// Wraps `inner`.
    pub fn new(inner: T) -> Self {
        Self { inner, held: None }
    }

    /// The wrapped transport.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// What was read from the kernel and not yet asked for.
    pub fn buffered(&self) -> &[u8] {
        self.held.as_ref().map_or(&[], |held| &held.buffer[held.start..held.end])
    }
}

impl<T: AsyncRead + Unpin> BulkRead<T> {
    /// Reads from the kernel unless something is held already; `false` at the end of the stream.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.held.is_some() {
            return Poll::Ready(Ok(true));
        }
        let mut buffer = lend();
        let mut target = ReadBuf::new(&mut buffer);
        let outcome = Pin::new(&mut self.inner).poll_read(cx, &mut target);
        let end = target.filled().len();
        if end == 0 {
            give_back(buffer);
            return outcome.map_ok(|()| false);
        }
        self.held = Some(Held { buffer, start: 0, end });
        Poll::Ready(Ok(true))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for BulkRead<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held.is_none() && target.remaining() >= CHUNK {
            return Pin::new(&mut self.inner).poll_read(cx, target);
        }
        if !ready!(self.poll_fill(cx))? {
            return Poll::Ready(Ok(()));
        }
        let Some(mut held) = self.held.take() else { return Poll::Ready(Ok(())) };
        let count = target.remaining().min(held.end - held.start);
        target.put_slice(&held.buffer[held.start..held.start + count]);
        held.start += count;
        if held.start == held.end {
            give_back(held.buffer);
        } else {
            self.held = Some(held);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for BulkRead<T> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn small_reads_are_served_from_one_large_one() {
        let mut reader = BulkRead::new(&b"hello world"[..]);
        let mut five = [0; 5];
        reader.read_exact(&mut five).await.unwrap();
        assert_eq!(&five, b"hello");
        assert_eq!(reader.buffered(), b" world");
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b" world");
        assert!(reader.held.is_none(), "an empty connection must hold no buffer");
    }
}
