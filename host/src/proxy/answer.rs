//! Answers that the data plane makes itself, and what every answer carries.

use super::body::AnswerBody;
use super::head::{too_many_headers, uri_too_long};
use super::repeat::Processing;
use crate::model::failure::Failure;
use crate::upstream::UpstreamFault;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

/// `Audit-ID`, which ties the log lines of client, gateway and backend together.
pub const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// A `metav1.Status` as an answer.
pub fn refuse(failure: &Failure) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(failure.to_json()));
    *response.status_mut() = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = failure.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The complete response to an HTTP/1.1 request whose head is malformed or beyond a limit, for which the codec has
/// only a status code.
pub fn complete(code: u16) -> Option<Bytes> {
    let (reason, failure) = match code {
        400 => ("Bad Request", Failure::bad_request("the head of the request is not valid HTTP/1.1")),
        414 => ("URI Too Long", uri_too_long()),
        431 => ("Request Header Fields Too Large", too_many_headers()),
        _ => return None,
    };
    let body = failure.to_json();
    let mut response = format!(
        "HTTP/1.1 {code} {reason}\r\ncontent-type: application/json\r\ncache-control: no-cache, private\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    response.extend_from_slice(&body);
    Some(response.into())
}

/// Adds what every answer carries, unless the backend said it: its audit id and `Cache-Control`.
pub fn finish(response: &mut Response<AnswerBody>, audit_id: HeaderValue) {
    let headers = response.headers_mut();
    headers.entry(AUDIT_ID).or_insert(audit_id);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
}

/// Turns the answer to a GET into that to a HEAD: the length of the body instead of the body. HTTP/2 clients take
/// a body for a broken stream.
pub fn keep_head(response: &mut Response<AnswerBody>) {
    let length = response.body_mut().withhold();
    if length > 0 {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
}

/// Seconds after which a client may try again when a backend may be back by then.
const RETRY_AFTER_SECONDS: i32 = 1;

/// The message for a client whose write may have been executed.
const OUTCOME_UNKNOWN: &str = "the backend may have processed the request: look before you repeat it";

/// 503 that says why a backend did not answer, without its address. It has `Retry-After` if a retry may help and is
/// safe.
pub fn refuse_fault(fault: &UpstreamFault, processing: Processing, method: &Method) -> Box<Failure> {
    let text = format!("error trying to reach service: {}", fault.for_client());
    refuse_unanswered(Failure::unavailable(text), fault.is_transient(), processing, method)
}

/// 504 for a request that exceeded its time limit.
pub fn refuse_late(processing: Processing, method: &Method) -> Box<Failure> {
    let text = "Timeout: request did not complete within the allotted timeout";
    refuse_unanswered(Failure::new(504, "Timeout", text), true, processing, method)
}

fn refuse_unanswered(
    mut failure: Failure,
    is_transient: bool,
    processing: Processing,
    method: &Method,
) -> Box<Failure> {
    if !processing.allows_retry(method) {
        failure.message = format!("{}; {OUTCOME_UNKNOWN}", failure.message);
    } else if is_transient {
        failure = failure.retry_after(RETRY_AFTER_SECONDS);
    }
    Box::new(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body;

    #[test]
    fn a_write_that_may_be_done_carries_no_request_to_repeat_it() {
        let fault = UpstreamFault::Closed("the connection closed".to_owned());
        let lasting = UpstreamFault::UnknownAuthority;
        for (processing, method, asks) in [
            (Processing::Excluded, Method::POST, true),
            (Processing::Possible, Method::POST, false),
            (Processing::Possible, Method::DELETE, false),
            (Processing::Possible, Method::GET, true),
        ] {
            for failure in [refuse_fault(&fault, processing, &method), refuse_late(processing, &method)] {
                assert_eq!(failure.retry_after_seconds().is_some(), asks, "{method}: {failure}");
                let response = refuse(&failure);
                assert_eq!(response.headers().contains_key(RETRY_AFTER), asks, "{method}");
                assert_eq!(failure.message.ends_with(OUTCOME_UNKNOWN), !asks, "{method}: {failure}");
            }
            assert_eq!(refuse_fault(&lasting, processing, &method).retry_after_seconds(), None);
        }
    }

    #[test]
    fn the_answer_to_a_head_has_a_length_and_no_body() {
        let mut response = refuse(&Failure::no_such_resource());
        let length = response.body().size_hint().exact().unwrap();
        keep_head(&mut response);
        assert_eq!(response.headers()[CONTENT_LENGTH], length.to_string());
        assert!(response.body().is_end_stream());
    }
}
