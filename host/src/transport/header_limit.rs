//! Limits for the header blocks of an HTTP/2 client, applied before they are decoded.
//!
//! The decoder expands a block of a few kilobytes to a megabyte of fields, and rejects blocks beyond its limits with
//! bare frames: a 431 without a body, or a reset for a path that `http::Uri` cannot hold. So each block is measured
//! before it is decoded. A block beyond a limit is replaced by a small one that is just beyond the same limit, so
//! that its request is rejected like any other, with a `metav1.Status`. Its fields may have changed the table that
//! both sides share, so later blocks cannot be decoded: they are dropped, and the connection has to end. The requests
//! before them are not affected: the codec sees no frame of a stream whose first block was dropped, because that would
//! be a connection error, and dropped trailers still end their stream.

use super::frame_head::{END_HEADERS, END_STREAM, FrameHead, HEAD};
use super::header_block::measure;
use crate::model::message_head::{HEADERS_MAX, URI_MAX};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `PRI * HTTP/2.0…`, the preface before the first frame.
const PREFACE: usize = 24;
/// The largest frame that a client may send; the codec rejects larger ones.
const FRAME_MAX: usize = 16_384;
/// Bytes of one header block.
const BLOCK_MAX: usize = 400 << 10;
/// Frames of one header block.
const FRAMES_MAX: usize = 64;
/// `:method`, `:scheme`, `:authority`, `:path` and `:protocol`.
const PSEUDO_FIELDS: usize = 5;
/// Bytes of later frames that are dropped while the connection ends. More than the window of a connection, which
/// dropped data does not open again.
const DROPPED_MAX: usize = 40 << 20;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// A server's side of an HTTP/2 connection whose header blocks are limited. Writes pass through.
#[derive(Debug)]
pub struct HeaderLimit<T> {
    inner: T,
    frames: Frames,
    /// Buffered bytes of an incomplete frame or header block.
    held: Vec<u8>,
    /// How long `held` must be before it is parsed again.
    needed: usize,
    /// Bytes that may be read, and the position of the next one.
    released: Vec<u8>,
    read: usize,
}

/// Reports whether a header block was beyond a limit, after which the connection has to end.
#[derive(Clone, Debug, Default)]
pub struct HeaderLimitHandle(Rc<Cell<bool>>);

impl HeaderLimitHandle {
    /// Whether a header block was beyond a limit.
    pub fn is_exceeded(&self) -> bool {
        self.0.get()
    }
}

#[derive(Debug)]
struct Frames {
    /// Remaining bytes of the current frame, and whether they are dropped.
    rest: usize,
    is_dropping: bool,
    dropped: usize,
    /// The last stream that the codec knows.
    last_stream: u32,
    exceeded: HeaderLimitHandle,
}

/// The decision on the first bytes of some input.
struct Step {
    /// This many bytes pass.
    passed: usize,
    /// This many bytes after them are dropped.
    dropped: usize,
    /// These bytes replace the dropped ones.
    instead: Vec<u8>,
    /// How many of the remaining bytes are needed to continue parsing.
    needed: usize,
}

impl Step {
    fn hold(passed: usize, needed: usize) -> Self {
        Self { passed, dropped: 0, instead: Vec::new(), needed }
    }
}

/// The result of parsing a header block at the start of the input.
enum Block {
    /// At least this many bytes are needed.
    Incomplete(usize),
    /// The frames of the block have this many bytes and may be decoded.
    Good(usize),
    /// The frames of the block have this many bytes, up to the point where it exceeded the limit.
    Beyond(usize, Limit),
}

#[derive(Clone, Copy)]
enum Limit {
    Fields,
    Path,
}

