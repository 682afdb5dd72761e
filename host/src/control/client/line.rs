//! One HTTP connection to an endpoint, for requests of the control plane's own.

use super::body::{BodyFault, read};
use crate::model::message_head::{HEADERS_MAX, TransferCoding};
use crate::route::Backend;
use crate::upstream::{
    InterimCount, InterimFrames, InterimLimit, Protocol, UpstreamFault, connect, too_many_interim,
};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How often an idle HTTP/2 connection is asked whether the other side still lives.
const PING_EVERY: Duration = Duration::from_secs(3);
/// Time limit for the answer. When it ends the connection, the backend is only checked on a new one.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Limit for the header bytes of an HTTP/2 response, as its codec counts them.
const HEADER_LIST: u32 = 1 << 20;

/// A request without a body.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Index into the backend's endpoints.
    pub endpoint: usize,
    /// `GET` or `HEAD`.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// Headers beside `Host`, identity included. If `Accept-Encoding` is not among them, a response without a content
    /// coding is requested, but one with gzip is decoded anyway.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Limit for everything, connecting included.
    pub limit: Duration,
    /// How many bytes of the body to keep.
    pub body_max: usize,
}

impl Question<'_> {
    fn asks_for_codings(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == ACCEPT_ENCODING)
    }
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// At most `body_max` bytes of the body, decoded.
    pub body: Bytes,
    /// The error if `body` does not match its content coding.
    pub body_fault: Option<BodyFault>,
    /// Whether more followed.
    pub truncated: bool,
    /// From sending to the first byte of the answer.
    pub first_byte: Duration,
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// An open connection. Dropping the last handle closes it without a word to whoever waits for its end.
pub(super) struct Line {
    sender: Sender,
    /// Limits the interim responses of an HTTP/1.1 backend.
    interim: InterimCount,
    authority: HeaderValue,
    driver: Arc<Driver>,
}

/// Stops the task that drives a connection.
struct Driver(AbortHandle);

