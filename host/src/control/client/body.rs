//! The body of a response: at most the requested number of bytes, decoded if it is compressed.

use crate::upstream::UpstreamFault;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::Body;
use http_body_util::BodyExt;
use std::io::{self, Write};

/// Maximum number of further bytes that are read only to keep the connection usable.
const DRAIN_MAX: usize = 256 * 1024;

/// Why a complete body cannot be read. Umbel asks for `Accept-Encoding: identity`; some backends compress anyway, and
/// gzip is supported for them, as in Go's client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It has a content coding that was not requested.
    #[error(
        "the answer has Content-Encoding {0:?}, which was not asked for; only gzip and identity are read. Let the backend honor \"Accept-Encoding: identity\""
    )]
    Coding(String),
    /// Its header says gzip, but the body is not gzip.
    #[error("the answer has Content-Encoding \"gzip\" and cannot be decoded: {0}")]
    Gzip(String),
}

/// The result of reading a body.
#[derive(Default)]
pub(super) struct Read {
    /// The decoded body, up to the requested number of bytes.
    pub(super) kept: Bytes,
    /// Whether the body was longer.
    pub(super) truncated: bool,
    /// Whether the end was read, so that the connection can be reused.
    pub(super) ended: bool,
    pub(super) fault: Option<BodyFault>,
    /// Whether `kept` was decoded.
    pub(super) decoded: bool,
}

/// Reads a body: keeps at most `max` bytes, and reads a small rest so that the connection stays usable. A caller that
/// has asked for codings itself (`decode` is false) gets the bytes as they were sent.
pub(super) async fn read(
    mut body: impl Body<Data = Bytes, Error = hyper::Error> + Unpin,
    headers: &HeaderMap,
    max: usize,
    decode: bool,
) -> Result<Read, UpstreamFault> {
    let mut sink = Sink::new(if decode { coding(headers) } else { Coding::Identity }, max);
    let mut came = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|e| super::line::sort(&e))?.into_data() else { continue };
        came = came.saturating_add(data.len());
        sink.take(&data);
        // The encoded input is limited, too: any number of empty gzip blocks decodes to nothing.
        if sink.is_full() || came > max.saturating_add(DRAIN_MAX) {
            return Ok(sink.finish(came > max, false));
        }
    }
    Ok(sink.finish(false, true))
}

#[derive(Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Other(String),
}

fn coding(headers: &HeaderMap) -> Coding {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let text: Vec<String> =
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    let text = text.join(", ");
    let codings = text.split(',').map(|name| name.trim().to_ascii_lowercase());
    let codings: Vec<String> = codings.filter(|name| !name.is_empty() && name != "identity").collect();
    match codings.as_slice() {
        [] => Coding::Identity,
        [one] if one == "gzip" || one == "x-gzip" => Coding::Gzip,
        _ => Coding::Other(text.chars().take(80).collect()),
    }
}

/// Keeps the beginning of its input, and fails once it is much longer.
struct Kept {
    bytes: Vec<u8>,
    seen: usize,
    max: usize,
}

impl Kept {
    fn is_full(&self) -> bool {
        self.seen > self.max.saturating_add(DRAIN_MAX)
    }
}

impl Write for Kept {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.is_full() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.seen = self.seen.saturating_add(data.len());
        let room = self.max.saturating_sub(self.bytes.len()).min(data.len());
        self.bytes.extend_from_slice(data.get(..room).unwrap_or_default());
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Decoder {
    Plain(Kept),
    Gzip(Box<MultiGzDecoder<Kept>>),
}

struct Sink {
    decoder: Decoder,
    fault: Option<BodyFault>,
    is_empty: bool,
}

impl Sink {
    fn new(coding: Coding, max: usize) -> Self {
        let kept = Kept { bytes: Vec::new(), seen: 0, max };
        let (decoder, fault) = match coding {
            Coding::Identity => (Decoder::Plain(kept), None),
            Coding::Gzip => (Decoder::Gzip(Box::new(MultiGzDecoder::new(kept))), None),
            Coding::Other(text) => (Decoder::Plain(kept), Some(BodyFault::Coding(text))),
        };
        Self { decoder, fault, is_empty: true }
    }