impl Frames {
    /// Parses the start of `bytes`, up to the first bytes that must be held back or replaced.
    fn step(&mut self, bytes: &[u8]) -> Step {
        let mut at = 0;
        loop {
            if self.rest > 0 {
                let count = self.rest.min(bytes.len() - at);
                self.rest -= count;
                if self.is_dropping {
                    self.dropped += count;
                    return Step { passed: at, dropped: count, instead: Vec::new(), needed: 0 };
                }
                at += count;
            }
            if at == bytes.len() {
                return Step::hold(at, 0);
            }
            let rest = &bytes[at..];
            let Some(head) = FrameHead::read(rest) else { return Step::hold(at, HEAD) };
            if self.exceeded.is_exceeded() && self.is_lost(&head) {
                return self.drop_frame(&head, rest.len(), at);
            }
            // The codec rejects a frame that is too large.
            if head.kind != HEADERS || head.len > FRAME_MAX {
                (self.is_dropping, self.rest) = (false, HEAD + head.len);
                continue;
            }
            match find_block(rest, &head) {
                Block::Incomplete(needed) => return Step::hold(at, needed),
                Block::Good(len) => {
                    self.last_stream = self.last_stream.max(head.stream);
                    at += len;
                }
                Block::Beyond(dropped, limit) => {
                    self.exceeded.0.set(true);
                    let instead = small_block(&head, limit, head.stream <= self.last_stream);
                    self.last_stream = self.last_stream.max(head.stream);
                    return Step { passed: at, dropped, instead, needed: 0 };
                }
            }
        }
    }
}

impl Frames {
    /// Whether a frame cannot be passed on any more: it is part of a header block, or its stream began with one that was
    /// dropped.
    fn is_lost(&self, head: &FrameHead) -> bool {
        matches!(head.kind, HEADERS | CONTINUATION) || head.stream > self.last_stream
    }

    /// Drops the frame that begins after `passed` bytes; `available` bytes of it and its successors are there.
    fn drop_frame(&mut self, head: &FrameHead, available: usize, passed: usize) -> Step {
        let count = available.min(HEAD + head.len);
        (self.is_dropping, self.rest) = (true, HEAD + head.len - count);
        self.dropped += count;
        let is_end = head.kind == HEADERS && head.flags & END_STREAM != 0 && head.stream <= self.last_stream;
        let mut instead = Vec::new();
        if is_end {
            // Trailers are optional; the request is complete without them.
            let end = FrameHead { len: 0, kind: DATA, flags: END_STREAM, stream: head.stream };
            end.write(&mut instead);
        }
        Step { passed, dropped: count, instead, needed: 0 }
    }
}

/// Follows a header block from its HEADERS frame, which begins `bytes`, to its end.
fn find_block(bytes: &[u8], head: &FrameHead) -> Block {
    let mut end = HEAD + head.len;
    if bytes.len() < end {
        return Block::Incomplete(end);
    }
    let Some(fragment) = fragment_of(&bytes[HEAD..end], head.flags) else { return Block::Good(end) };
    if head.flags & END_HEADERS != 0 {
        return judge(fragment, end);
    }
    let mut fragments = vec![fragment];
    loop {
        let Some(next) = FrameHead::read(&bytes[end..]) else { return Block::Incomplete(end + HEAD) };
        if next.kind != CONTINUATION || next.stream != head.stream || next.len > FRAME_MAX {
            // A protocol error that the codec reports.
            return Block::Good(end);
        }
        if end + next.len > BLOCK_MAX || fragments.len() == FRAMES_MAX {
            return Block::Beyond(end, Limit::Fields);
        }
        let start = end + HEAD;
        end = start + next.len;
        if bytes.len() < end {
            return Block::Incomplete(end);
        }
        fragments.push(&bytes[start..end]);
        if next.flags & END_HEADERS != 0 {
            return judge(&fragments.concat(), end);
        }
    }
}

fn judge(block: &[u8], len: usize) -> Block {
    // The codec rejects a malformed block.
    let Some(size) = measure(block, URI_MAX) else { return Block::Good(len) };
    if size.fields > HEADERS_MAX + PSEUDO_FIELDS {
        Block::Beyond(len, Limit::Fields)
    } else if size.path > URI_MAX {
        Block::Beyond(len, Limit::Path)
    } else {
        Block::Good(len)
    }
}

/// The payload of a HEADERS frame without padding and priority. `None` when they do not fit in it.
fn fragment_of(payload: &[u8], flags: u8) -> Option<&[u8]> {
    let (padding, mut rest) = match payload.split_first() {
        Some((padding, rest)) if flags & PADDED != 0 => (usize::from(*padding), rest),
        None if flags & PADDED != 0 => return None,
        _ => (0, payload),
    };
    if flags & PRIORITY != 0 {
        rest = rest.get(5..)?;
    }
    rest.get(..rest.len().checked_sub(padding)?)
}

