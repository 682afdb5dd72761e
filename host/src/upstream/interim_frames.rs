//! A limit for the interim responses (1xx) on an HTTP/2 connection whose codec has none.
//!
//! hyper's client drops them without counting, so a backend that sends them as fast as they are read would keep it busy
//! and fill its memory. A stream gets one HEADERS frame for each of them, one for its response, and none without
//! END_STREAM after the first DATA. So these frames are counted before they are decoded.

use super::interim::{INTERIM_MAX, too_many_interim};
use crate::transport::{END_STREAM, FrameHead, HEAD};
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
/// Streams that wait for a response. A stream that the client reset stays among them.
const WAITING_MAX: usize = 1000;

/// The client's side of an HTTP/2 connection. Reading fails after too many interim responses on one stream.
#[derive(Debug)]
pub struct InterimFrames<T> {
    inner: T,
    /// The first bytes of a frame whose head is incomplete.
    head: Vec<u8>,
    /// Remaining bytes of the current frame.
    rest: usize,
    /// HEADERS frames by stream.
    counts: HashMap<u32, u32>,
}

impl<T> InterimFrames<T> {
    /// Wraps a connection from its first byte on.
    pub fn new(inner: T) -> Self {
        Self { inner, head: Vec::new(), rest: 0, counts: HashMap::new() }
    }

    /// Follows the frames in `data`; `false` when a stream is beyond the limit.
    fn follow(&mut self, mut data: &[u8]) -> bool {
        loop {
            let skipped = self.rest.min(data.len());
            self.rest -= skipped;
            data = &data[skipped..];
            if data.is_empty() {
                return true;
            }
            let count = data.len().min(HEAD - self.head.len());
            let (start, next) = data.split_at(count);
            self.head.extend_from_slice(start);
            data = next;
            if let Some(head) = FrameHead::read(&self.head) {
                self.head.clear();
                self.rest = head.len;
                if !self.count(&head) {
                    return false;
                }
            }
        }
    }

    fn count(&mut self, head: &FrameHead) -> bool {
        let is_end = match head.kind {
            HEADERS => head.flags & END_STREAM != 0,
            DATA | RST_STREAM => true,
            _ => return true,
        };
        let count =
            self.counts.get(&head.stream).copied().unwrap_or_default() + u32::from(head.kind == HEADERS);
        if is_end {
            self.counts.remove(&head.stream);
        } else {
            if self.counts.len() > WAITING_MAX {
                self.counts.clear();
            }
            self.counts.insert(head.stream, count);
        }
        count <= INTERIM_MAX + 1
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for InterimFrames<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = target.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, target))?;
        if self.follow(&target.filled()[before..]) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(too_many_interim()))
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for InterimFrames<T> {
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

    fn frame(kind: u8, flags: u8, stream: u32, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        FrameHead { len, kind, flags, stream }.write(&mut bytes);
        bytes.resize(HEAD + len, 0x88);
        bytes
    }

    fn passes(frames: &[Vec<u8>]) -> bool {
        let verdicts = [1, 2, 7, 9, 10, 1000, usize::MAX].map(|piece| {
            let mut limit = InterimFrames::new(());
            frames.concat().chunks(piece).all(|data| limit.follow(data))
        });
        assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{verdicts:?}");
        verdicts[0]
    }

    #[test]
    fn one_stream_has_a_limited_number_of_interim_responses() {
        let most = INTERIM_MAX as usize;
        let hints = |stream, count| vec![frame(HEADERS, 4, stream, 20); count];
        let last = |stream| vec![frame(HEADERS, 4 | END_STREAM, stream, 1)];
        assert!(passes(&[hints(1, most + 1), vec![frame(DATA, 0, 1, 70_000)], last(1)].concat()));
        assert!(!passes(&hints(1, most + 2)));
        assert!(
            passes(&[hints(1, most), last(1)].concat()) && !passes(&[hints(1, most + 1), last(1)].concat())
        );
        assert!(!passes(&[hints(3, most), vec![frame(6, 0, 0, 8)], hints(3, 2)].concat()));
        let many: Vec<_> = (0..5000_u32).flat_map(|id| [hints(id, most), last(id)].concat()).collect();
        assert!(passes(&many), "each stream has its own");
    }

    #[test]
    fn streams_that_are_over_are_forgotten() {
        let mut limit = InterimFrames::new(());
        for end in [frame(HEADERS, END_STREAM, 1, 1), frame(DATA, 0, 1, 1), frame(RST_STREAM, 0, 1, 4)] {
            assert!(limit.follow(&frame(HEADERS, 4, 1, 1)) && limit.counts.len() == 1);
            assert!(limit.follow(&end) && limit.counts.is_empty());
        }
        assert!((0..10_000).all(|stream| limit.follow(&frame(HEADERS, 4, stream, 1))));
        assert!(limit.counts.len() <= WAITING_MAX + 1);
    }
}
