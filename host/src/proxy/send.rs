//! One attempt to send a request on one connection.

use super::body::AnswerBody;
use super::pool::{Host, Http1Lease, Http2Connection, Http2Lease};
use super::repeat::{FailedAttempt, Processing, http2_processing, is_refusal};
use super::request_body::{RequestBody, UploadBody};
use super::request_headers::{Context, join_cookies, outgoing};
use super::response_headers::{clean, too_many_headers};
use super::upload::StreamHold;
use crate::model::failure::Failure;
use crate::model::message_head::HEADERS_MAX;
use crate::transport::Http1OutputHandle;
use crate::upstream::{INTERIM_MAX, UpstreamFault, write_interim};
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, request};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// A request as the client sent it, ready to be sent as often as is safe.
pub struct Unsent<'a> {
    /// Its head.
    pub head: &'a request::Parts,
    /// What the backend is told beside.
    pub context: Context<'a>,
    /// Its body, if it has one.
    pub body: Option<RequestBody>,
    /// Takes interim responses, if the client speaks HTTP/1.1.
    pub interim: Option<Http1OutputHandle>,
    /// Whether a backend may have processed it, according to the last attempt.
    pub processing: &'a Cell<Processing>,
}

impl Unsent<'_> {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// Whether another attempt could send all of it.
    fn is_at_hand(&self) -> bool {
        self.body.as_ref().is_none_or(RequestBody::can_repeat)
    }

    /// The error for the client if its body caused the failure, and not the backend.
    pub fn client_failure(&self) -> Option<Box<Failure>> {
        let body = self.body.as_ref()?;
        body.stalled().map(Failure::stalled_upload).or_else(|| body.failure()).map(Box::new)
    }

    fn note_answer(&self) {
        if let Some(body) = &self.body {
            body.note_answer();
        }
    }
}

/// A request without an answer.
pub struct Lost {
    /// Why.
    pub fault: UpstreamFault,
    /// The properties of the failed attempt.
    pub attempt: FailedAttempt,
    /// Whether another attempt could send all of it.
    pub is_at_hand: bool,
    /// The connection that works and refused it.
    pub refused_by: Option<Rc<Http2Connection>>,
}

impl Lost {
    /// A request that was not written.
    fn unwritten(fault: UpstreamFault, is_at_hand: bool) -> Self {
        let processing = Processing::Excluded;
        let attempt = FailedAttempt { processing, is_connection_lost: false, had_answered: false };
        Self { fault, attempt, is_at_hand, refused_by: None }
    }
}

/// An answer, or the refusal of one that must not pass.
type Answer = Result<Response<AnswerBody>, Box<Failure>>;

/// Sends a request on a stream of an HTTP/2 connection.
///
/// # Errors
/// When no answer comes.
pub async fn send_http2(host: &Host, lease: Http2Lease, unsent: &Unsent<'_>) -> Result<Answer, Lost> {
    let mut request = Request::new(());
    *request.method_mut() = unsent.head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = absolute(host, &unsent.head.uri)?;
    *request.headers_mut() = outgoing(&unsent.head.headers, &unsent.context);
    let sent = lease.sender().send_request(request, unsent.body.is_none());
    let (response, stream) = sent.map_err(|error| {
        lease.connection().spend();
        Lost::unwritten(fault_of(&error), unsent.is_at_hand())
    })?;
    let connection = Rc::clone(lease.connection());
    let hold = StreamHold::start(lease, unsent.body.as_ref().map(RequestBody::attempt), stream);
    let response = match await_response(response, unsent).await {
        Err(error) if is_malformed(&error) => {
            if error.is_go_away() {
                connection.spend();
            }
            return Ok(Err(Box::new(malformed_response())));
        }
        response => response,
    };
    let response = response.map_err(|error| {
        let is_connection_lost = error.is_io() || error.is_go_away();
        if is_connection_lost {
            connection.spend();
        }
        let fault = if connection.is_dead() { UpstreamFault::Silent } else { fault_of(&error) };
        let had_answered = connection.has_answered();
        let attempt =
            FailedAttempt { processing: http2_processing(&error), is_connection_lost, had_answered };
        let refused_by = is_refusal(&error).then(|| Rc::clone(&connection));
        Lost { fault, attempt, is_at_hand: unsent.is_at_hand(), refused_by }
    })?;
    connection.note_answer();
    unsent.note_answer();
    let Some(response) = response else {
        connection.spend();
        return Ok(Err(Box::new(too_many_interim())));
    };
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11;
    Ok(clean(&mut head).map(|()| Response::from_parts(head, AnswerBody::http2(body, hold))))
}

