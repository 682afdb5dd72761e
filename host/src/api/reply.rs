//! Answers as HTTP responses.

use super::negotiation::{Accepted, Format};
use crate::model::failure::Failure;
use crate::model::yaml;
use crate::route::{LocalBody, LocalError};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use std::io::Write;

/// Answers from this size on are packed for clients that unpack, in bytes.
const GZIP_MIN: usize = 128 * 1024;

/// A response with a whole body.
pub type Reply = Response<LocalBody>;

/// A body that is there as a whole.
pub fn whole(bytes: impl Into<Bytes>) -> LocalBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A response with a body and its type.
pub fn with_body(status: StatusCode, content_type: &'static str, body: LocalBody) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An object, a list or a document in the form agreed on.
pub fn value(status: StatusCode, accepted: Accepted, value: &Value) -> Reply {
    match encode(accepted.format, value) {
        Ok(bytes) if accepted.gzip && bytes.len() > GZIP_MIN => packed(status, accepted.format, &bytes),
        Ok(bytes) => with_body(status, accepted.format.content_type(), whole(bytes)),
        Err(e) => failure(&Failure::internal(e)),
    }
}

/// A large answer with gzip, as upstream sends it (contract §7.10).
fn packed(status: StatusCode, format: Format, bytes: &[u8]) -> Reply {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    let Ok(packed) = packed else { return with_body(status, format.content_type(), whole(bytes.to_vec())) };
    let mut response = with_body(status, format.content_type(), whole(packed));
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// Plain text, as health checks and metrics answer.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    with_body(status, "text/plain; charset=utf-8", whole(body))
}

/// A failure as JSON.
pub fn failure(failure: &Failure) -> Reply {
    failure_in(Format::Json, failure)
}

/// A failure in the form that the client reads.
pub fn failure_in(format: Format, failure: &Failure) -> Reply {
    let status = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_value(failure.to_status())
        .map_err(|e| LocalError(e.to_string()))
        .and_then(|v| encode(format, &v));
    let body = body.map_or_else(|_| failure.to_json(), Bytes::from);
    let mut response = with_body(status, format.content_type(), whole(body));
    if let Some(seconds) = failure.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Adds one `Warning: 299` line per text (contract §7.2).
pub fn warn(response: &mut Reply, warnings: &[String]) {
    for (index, warning) in warnings.iter().enumerate() {
        let is_repeated = warnings.iter().take(index).any(|before| before == warning);
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(line) = HeaderValue::from_str(&format!("299 - \"{quoted}\""))
            && !is_repeated
        {
            response.headers_mut().append(header::WARNING, line);
        }
    }
}

/// Writes a value down, with a trailing newline.
pub fn encode(format: Format, value: &Value) -> Result<Vec<u8>, LocalError> {
    let broken = |e: &dyn std::fmt::Display| LocalError(format!("cannot write the answer down: {e}"));
    match format {
        Format::Yaml => Ok(yaml::write(value).into_bytes()),
        Format::Json | Format::PrettyJson => {
            let written = if format == Format::Json {
                serde_json::to_vec(value)
            } else {
                serde_json::to_vec_pretty(value)
            };
            let mut bytes = written.map_err(|e| broken(&e))?;
            bytes.push(b'\n');
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_stand_once() {
        let mut response = text(StatusCode::OK, "ok");
        warn(&mut response, &[r#"unknown field "a""#.to_owned(), r#"unknown field "a""#.to_owned()]);
        let lines: Vec<_> = response.headers().get_all(header::WARNING).iter().collect();
        assert_eq!(lines, [r#"299 - "unknown field \"a\"""#]);
    }

    #[test]
    fn a_retry_hint_becomes_a_header() {
        let response = failure(&Failure::unavailable("later").retry_after(7));
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert_eq!(response.status(), 503);
    }
}