    fn kept(&self) -> &Kept {
        match &self.decoder {
            Decoder::Plain(kept) => kept,
            Decoder::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn is_full(&self) -> bool {
        self.kept().is_full()
    }

    fn take(&mut self, data: &[u8]) {
        self.is_empty &= data.is_empty();
        let written = match &mut self.decoder {
            Decoder::Plain(kept) => kept.write_all(data),
            Decoder::Gzip(_) if self.fault.is_some() => Ok(()),
            Decoder::Gzip(decoder) => decoder.write_all(data),
        };
        self.note(written);
    }

    /// A full sink is not an error in the coding.
    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && !self.is_full()
        {
            self.fault.get_or_insert_with(|| BodyFault::Gzip(error.to_string()));
        }
    }

    fn finish(mut self, truncated: bool, ended: bool) -> Read {
        // A response to HEAD, or one without a body, names the coding that a body would have.
        if let Decoder::Gzip(decoder) = &mut self.decoder
            && ended
            && !self.is_empty
            && self.fault.is_none()
        {
            let finished = decoder.try_finish();
            self.note(finished);
        }
        let (truncated, decoded) =
            (truncated || self.kept().seen > self.kept().max, matches!(self.decoder, Decoder::Gzip(_)));
        let bytes = match &mut self.decoder {
            Decoder::Plain(kept) => std::mem::take(&mut kept.bytes),
            Decoder::Gzip(decoder) => std::mem::take(&mut decoder.get_mut().bytes),
        };
        Read { kept: bytes.into(), truncated, ended, fault: self.fault.filter(|_| !self.is_empty), decoded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures_util::stream;
    use http::HeaderValue;
    use http_body::Frame;
    use http_body_util::StreamBody;

    fn named(values: &[&'static str]) -> Coding {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        coding(&headers)
    }

    fn pack(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn take(coding: Coding, pieces: &[&[u8]], max: usize) -> Read {
        let mut sink = Sink::new(coding, max);
        for piece in pieces {
            sink.take(piece);
        }
        sink.finish(false, true)
    }

    #[test]
    fn codings_are_told_apart() {
        for plain in [&[][..], &["identity"], &[""], &["identity, "]] {
            assert_eq!(named(plain), Coding::Identity, "{plain:?}");
        }
        for gzip in [&["gzip"][..], &["GZip"], &["x-gzip"], &["identity", "gzip"]] {
            assert_eq!(named(gzip), Coding::Gzip, "{gzip:?}");
        }
        for (other, shown) in
            [(&["br"][..], "br"), (&["gzip, gzip"], "gzip, gzip"), (&["zstd", "gzip"], "zstd, gzip")]
        {
            assert_eq!(named(other), Coding::Other(shown.to_owned()));
        }
    }

    #[test]
    fn gzip_is_decoded_in_any_pieces_and_members() {
        let packed = [pack(b"hello "), pack(b"world")].concat();
        for size in [1, 7, packed.len()] {
            let pieces: Vec<&[u8]> = packed.chunks(size).collect();
            let read = take(Coding::Gzip, &pieces, 100);
            assert_eq!((&read.kept[..], read.truncated, read.fault), (&b"hello world"[..], false, None));
        }
        let read = take(Coding::Gzip, &[&packed], 5);
        assert_eq!((&read.kept[..], read.truncated), (&b"hello"[..], true));
    }

    #[test]
    fn a_bomb_is_neither_kept_nor_unpacked() {
        let packed = pack(&vec![0; 64 << 20]);
        let mut sink = Sink::new(Coding::Gzip, 1000);
        let mut fed = 0;
        for piece in packed.chunks(1024) {
            sink.take(piece);
            fed += piece.len();
            if sink.is_full() {
                break;
            }
        }
        assert!(fed < packed.len() / 4, "{fed} of {} were unpacked", packed.len());
        assert!(sink.kept().seen < 3 << 20 && sink.kept().bytes.len() == 1000);
        let read = sink.finish(false, false);
        assert_eq!((read.kept.len(), read.truncated, read.fault), (1000, true, None));
    }

    #[test]
    fn what_cannot_be_decoded_says_so() {
        let fault = |coding, pieces: &[&[u8]]| take(coding, pieces, 100).fault.map(|fault| fault.to_string());
        let packed = pack(b"hello");
        assert!(fault(Coding::Gzip, &[b"{\"kind\":", b"\"x\"}"]).unwrap().contains("gzip"));
        assert!(fault(Coding::Gzip, &[&packed[..packed.len() - 3]]).unwrap().contains("cannot be decoded"));
        assert!(fault(Coding::Other("br".to_owned()), &[b"x"]).unwrap().contains("\"br\""));
        // The body is empty, so there is nothing to decode.
        assert_eq!(fault(Coding::Gzip, &[]), None);
        assert_eq!(fault(Coding::Other("br".to_owned()), &[]), None);
        assert_eq!(fault(Coding::Identity, &[b"x"]), None);
    }

    /// Reads a body of these pieces as gzip, or as it is.
    async fn read_all(pieces: impl IntoIterator<Item = Vec<u8>>, is_gzip: bool, max: usize) -> Read {
        let mut headers = HeaderMap::new();
        if is_gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from(piece))));
        read(StreamBody::new(stream::iter(frames)), &headers, max, true).await.unwrap()
    }

    #[tokio::test]
    async fn a_small_rest_is_read_and_a_large_one_is_not() {
        let piece = || vec![b'x'; 64 << 10];
        let most = DRAIN_MAX / (64 << 10);
        for (pieces, ended) in [(1, true), (most, true), (2 * most, false)] {
            let read = read_all(std::iter::repeat_with(piece).take(pieces), false, 10).await;
            assert_eq!((&read.kept[..], read.truncated, read.ended), (&b"xxxxxxxxxx"[..], true, ended));
        }
        let whole = read_all([b"12345".to_vec(), b"67890".to_vec()], false, 10).await;
        assert_eq!((&whole.kept[..], whole.truncated, whole.ended), (&b"1234567890"[..], false, true));
    }

    #[tokio::test]
    async fn gzip_that_decodes_to_nothing_is_not_read_forever() {
        let empty = pack(b"").repeat(1000);
        let pieces = 2 * DRAIN_MAX / empty.len();
        let read = read_all(std::iter::repeat_with(|| empty.clone()).take(pieces), true, 10).await;
        assert_eq!((read.kept.len(), read.truncated, read.ended), (0, true, false));
    }
}