/// Waits for the response and passes on the interim ones before it. `None` if there are too many.
async fn await_response(
    mut response: ResponseFuture,
    unsent: &Unsent<'_>,
) -> Result<Option<Response<RecvStream>>, h2::Error> {
    let mut count = 0;
    poll_fn(|cx| {
        while let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            let interim = interim?;
            count += 1;
            if count > INTERIM_MAX {
                return Poll::Ready(Ok(None));
            }
            pass_interim(unsent.interim.as_ref(), interim.status(), interim.headers());
        }
        Pin::new(&mut response).poll(cx).map_ok(Some)
    })
    .await
}

/// Sends an interim response to the client, if it accepts them.
pub fn pass_interim(client: Option<&Http1OutputHandle>, status: StatusCode, headers: &HeaderMap) {
    if let Some(client) = client
        && headers.len() <= HEADERS_MAX
        && let Some(written) = write_interim(status, headers)
    {
        client.send_interim(&written);
    }
}

/// Whether the codec rejected the response: its head is malformed, or larger than the limit.
fn is_malformed(error: &h2::Error) -> bool {
    let is_reset = error.is_reset() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR);
    let is_too_large = error.is_go_away() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    error.is_library() && (is_reset || is_too_large)
}

fn malformed_response() -> Failure {
    let text = "the backend's response is malformed, or its header fields are too large";
    Failure::new(502, "", text)
}

fn too_many_interim() -> Failure {
    let text =
        format!("the backend sent more than {INTERIM_MAX} interim responses (1xx) before its response");
    Failure::new(502, "", text)
}

/// Sends a request on an HTTP/1.1 connection.
///
/// # Errors
/// When no answer comes.
pub async fn send_http1(host: &Host, mut lease: Http1Lease, unsent: &Unsent<'_>) -> Result<Answer, Lost> {
    let body = unsent.body.as_ref().map_or_else(UploadBody::none, RequestBody::attempt);
    let mut request = Request::new(body);
    *request.method_mut() = unsent.head.method.clone();
    *request.uri_mut() = Uri::from(path_of(&unsent.head.uri));
    *request.headers_mut() = outgoing(&unsent.head.headers, &unsent.context);
    request.headers_mut().insert(HOST, host.host_header.clone());
    if unsent.body.is_some() && !unsent.head.headers.contains_key(CONTENT_LENGTH) {
        // hyper would drop the body of a GET or HEAD whose length is not known.
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    join_cookies(request.headers_mut());
    let (interim, client) = (lease.interim(), unsent.interim.clone());
    interim.attach(&mut request, move |status, headers| pass_interim(client.as_ref(), status, headers));
    lease.note_request(unsent.head.method.is_safe());
    match lease.sender().try_send_request(request).await {
        Ok(response) => {
            unsent.note_answer();
            lease.note_answer();
            if interim.is_exceeded() {
                return Ok(Err(Box::new(too_many_interim())));
            }
            let (mut head, body) = response.into_parts();
            if head.version == Version::HTTP_10 {
                // hyper would send the next request in HTTP/1.0, where a body of unknown length cannot be sent.
                lease.note_last();
            }
            head.version = Version::HTTP_11;
            Ok(clean(&mut head).map(|()| Response::from_parts(head, AnswerBody::http1(body, lease))))
        }
        Err(_) if interim.is_exceeded() => Ok(Err(Box::new(too_many_interim()))),
        Err(error) if error.error().is_parse_too_large() => Ok(Err(Box::new(too_many_headers()))),
        Err(mut error) => {
            let processing = match error.take_message() {
                Some(_) => Processing::Excluded,
                None => Processing::Possible,
            };
            let error = error.into_error();
            let is_connection_lost =
                error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_io(&error);
            let fault = if lease.is_dead() { UpstreamFault::Silent } else { fault_of_http1(&error) };
            let had_answered = lease.has_answered();
            let attempt = FailedAttempt { processing, is_connection_lost, had_answered };
            Err(Lost { fault, attempt, is_at_hand: unsent.is_at_hand(), refused_by: None })
        }
    }
}

fn path_of(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

fn absolute(host: &Host, uri: &Uri) -> Result<Uri, Lost> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(host.authority.clone());
    parts.path_and_query = Some(path_of(uri));
    // Fails on parts that contradict each other, which these do not.
    Uri::from_parts(parts).map_err(|error| Lost::unwritten(UpstreamFault::Protocol(error.to_string()), false))
}

fn fault_of(error: &h2::Error) -> UpstreamFault {
    if let Some(broken) = error.get_io() {
        UpstreamFault::Closed(format!("the connection closed before an answer came: {}", words_of(broken)))
    } else if error.is_go_away() {
        UpstreamFault::Closed(format!("the backend is closing its connection: {error}"))
    } else {
        UpstreamFault::Protocol(format!("HTTP/2: {error}"))
    }
}

fn is_io(error: &hyper::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<io::Error>())
}

