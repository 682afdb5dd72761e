//! Tracking the record boundaries of a TLS stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Type, version and length.
const HEADER: usize = 5;

/// A transport below TLS that knows whether the data read so far ends with a complete record. Writes pass through.
#[derive(Debug)]
pub struct TlsRecords<T> {
    inner: T,
    position: Position,
}

impl<T> TlsRecords<T> {
    /// Wraps `inner`, from which nothing may have been read.
    pub fn new(inner: T) -> Self {
        Self { inner, position: Position::default() }
    }

    /// Whether the data read so far ends with a complete record.
    pub fn is_between_records(&self) -> bool {
        self.position == Position::default()
    }
}

/// The position in the current record.
#[derive(Debug, Default, PartialEq, Eq)]
struct Position {
    /// Number of header bytes that were read.
    header: usize,
    /// The length in the header, as far as it was read; then the number of remaining bytes in the record.
    left: usize,
}

impl Position {
    fn advance(&mut self, mut data: &[u8]) {
        while let [first, rest @ ..] = data {
            if self.header < HEADER {
                if self.header >= HEADER - 2 {
                    self.left = (self.left << 8) | usize::from(*first);
                }
                self.header += 1;
                data = rest;
            } else {
                let taken = self.left.min(data.len());
                self.left -= taken;
                data = data.get(taken..).unwrap_or_default();
            }
            if self.header == HEADER && self.left == 0 {
                self.header = 0;
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for TlsRecords<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = target.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, target))?;
        let read = target.filled().get(before..).unwrap_or_default();
        self.position.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TlsRecords<T> {
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

    fn record(length: u16) -> Vec<u8> {
        let mut record = vec![23, 3, 3];
        record.extend(length.to_be_bytes());
        record.extend(vec![b'x'; usize::from(length)]);
        record
    }

    #[test]
    fn the_end_of_each_record_is_known_in_whatever_pieces_it_comes() {
        let lengths = [1, 0, 300, 16_640, 255, 256];
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0, |end, length| {
                *end += HEADER + usize::from(*length);
                Some(*end)
            })
            .collect();
        let stream: Vec<u8> = lengths.into_iter().flat_map(record).collect();
        for piece in [1, 2, 3, 5, 7, 64, 1000, stream.len()] {
            let mut position = Position::default();
            let mut read = 0;
            for data in stream.chunks(piece) {
                position.advance(data);
                read += data.len();
                let is_between = position == Position::default();
                assert_eq!(is_between, ends.contains(&read), "{read} bytes in pieces of {piece}");
            }
        }
    }
}