/// Keeps a connection open, and names it.
pub(super) struct Tether(Arc<Driver>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Line {
    /// Connects to an endpoint of the backend. `closed` is told when the other side ends the connection.
    pub(super) async fn open(
        backend: &Backend,
        endpoint: usize,
        closed: &Arc<Notify>,
    ) -> Result<Self, UpstreamFault> {
        let (Some(place), Some(authority)) =
            (backend.endpoints.get(endpoint), backend.authorities.get(endpoint))
        else {
            return Err(UpstreamFault::Protocol(format!("there is no endpoint {endpoint}")));
        };
        let connection = connect(place, &backend.server_name, &backend.tls).await?;
        let interim = InterimCount::default();
        let closed = Arc::clone(closed);
        let (sender, driver) = match connection.protocol {
            Protocol::Http1 => {
                let io = TokioIo::new(InterimLimit::new(connection.stream, &interim));
                let (sender, connection) = http1::Builder::new()
                    .max_headers(HEADERS_MAX)
                    .allow_obsolete_multiline_headers_in_responses(true)
                    .handshake(io)
                    .await
                    .map_err(|e| sort(&e))?;
                (Sender::Http1(sender), tokio::spawn(drive(connection, closed)).abort_handle())
            }
            Protocol::Http2 => {
                let io = TokioIo::new(InterimFrames::new(connection.stream));
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .keep_alive_interval(PING_EVERY)
                    .keep_alive_timeout(PING_TIMEOUT)
                    .keep_alive_while_idle(true)
                    .max_header_list_size(HEADER_LIST)
                    .handshake(io)
                    .await
                    .map_err(|e| sort(&e))?;
                (Sender::Http2(sender), tokio::spawn(drive(connection, closed)).abort_handle())
            }
        };
        Ok(Self { sender, interim, authority: authority.clone(), driver: Arc::new(Driver(driver)) })
    }

    /// A second handle, where the protocol carries several requests at a time.
    pub(super) fn share(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        Some(Self {
            sender: Sender::Http2(sender.clone()),
            interim: self.interim.clone(),
            authority: self.authority.clone(),
            driver: Arc::clone(&self.driver),
        })
    }

    /// What keeps this connection open.
    pub(super) fn tether(&self) -> Tether {
        Tether(Arc::clone(&self.driver))
    }

    /// Whether this is the connection that `tether` names.
    pub(super) fn is_held_by(&self, tether: &Tether) -> bool {
        Arc::ptr_eq(&self.driver, &tether.0)
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.0.is_finished()
            || match &self.sender {
                Sender::Http1(sender) => sender.is_closed(),
                Sender::Http2(sender) => sender.is_closed(),
            }
    }

    /// Sends one request and reads its answer; says whether the connection may be used again.
    pub(super) async fn ask(&mut self, question: &Question<'_>) -> Result<(Answer, bool), UpstreamFault> {
        let mut request = self.request(question)?;
        let asked = Instant::now();
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(|e| sort(&e))?;
                self.interim.attach(&mut request, |_, _| ());
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(|e| sort(&e))?;
                sender.send_request(request).await
            }
        };
        let (mut head, body) = response.map_err(|e| sort(&e))?.into_parts();
        if self.interim.is_exceeded() {
            // They arrived together with the response.
            return Err(UpstreamFault::Protocol(too_many_interim().to_string()));
        }
        check_head(&head.headers)?;
        let first_byte = asked.elapsed();
        let read = read(body, &head.headers, question.body_max, !question.asks_for_codings()).await?;
        if read.decoded {
            head.headers.remove(CONTENT_ENCODING);
            head.headers.remove(CONTENT_LENGTH);
        }
        let usable = read.ended || matches!(self.sender, Sender::Http2(_));
        let answer = Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: read.kept,
            body_fault: read.fault,
            truncated: read.truncated,
            first_byte,
        };
        Ok((answer, usable))
    }

    fn request(&self, question: &Question<'_>) -> Result<Request<Empty<Bytes>>, UpstreamFault> {
        let invalid = |error: http::Error| UpstreamFault::Protocol(error.to_string());
        let uri = match (&self.sender, self.authority.to_str()) {
            (Sender::Http2(_), Ok(authority)) => {
                Uri::builder().scheme("https").authority(authority).path_and_query(question.path).build()
            }
            _ => Uri::builder().path_and_query(question.path).build(),
        };
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(uri.map_err(invalid)?)
            .body(Empty::new())
            .map_err(invalid)?;
        let headers = request.headers_mut();
        if matches!(self.sender, Sender::Http1(_)) {
            headers.insert(http::header::HOST, self.authority.clone());
        }
        if !question.asks_for_codings() {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        for (name, value) in &question.headers {
            headers.append(name, value.clone());
        }
        Ok(request)
    }
}

/// Requirements for a response before anything of it is used.
fn check_head(headers: &HeaderMap) -> Result<(), UpstreamFault> {
    if headers.len() > HEADERS_MAX {
        let text = format!("the response has too many header fields: at most {HEADERS_MAX} are accepted");
        return Err(UpstreamFault::Protocol(text));
    }
    match TransferCoding::of(headers) {
        TransferCoding::Absent | TransferCoding::Chunked => Ok(()),
        TransferCoding::Unsupported(coding) => {
            let text =
                format!("the response has the transfer encoding {coding:?}; only chunked is supported");
            Err(UpstreamFault::Protocol(text))
        }
    }
}

async fn drive(connection: impl Future<Output = Result<(), hyper::Error>>, closed: Arc<Notify>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection of the control plane ended");
    }
    closed.notify_one();
}

pub(super) fn sort(error: &hyper::Error) -> UpstreamFault {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return UpstreamFault::Closed("the backend closed the connection before it answered".to_owned());
    }
    let io = std::error::Error::source(error).and_then(|e| e.downcast_ref::<std::io::Error>());
    match io {
        Some(_) => UpstreamFault::Closed(format!("the connection to the backend broke: {cause}")),
        None => UpstreamFault::Protocol(format!("the backend's answer is no HTTP: {cause}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_beyond_a_limit_is_an_error_that_says_so() {
        let check = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            check_head(&headers).map_err(|fault| fault.to_string())
        };
        let coding = "transfer-encoding";
        assert_eq!(check(&[("a", "b"); HEADERS_MAX]), Ok(()));
        assert!(check(&[("a", "b"); HEADERS_MAX + 1]).unwrap_err().contains("too many header fields"));
        assert_eq!(check(&[(coding, "chunked"), ("content-length", "3")]), Ok(()));
        assert!(check(&[(coding, "gzip, chunked")]).unwrap_err().contains("\"gzip, chunked\""));
    }
}
