//! When a request without an answer may be sent again: by the gateway itself, or by the client, which
//! `Retry-After` asks to do so. Clients such as client-go repeat every verb that carries the header.

use http::Method;

/// Whether the backend may have acted on a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processing {
    /// It did not: the request was not written, or the backend said that it did not process it.
    #[default]
    Excluded,
    /// It may have: at least a part of the request was written.
    Possible,
}

impl Processing {
    /// Whether a client may be asked to repeat a request that failed. A write must not execute twice.
    pub fn allows_retry(self, method: &Method) -> bool {
        self == Self::Excluded || method.is_safe()
    }
}

/// Whether a backend may have processed an HTTP/2 request that failed.
pub fn http2_processing(error: &h2::Error) -> Processing {
    // A GOAWAY that the gateway sends itself (`is_remote` is false) says nothing about the backend.
    let left_alone = is_refusal(error) || (error.is_remote() && error.is_go_away());
    if left_alone { Processing::Excluded } else { Processing::Possible }
}

/// Whether the backend refused the stream (RFC 9113 §8.7).
pub fn is_refusal(error: &h2::Error) -> bool {
    error.is_remote() && error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

/// The properties of a failed attempt that matter for a retry.
#[derive(Clone, Copy, Debug)]
pub struct FailedAttempt {
    /// Whether the backend may have processed the request.
    pub processing: Processing,
    /// The connection ended during the request, which says nothing about the request itself.
    pub is_connection_lost: bool,
    /// An earlier request was answered on the connection. If none was, the request itself may break connections, and
    /// must not be sent to a backend again and again.
    pub had_answered: bool,
}

impl FailedAttempt {
    /// Whether the gateway may send the request again: it was not processed, or it is a read and a connection that
    /// had worked was closed.
    pub fn may_repeat(self, method: &Method) -> bool {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        self.processing == Processing::Excluded || (is_read && self.is_connection_lost && self.had_answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    const WRITES: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    const READS: [Method; 2] = [Method::GET, Method::HEAD];

    #[test]
    fn only_what_was_not_processed_or_is_safe_is_to_be_retried() {
        for method in &WRITES {
            assert!(Processing::Excluded.allows_retry(method), "{method}");
            assert!(!Processing::Possible.allows_retry(method), "{method}");
        }
        for method in READS.iter().chain([&Method::OPTIONS]) {
            assert!(Processing::Possible.allows_retry(method), "{method}");
        }
    }

    #[test]
    fn the_gateway_repeats_reads_on_connections_that_worked_and_nothing_that_may_be_done() {
        let attempt = |processing, is_connection_lost, had_answered| FailedAttempt {
            processing,
            is_connection_lost,
            had_answered,
        };
        for method in WRITES.iter().chain(&READS) {
            assert!(attempt(Processing::Excluded, false, false).may_repeat(method), "{method}");
            assert!(!attempt(Processing::Possible, true, false).may_repeat(method), "{method}");
            assert!(!attempt(Processing::Possible, false, true).may_repeat(method), "{method}");
            let is_read = READS.contains(method);
            assert_eq!(attempt(Processing::Possible, true, true).may_repeat(method), is_read, "{method}");
        }
    }

    const RST_STREAM: u8 = 3;
    const GOAWAY: u8 = 7;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
    }

    fn go_away(last_stream: u32, reason: u32) -> Vec<u8> {
        frame(GOAWAY, 0, &[last_stream.to_be_bytes(), reason.to_be_bytes()].concat())
    }

    /// Sends settings, the bytes, and the end of the connection, once the first request has arrived.
    async fn reply(mut peer: DuplexStream, bytes: Vec<u8>) {
        peer.write_all(&frame(4, 0, &[])).await.unwrap();
        let mut seen = Vec::new();
        // Type HEADERS with a stream number of 1.
        while !seen.windows(6).any(|w| w[0] == 1 && w[2..] == [0, 0, 0, 1]) {
            assert!(peer.read_buf(&mut seen).await.unwrap() > 0);
        }
        peer.write_all(&bytes).await.unwrap();
    }

    async fn error_after(bytes: Vec<u8>) -> h2::Error {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut sender, connection) = h2::client::handshake(near).await.unwrap();
        let request = Request::post("https://a.example/").body(()).unwrap();
        let (answer, _stream) = sender.send_request(request, true).unwrap();
        let (_, _, answer) = tokio::join!(connection, reply(far, bytes), answer);
        answer.unwrap_err()
    }

    #[tokio::test]
    async fn only_the_backends_own_word_excludes_that_it_processed_a_request() {
        let reset = |reason: u32| frame(RST_STREAM, 1, &reason.to_be_bytes());
        let table = [
            ("refused", reset(7), Processing::Excluded),
            ("away before it", go_away(0, 0), Processing::Excluded),
            ("away before it, for an error", go_away(0, 1), Processing::Excluded),
            ("away after it", go_away(1, 0), Processing::Possible),
            ("away after it, for an error", go_away(1, 1), Processing::Possible),
            (
                "away first after it, then before it",
                [go_away(1, 0), go_away(0, 0)].concat(),
                Processing::Excluded,
            ),
            ("cancelled", reset(8), Processing::Possible),
            ("internal error", reset(2), Processing::Possible),
            ("no error", reset(0), Processing::Possible),
            ("closed", Vec::new(), Processing::Possible),
            // DATA on stream 0 makes the gateway send a GOAWAY of its own.
            ("a broken frame", frame(0, 0, b"x"), Processing::Possible),
            ("no HTTP/2", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Processing::Possible),
        ];
        for (what, bytes, expected) in table {
            let error = error_after(bytes).await;
            assert_eq!(http2_processing(&error), expected, "{what}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_go_away_of_the_gateway_is_none_of_the_backend() {
        let error = error_after(frame(0, 0, b"x")).await;
        assert!(error.is_go_away() && !error.is_remote(), "{error:?}");
    }
}