/// Tells apart why an HTTP/1.1 backend did not answer.
pub fn fault_of_http1(error: &hyper::Error) -> UpstreamFault {
    if error.is_parse() {
        return UpstreamFault::Protocol(format!("the backend's answer is no HTTP: {error}"));
    }
    let source = std::error::Error::source(error);
    if error.is_incomplete_message() {
        return UpstreamFault::Closed(
            "the connection closed before an answer came: the backend cut it off".to_owned(),
        );
    }
    let cause = match source.and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(broken) => words_of(broken),
        None => source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    };
    UpstreamFault::Closed(format!("the connection closed before an answer came: {cause}"))
}

/// Why a connection broke. What TLS says of one that was cut off is advice to programmers, with a web address in it.
fn words_of(broken: &io::Error) -> String {
    match broken.kind() {
        io::ErrorKind::UnexpectedEof => "the backend cut it off".to_owned(),
        _ => broken.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Http1Output, LingerHandle};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn a_connection_that_was_cut_off_is_told_in_plain_words() {
        let of_tls = io::Error::new(io::ErrorKind::UnexpectedEof, "no close_notify: https://docs.rs/rustls");
        assert_eq!(words_of(&of_tls), "the backend cut it off");
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(words_of(&reset), "connection reset");
    }

    #[tokio::test]
    async fn an_interim_response_with_too_many_headers_is_left_out() {
        let written = async |count: usize| {
            let (near, mut far) = tokio::io::duplex(1 << 20);
            let handle = Http1OutputHandle::default();
            let mut output = Http1Output::new(near, &handle, &LingerHandle::default(), |_| None);
            handle.begin();
            let mut headers = HeaderMap::new();
            (0..count).for_each(|_| _ = headers.append("link", HeaderValue::from_static("x")));
            pass_interim(Some(&handle), StatusCode::EARLY_HINTS, &headers);
            output.write_all(b"response").await.unwrap();
            output.flush().await.unwrap();
            drop(output);
            let mut text = String::new();
            far.read_to_string(&mut text).await.unwrap();
            text.matches("link: x").count()
        };
        assert_eq!(written(HEADERS_MAX).await, HEADERS_MAX);
        assert_eq!(written(HEADERS_MAX + 1).await, 0);
    }
}
