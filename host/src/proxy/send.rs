//! One attempt to send a request on one connection.

use super::body::AnswerBody;
use super::pool::{Host, Http1Lease, Http2Lease};
use super::request_headers::{Context, join_cookies, outgoing};
use super::response_headers::clean;
use super::upload::{StreamHold, UploadBody};
use crate::model::failure::Failure;
use crate::upstream::UpstreamFault;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Method, Request, Response, Version, request};
use hyper::body::Incoming;
use std::rc::Rc;

/// A request as the client sent it, ready to be sent as often as is safe.
pub struct Unsent<'a> {
    /// Its head.
    pub head: &'a request::Parts,
    /// What the backend is told beside.
    pub context: Context<'a>,
    /// Its body, gone once sending began.
    pub body: Option<Incoming>,
}

impl Unsent<'_> {
    /// Reading twice does no harm.
    fn is_read(&self) -> bool {
        matches!(self.head.method, Method::GET | Method::HEAD) && self.body.is_none()
    }
}

/// A request without an answer.
pub struct Lost {
    /// Why.
    pub fault: UpstreamFault,
    /// Whether it is certain that sending it again changes nothing twice.
    pub is_safe_to_repeat: bool,
}

/// An answer, or the refusal of one that must not pass.
type Answer = Result<Response<AnswerBody>, Box<Failure>>;

/// Sends a request on a stream of an HTTP/2 connection.
///
/// # Errors
/// When no answer comes.
pub async fn send_http2(host: &Host, lease: Http2Lease, unsent: &mut Unsent<'_>) -> Result<Answer, Lost> {
    let mut request = Request::new(());
    *request.method_mut() = unsent.head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = absolute(host, &unsent.head.uri)?;
    *request.headers_mut() = outgoing(&unsent.head.headers, &unsent.context);
    let sent = lease.sender().send_request(request, unsent.body.is_none());
    let (response, stream) = sent.map_err(|error| {
        lease.connection().spend();
        Lost { fault: fault_of(&error), is_safe_to_repeat: true }
    })?;
    let was_read = unsent.is_read();
    let had_body = unsent.body.is_some();
    let connection = Rc::clone(lease.connection());
    let hold = StreamHold::start(lease, unsent.body.take(), stream);
    let response = response.await.map_err(|error| {
        let broke = error.is_io() || error.is_go_away();
        if broke {
            connection.spend();
        }
        let is_safe_to_repeat =
            !had_body && (was_left_alone(&error) || (broke && was_read && connection.has_answered()));
        Lost { fault: fault_of(&error), is_safe_to_repeat }
    })?;
    connection.note_answer();
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11;
    Ok(clean(&mut head).map(|()| Response::from_parts(head, AnswerBody::http2(body, hold))))
}

/// Whether the backend says that it did nothing about the request: it refused the stream, or went away and named
/// an earlier one as the last that it looked at (RFC 9113 §6.8, §8.7).
fn was_left_alone(error: &h2::Error) -> bool {
    let was_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (was_refused || error.is_go_away())
}

/// Sends a request on an HTTP/1.1 connection.
///
/// # Errors
/// When no answer comes.
pub async fn send_http1(host: &Host, mut lease: Http1Lease, unsent: &mut Unsent<'_>) -> Result<Answer, Lost> {
    let was_read = unsent.is_read();
    let mut request = Request::new(UploadBody(unsent.body.take()));
    *request.method_mut() = unsent.head.method.clone();
    *request.uri_mut() = Uri::from(path_of(&unsent.head.uri));
    *request.headers_mut() = outgoing(&unsent.head.headers, &unsent.context);
    request.headers_mut().insert(HOST, host.host_header.clone());
    join_cookies(request.headers_mut());
    match lease.sender().try_send_request(request).await {
        Ok(response) => {
            let (mut head, body) = response.into_parts();
            Ok(clean(&mut head).map(|()| Response::from_parts(head, AnswerBody::http1(body, lease))))
        }
        Err(mut error) => {
            let unsent_request = error.take_message();
            let was_sent = unsent_request.is_none();
            if let Some(request) = unsent_request {
                unsent.body = request.into_body().0;
            }
            let error = error.into_error();
            let broke =
                error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_io(&error);
            let is_safe_to_repeat = !was_sent || (was_read && broke && lease.is_reused());
            Err(Lost { fault: fault_of_http1(&error), is_safe_to_repeat })
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
    Uri::from_parts(parts)
        .map_err(|error| Lost { fault: UpstreamFault::Protocol(error.to_string()), is_safe_to_repeat: false })
}

fn fault_of(error: &h2::Error) -> UpstreamFault {
    if error.is_io() {
        UpstreamFault::Closed(format!("the connection closed before an answer came: {error}"))
    } else if error.is_go_away() {
        UpstreamFault::Closed(format!("the backend is closing its connection: {error}"))
    } else {
        UpstreamFault::Protocol(format!("HTTP/2: {error}"))
    }
}

fn is_io(error: &hyper::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

/// Tells apart why an HTTP/1.1 backend did not answer.
pub fn fault_of_http1(error: &hyper::Error) -> UpstreamFault {
    if error.is_parse() {
        return UpstreamFault::Protocol(format!("the backend's answer is no HTTP: {error}"));
    }
    let cause =
        std::error::Error::source(error).map_or_else(|| error.to_string(), |s| format!("{error}: {s}"));
    UpstreamFault::Closed(format!("the connection closed before an answer came: {cause}"))
}