/// The frames of a block that is just beyond the limit and does not change the table. If the stream is open already,
/// the block holds trailers.
fn small_block(head: &FrameHead, limit: Limit, is_trailer: bool) -> Vec<u8> {
    let mut block = Vec::new();
    if !is_trailer {
        // GET, https, and a literal path.
        block.extend([0x82, 0x87]);
        match limit {
            Limit::Fields => block.push(0x84),
            Limit::Path => block.extend(long_path(URI_MAX + 1)),
        }
    }
    if matches!(limit, Limit::Fields) {
        block.extend([0x00, 1, b'x', 0].repeat(HEADERS_MAX + 1));
    }
    let mut frames = Vec::new();
    let count = block.len().div_ceil(FRAME_MAX);
    for (number, fragment) in block.chunks(FRAME_MAX).enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let is_last = if number + 1 == count { END_HEADERS } else { 0 };
        let flags = is_last | if number == 0 { head.flags & END_STREAM } else { 0 };
        FrameHead { len: fragment.len(), kind, flags, stream: head.stream }.write(&mut frames);
        frames.extend_from_slice(fragment);
    }
    frames
}

/// A literal `:path`, with a length of three bytes.
fn long_path(len: usize) -> Vec<u8> {
    let rest = len - 127;
    let length = [0x7f, (rest & 0x7f) as u8 | 0x80, (rest >> 7 & 0x7f) as u8 | 0x80, (rest >> 14) as u8];
    [&[0x04][..], &length, &vec![b'/'; len]].concat()
}

impl<T> HeaderLimit<T> {
    /// Wraps a connection from its first byte on.
    pub fn new(inner: T) -> (Self, HeaderLimitHandle) {
        let exceeded = HeaderLimitHandle::default();
        let frames = Frames {
            rest: PREFACE,
            is_dropping: false,
            dropped: 0,
            last_stream: 0,
            exceeded: exceeded.clone(),
        };
        (Self { inner, frames, held: Vec::new(), needed: 0, released: Vec::new(), read: 0 }, exceeded)
    }

    /// Moves the bytes that need not be held back any more.
    fn release(&mut self) {
        while !self.held.is_empty() && self.held.len() >= self.needed {
            let step = self.frames.step(&self.held);
            self.released.extend_from_slice(&self.held[..step.passed]);
            self.released.extend_from_slice(&step.instead);
            self.held.drain(..step.passed + step.dropped);
            self.needed = step.needed;
            if step.passed + step.dropped == 0 {
                return;
            }
        }
        if self.held.is_empty() {
            // An idle connection holds no buffer.
            self.held = Vec::new();
        }
    }

