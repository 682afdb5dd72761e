//! Limits for the head of an HTTP message, in requests and responses, from clients and backends alike.

use http::HeaderMap;
use http::header::TRANSFER_ENCODING;

/// Most header fields of one message; its trailers may have as many again. The 100 that HTTP/1.1 parsers take by
/// default are too few for some gateways in front. `HeaderMap` panics at 24,576 names, so this is checked before
/// anything is added to a map that a peer filled.
pub const HEADERS_MAX: usize = 256;

/// Most bytes of a path with its query. `http::Uri` holds no more than 65,534.
pub const URI_MAX: usize = 64_000;

/// The transfer encoding of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferCoding {
    /// Not at all.
    Absent,
    /// In chunks.
    Chunked,
    /// Another one, with the value in the message. Its bytes must not be passed on as a plain body.
    Unsupported(String),
}

impl TransferCoding {
    /// Reads `Transfer-Encoding`. As in Go's `net/http`, `chunked` alone is supported, once.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(TRANSFER_ENCODING).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) if value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => {
                Self::Chunked
            }
            _ => {
                let values = headers.get_all(TRANSFER_ENCODING).iter();
                let words: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
                Self::Unsupported(words.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_alone_is_supported() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRANSFER_ENCODING, value.parse().unwrap());
            }
            TransferCoding::of(&headers)
        };
        assert_eq!(read(&[]), TransferCoding::Absent);
        for chunked in ["chunked", "Chunked", " chunked "] {
            assert_eq!(read(&[chunked]), TransferCoding::Chunked, "{chunked}");
        }
        for other in ["gzip, chunked", "chunked, chunked", "identity", "gzip", "", "chunked;x=1", "xchunked"]
        {
            assert_eq!(read(&[other]), TransferCoding::Unsupported(other.to_owned()), "{other}");
        }
        for twice in [["gzip", "chunked"], ["chunked", "chunked"], ["chunked", "identity"]] {
            assert_eq!(read(&twice), TransferCoding::Unsupported(twice.join(", ")), "{twice:?}");
        }
    }
}
