//! Writing once per turn of a connection task.
//!
//! An HTTP/2 codec flushes after every few frames; over TLS each flush is a record and a system call. Here
//! `flush` does nothing while the connection task is being polled, and [`FlushOnce`], which wraps that task,
//! flushes when the poll is over. Only the task that owns the codec touches the transport, so nothing that is
//! written can be left lying: it was written inside a poll, and that poll ends with a flush.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum number of bytes that are read in one turn. Otherwise a peer that sends small frames faster than they are
/// handled would keep the codec reading while other tasks on the thread wait and the input accumulates.
const READ_MAX: usize = 256 * 1024;
/// Gathered bytes are handed on at this size: one full TLS record.
const GATHER: usize = 16 * 1024;
/// Spare buffers that a thread keeps. A turn ends with an empty buffer unless the peer does not read.
const SPARE_BUFFERS: usize = 16;

thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn lend() -> Vec<u8> {
    SPARES.with_borrow_mut(Vec::pop).unwrap_or_default()
}

fn give_back(mut buffer: Vec<u8>) {
    buffer.clear();
    SPARES.with_borrow_mut(|spares| {
        if spares.len() < SPARE_BUFFERS {
            spares.push(buffer);
        }
    });
}

#[derive(Debug)]
struct Inner<T> {
    transport: T,
    /// Lent by the thread while it holds bytes, so that an idle connection has no buffer.
    gathered: Vec<u8>,
    /// How much of `gathered` is written already.
    written: usize,
    is_polled: bool,
    needs_flush: bool,
    has_read: bool,
    /// Read in this turn.
    read: usize,
    /// A flush that failed outside the codec; the codec meets it at its next read.
    failure: Option<io::Error>,
}

impl<T: AsyncWrite + Unpin> Inner<T> {
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let rest = &self.gathered[self.written..];
            match ready!(Pin::new(&mut self.transport).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        if self.gathered.capacity() > 0 {
            give_back(std::mem::take(&mut self.gathered));
        }
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn gather(&mut self, data: &[u8]) {
        if self.gathered.capacity() == 0 {
            self.gathered = lend();
        }
        self.gathered.extend_from_slice(data);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.needs_flush {
            ready!(self.poll_empty(cx))?;
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// The transport that a codec sees.
#[derive(Debug)]
pub struct DeferredFlush<T>(Rc<RefCell<Inner<T>>>);

/// The other handle to the same transport, for the wrapper around the connection task.
#[derive(Debug)]
pub struct FlushOnce<T>(Rc<RefCell<Inner<T>>>);

impl<T: AsyncWrite + Unpin> DeferredFlush<T> {
    /// Wraps `transport`; the second value goes around the task that polls the codec.
    pub fn new(transport: T) -> (Self, FlushOnce<T>) {
        let inner = Rc::new(RefCell::new(Inner {
            transport,
            gathered: Vec::new(),
            written: 0,
            is_polled: false,
            needs_flush: false,
            has_read: false,
            read: 0,
            failure: None,
        }));
        (Self(Rc::clone(&inner)), FlushOnce(inner))
    }
}

impl<T: AsyncWrite + Unpin> FlushOnce<T> {
    /// Runs `poll` with flushing put off, then flushes. The codec meets an error of that flush at its next
    /// read, for which it is woken.
    pub fn turn<R>(&self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        {
            let mut inner = self.0.borrow_mut();
            inner.is_polled = true;
            inner.read = 0;
        }
        let outcome = poll(cx);
        let mut inner = self.0.borrow_mut();
        inner.is_polled = false;
        if let Poll::Ready(Err(error)) = inner.poll_flush(cx) {
            inner.needs_flush = false;
            inner.failure = Some(error);
            cx.waker().wake_by_ref();
        }
        outcome
    }

    /// Whether anything was read since this was last asked.
    pub fn take_has_read(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().has_read)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for DeferredFlush<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        if let Some(error) = inner.failure.take() {
            return Poll::Ready(Err(error));
        }
        if inner.is_polled && inner.read >= READ_MAX {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = target.filled().len();
        let outcome = Pin::new(&mut inner.transport).poll_read(cx, target);
        let count = target.filled().len() - before;
        inner.has_read |= count > 0;
        inner.read += count;
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for DeferredFlush<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.borrow_mut();
        inner.needs_flush = true;
        if inner.gathered.len() + data.len() > GATHER {
            ready!(inner.poll_empty(cx))?;
            if data.len() >= GATHER {
                return Pin::new(&mut inner.transport).poll_write(cx, data);
            }
        }
        inner.gather(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut inner = self.0.borrow_mut();
        inner.needs_flush = true;
        if inner.gathered.len() + total > GATHER {
            ready!(inner.poll_empty(cx))?;
            if total >= GATHER {
                return Pin::new(&mut inner.transport).poll_write_vectored(cx, slices);
            }
        }
        for slice in slices {
            inner.gather(slice);
        }
        Poll::Ready(Ok(total))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        if inner.is_polled { Poll::Ready(Ok(())) } else { inner.poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_flush(cx))?;
        Pin::new(&mut inner.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    #[test]
    fn a_connection_holds_a_buffer_only_while_it_has_bytes() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut cx = Context::from_waker(noop_waker_ref());
        let (mut io, flush) = DeferredFlush::new(&mut near);
        let written = flush.turn(&mut cx, |cx| Pin::new(&mut io).poll_write(cx, &[7; 60]));
        assert!(matches!(written, Poll::Ready(Ok(60))));
        assert_eq!(io.0.borrow().gathered.capacity(), 0);
        let written = flush.turn(&mut cx, |cx| Pin::new(&mut io).poll_write(cx, &[8; 60]));
        assert!(matches!(written, Poll::Ready(Ok(60))));
        assert!(io.0.borrow().gathered.capacity() > 0, "the peer has not read all of it");
        drop(far);
    }

    #[test]
    fn one_turn_reads_up_to_its_limit() {
        let (mut io, flush) = DeferredFlush::new(tokio::io::join(tokio::io::repeat(7), tokio::io::sink()));
        let mut cx = Context::from_waker(noop_waker_ref());
        for _ in 0..3 {
            let read = flush.turn(&mut cx, |cx| {
                let mut sum = 0;
                let mut buffer = [0; 4096];
                loop {
                    let mut target = ReadBuf::new(&mut buffer);
                    match Pin::new(&mut io).poll_read(cx, &mut target) {
                        Poll::Ready(outcome) => outcome.map(|()| sum += target.filled().len()).unwrap(),
                        Poll::Pending => return sum,
                    }
                }
            });
            assert_eq!(read, READ_MAX);
        }
    }

    #[test]
    fn small_writes_are_gathered_and_large_ones_are_not_copied() {
        let (near, _far) = tokio::io::duplex(4 * GATHER);
        let (mut io, _flush) = DeferredFlush::new(near);
        let mut cx = Context::from_waker(noop_waker_ref());
        let mut gathered_after = |size: usize| {
            let data = vec![0; size];
            assert!(matches!(Pin::new(&mut io).poll_write(&mut cx, &data), Poll::Ready(Ok(n)) if n == size));
            io.0.borrow().gathered.len()
        };
        let seen = [10, GATHER, GATHER - 1, 2, GATHER + 1].map(&mut gathered_after);
        assert_eq!(seen, [10, 0, GATHER - 1, 2, 0]);
    }
}