    fn give(&mut self, target: &mut ReadBuf<'_>) {
        let count = target.remaining().min(self.released.len() - self.read);
        target.put_slice(&self.released[self.read..self.read + count]);
        self.read += count;
        if self.read == self.released.len() {
            self.released = Vec::new();
            self.read = 0;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HeaderLimit<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.released.is_empty() || target.remaining() == 0 {
                this.give(target);
                return Poll::Ready(Ok(()));
            }
            if this.frames.dropped > DROPPED_MAX {
                let text = "the client goes on sending requests after one that was too large";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
            }
            let before = target.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(cx, target))?;
            if target.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            // Bytes that need not be parsed are passed on without copying them.
            let mut passed = 0;
            if this.held.is_empty() && !this.frames.exceeded.is_exceeded() {
                let step = this.frames.step(&target.filled()[before..]);
                passed = step.passed;
                this.released.extend(step.instead);
                this.held.extend_from_slice(&target.filled()[before + passed + step.dropped..]);
                this.needed = step.needed;
            } else {
                this.held.extend_from_slice(&target.filled()[before..]);
            }
            target.set_filled(before + passed);
            this.release();
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeaderLimit<T> {
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

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// A block in frames of at most `size` bytes.
    fn headers(stream: u32, block: &[u8], size: usize) -> Vec<u8> {
        let count = block.chunks(size).count();
        let frames = block.chunks(size).enumerate().map(|(number, fragment)| {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            frame(kind, if number + 1 == count { END_HEADERS } else { 0 }, stream, fragment)
        });
        frames.collect::<Vec<_>>().concat()
    }

    fn with_preface(frames: &[Vec<u8>]) -> Vec<u8> {
        [vec![b'P'; PREFACE], frames.concat()].concat()
    }

    /// The codec's input when the data arrives in pieces of `piece` bytes.
    async fn read(input: &[u8], piece: usize) -> (Vec<u8>, bool) {
        let (near, far) = tokio::io::duplex(piece);
        let (mut limit, handle) = HeaderLimit::new(near);
        let input = input.to_vec();
        let write = async move {
            let mut far = far;
            tokio::io::AsyncWriteExt::write_all(&mut far, &input).await
        };
        let mut output = Vec::new();
        let (written, read) = tokio::join!(write, limit.read_to_end(&mut output));
        written.unwrap();
        read.unwrap();
        (output, handle.is_exceeded())
    }

    #[tokio::test]
    async fn what_is_within_the_limits_passes_unchanged() {
        let block = [&[0x82, 0x87, 0x84][..], &[0xbe; HEADERS_MAX]].concat();
        let padded = [&[3][..], &[0; 5], &[0x82, 0x87, 0x84], &[0; 3]].concat();
        let input = with_preface(&[
            frame(4, 0, 0, &[0, 4, 0, 1, 0, 0]),
            headers(1, &block, 100),
            frame(0, 0, 1, &[7; 5000]),
            frame(HEADERS, END_HEADERS | PADDED | PRIORITY, 3, &padded),
            headers(5, &block, FRAME_MAX),
        ]);
        for piece in [1, 2, 7, 100, 1 << 20] {
            assert_eq!(read(&input, piece).await, (input.clone(), false), "{piece}");
        }
    }

    #[tokio::test]
    async fn what_is_malformed_is_left_to_the_codec() {
        for wrong in [
            frame(HEADERS, END_HEADERS, 1, &[0x04, 9]),
            frame(HEADERS, END_HEADERS | PADDED, 1, &[200, 0x82]),
            frame(HEADERS, END_HEADERS | PADDED, 1, &[]),
            [frame(HEADERS, 0, 1, &[0x82]), frame(0, 0, 1, &[7; 20])].concat(),
            frame(HEADERS, END_HEADERS, 1, &[0x82; FRAME_MAX + 1]),
        ] {
            let input = with_preface(&[wrong, frame(6, 0, 0, &[0; 8])]);
            for piece in [1, 1 << 20] {
                assert_eq!(read(&input, piece).await, (input.clone(), false));
            }
        }
    }

    #[tokio::test]
    async fn a_block_beyond_a_limit_is_replaced_and_later_ones_are_dropped() {
        let ping = || frame(6, 0, 0, &[7; 8]);
        let path = [&[0x82, 0x87][..], &long_path(65_000)].concat();
        for block in [
            [&[0x82, 0x87, 0x84][..], &[0xbe; HEADERS_MAX + 10]].concat(),
            vec![0xbe; 100_000],
            [0x40, 1, b'x', 0].repeat(30_000),
            vec![0x82; BLOCK_MAX + 100_000],
            path,
        ] {
            let good = headers(1, &[0x82, 0x87, 0x84], 100);
            let input = with_preface(&[
                good.clone(),
                headers(3, &block, FRAME_MAX),
                ping(),
                headers(5, &[0x82, 0x87, 0x84], 2),
                ping(),
            ]);
            for piece in [999, 1 << 20] {
                let (output, is_exceeded) = read(&input, piece).await;
                assert!(is_exceeded);
                let start = with_preface(std::slice::from_ref(&good));
                let end = [ping(), ping()].concat();
                assert!(output.starts_with(&start) && output.ends_with(&end), "{} bytes", output.len());
                let between = &output[start.len()..output.len() - end.len()];
                let head = FrameHead::read(between).unwrap();
                assert_eq!((head.kind, head.stream), (HEADERS, 3));
                let size = measure(&joined(between), URI_MAX).unwrap();
                assert!(between.len() < 70_000, "{}", between.len());
                assert!(size.path > URI_MAX || size.fields > HEADERS_MAX, "{size:?}");
            }
        }
    }

    /// The block in these frames.
    fn joined(mut frames: &[u8]) -> Vec<u8> {
        let mut block = Vec::new();
        while let Some(head) = FrameHead::read(frames) {
            block.extend_from_slice(&frames[HEAD..HEAD + head.len]);
            frames = &frames[HEAD + head.len..];
        }
        block
    }

    #[tokio::test]
    async fn trailers_beyond_the_limit_stay_trailers() {
        let trailers = [0xbe; 1000];
        let frames = [frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers)];
        let input = with_preface(&[headers(1, &[0x82, 0x87, 0x84], 100), frames.concat()]);
        let (output, is_exceeded) = read(&input, 1 << 20).await;
        let replaced = &output[PREFACE + HEAD + 3..];
        let head = FrameHead::read(replaced).unwrap();
        assert!(is_exceeded);
        assert_eq!((head.kind, head.flags, head.stream), (HEADERS, END_HEADERS | END_STREAM, 1));
        assert_eq!(replaced[HEAD], 0, "no pseudo-header field");
    }

    /// A frame of a stream that the codec has not seen begin would be an error of the whole connection.
    #[tokio::test]
    async fn after_a_block_beyond_the_limit_the_codec_sees_only_streams_that_it_knows() {
        let good = headers(1, &[0x82, 0x87, 0x84], 100);
        let data = frame(DATA, 0, 1, &[7; 3000]);
        let of_refused = frame(DATA, END_STREAM, 3, b"body");
        let input = with_preface(&[
            good.clone(),
            headers(3, &[0xbe; 1000], FRAME_MAX),
            headers(5, &[0x82, 0x87, 0x84], 2),
            frame(DATA, 0, 5, &[7; 3000]),
            of_refused.clone(),
            frame(8, 0, 5, &[0, 0, 0, 1]),
            data.clone(),
            frame(3, 0, 5, &[0; 4]),
            frame(HEADERS, END_HEADERS | END_STREAM, 7, &[0x82, 0x87, 0x84]),
            frame(HEADERS, END_STREAM, 1, &[0xbe; 3]),
            frame(CONTINUATION, END_HEADERS, 1, &[0xbe; 3]),
        ]);
        for piece in [1, 7, 999, 1 << 20] {
            let (output, is_exceeded) = read(&input, piece).await;
            let start = with_preface(std::slice::from_ref(&good));
            let end = [of_refused.clone(), data.clone(), frame(DATA, END_STREAM, 1, &[])].concat();
            assert!(is_exceeded && output.starts_with(&start) && output.ends_with(&end), "{piece}");
            let between = &output[start.len()..output.len() - end.len()];
            let replaced = FrameHead::read(between).unwrap();
            assert_eq!((replaced.kind, replaced.stream), (HEADERS, 3));
            assert_eq!(between.len(), HEAD + replaced.len, "one block and nothing else");
        }
    }

    #[tokio::test]
    async fn no_buffer_is_kept_after_a_header_block() {
        let block = headers(1, &[0x82, 0x87, 0x84].repeat(50), 10);
        let input = with_preface(&[block.clone(), block]);
        let (near, mut far) = tokio::io::duplex(7);
        let (mut limit, _handle) = HeaderLimit::new(near);
        let write = async { tokio::io::AsyncWriteExt::write_all(&mut far, &input).await.unwrap() };
        let mut output = vec![0; input.len()];
        let (_, read) = tokio::join!(write, limit.read_exact(&mut output));
        read.unwrap();
        assert_eq!((limit.held.capacity(), limit.released.capacity()), (0, 0));
    }

    #[tokio::test]
    async fn a_client_that_goes_on_is_cut() {
        let flood = vec![headers(3, &[0x82; 10_000], FRAME_MAX); DROPPED_MAX / 10_000 + 2];
        let input = with_preface(&flood);
        let (mut limit, _handle) = HeaderLimit::new(&input[..]);
        assert!(limit.read_to_end(&mut Vec::new()).await.is_err());
    }
}
