//! Discovery and OpenAPI from prepared bytes (contract §3, §4).

use super::answer::refuse;
use super::body::AnswerBody;
use super::negotiate::{Form, accepts_gzip, choose};
use crate::model::failure::Failure;
use crate::route::{ClientBody, Document, OpenApiAnswer, Snapshot, Target};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, EXPIRES, HeaderValue, IF_NONE_MATCH,
    LOCATION, VARY,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

type Answer = Result<Response<AnswerBody>, Box<Failure>>;

const DEFAULT_CACHE: &str = "no-cache, private";

/// `/apis` and `/apis/`, by any method, as upstream's plain handler has it (contract §3.1).
///
/// # Errors
/// 406, or 503 before the first document is built.
pub fn groups(snapshot: &Snapshot, head: &Request<ClientBody>, has_slash: bool) -> Answer {
    let documents = &snapshot.documents;
    let (document, cache) = match choose(head.headers(), !has_slash).ok_or_else(not_acceptable)? {
        Form::AggregatedV2 => (&documents.aggregated_v2, "public"),
        Form::AggregatedV2Beta1 => (&documents.aggregated_v2beta1, "public"),
        Form::Json => (&documents.groups_json, DEFAULT_CACHE),
        Form::Yaml => (&documents.groups_yaml, DEFAULT_CACHE),
    };
    let document = document.as_ref().ok_or_else(not_ready)?;
    Ok(serve(document, head.headers(), cache))
}

/// `/apis/<group>`.
///
/// # Errors
/// 404 for a group that nobody serves; 405 and 406 in go-restful's words for an own group; 503 before the first document
/// is built.
pub fn group(snapshot: &Snapshot, head: &Request<ClientBody>, name: &str) -> Answer {
    let Some((json, yaml)) = snapshot.documents.group.get(name).map(AsRef::as_ref) else {
        let is_built = snapshot.documents.groups_json.is_some();
        return Err(if is_built { Box::new(Failure::no_such_resource()) } else { not_ready() });
    };
    let routes = snapshot.routes.get(name).map_or(&[][..], AsRef::as_ref);
    let is_own = !routes.is_empty() && routes.iter().all(|route| matches!(route.target, Target::Local));
    if is_own && *head.method() != Method::GET {
        return Err(Box::new(Failure::method_not_allowed()));
    }
    let document = match choose(head.headers(), false) {
        Some(Form::Yaml) => yaml,
        Some(_) => json,
        None if is_own => return Err(own_not_acceptable()),
        None => return Err(not_acceptable()),
    };
    Ok(serve(document, head.headers(), DEFAULT_CACHE))
}

/// `/openapi/…`, `path` decoded; by any method, because upstream's handlers are plain ones that look at none (kube-openapi
/// `handler`, `handler3`).
///
/// # Errors
/// 404, 406, or 503 before the first document is built.
pub fn openapi(snapshot: &Snapshot, head: &Request<ClientBody>, path: &str) -> Answer {
    let accept = head.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let query = head.uri().query().unwrap_or_default();
    match snapshot.documents.openapi.answer(path, query, accept) {
        OpenApiAnswer::Fresh(document) => Ok(serve(document, head.headers(), DEFAULT_CACHE)),
        OpenApiAnswer::Immutable(document) => {
            let mut response = serve(document, head.headers(), "public, immutable");
            response.headers_mut().insert(EXPIRES, in_a_year());
            Ok(response)
        }
        OpenApiAnswer::Moved(to) => Ok(redirect(&to)),
        OpenApiAnswer::Missing => Err(Box::new(Failure::no_such_resource())),
        OpenApiAnswer::NotAcceptable(text) => Err(Box::new(Failure::new(406, "NotAcceptable", text))),
        OpenApiAnswer::NotReady => Err(not_ready()),
    }
}

fn serve(document: &Document, request: &HeaderMap, cache: &'static str) -> Response<AnswerBody> {
    let is_known = document.etag.as_ref().is_some_and(|etag| names(request, etag));
    let mut response = Response::new(AnswerBody::empty());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(etag) = &document.etag {
        headers.insert(ETAG, etag.clone());
    }
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, document.content_type.clone());
    let compressed = document.gzip.as_ref().filter(|_| accepts_gzip(request));
    if compressed.is_some() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *response.body_mut() = AnswerBody::whole(compressed.unwrap_or(&document.identity).clone());
    response
}

/// Whether `If-None-Match` names `etag`: in a list, weakly, or by `*` (RFC 9110 §13.1.2).
fn names(request: &HeaderMap, etag: &HeaderValue) -> bool {
    request.get_all(IF_NONE_MATCH).iter().any(|value| {
        value
            .as_bytes()
            .split(|b| *b == b',')
            .map(<[u8]>::trim_ascii)
            .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
    })
}

fn redirect(to: &str) -> Response<AnswerBody> {
    let Ok(location) = HeaderValue::from_str(to) else { return refuse(&Failure::no_such_resource()) };
    let mut response = Response::new(AnswerBody::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(LOCATION, location);
    response
}

fn in_a_year() -> HeaderValue {
    let then = Timestamp::now() + SignedDuration::from_hours(24 * 365);
    let text = then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
}

const FORMS: &str = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
const OWN_FORMS: &str = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf";

fn not_acceptable() -> Box<Failure> {
    Box::new(Failure::new(406, "NotAcceptable", FORMS))
}

fn own_not_acceptable() -> Box<Failure> {
    let mut failure = Failure::new(406, "NotAcceptable", OWN_FORMS);
    failure.details = Some(Box::default());
    Box::new(failure)
}

fn not_ready() -> Box<Failure> {
    let text = "discovery is not built yet, please try again";
    Box::new(Failure::unavailable(text).retry_after(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn document() -> Document {
        Document {
            content_type: HeaderValue::from_static("application/json"),
            etag: Some(HeaderValue::from_static("\"AB\"")),
            identity: Bytes::from_static(b"plain"),
            gzip: Some(Bytes::from_static(b"zip")),
        }
    }

    fn code(name: &'static str, value: &'static str) -> u16 {
        let mut request = HeaderMap::new();
        request.insert(name, HeaderValue::from_static(value));
        serve(&document(), &request, "public").status().as_u16()
    }

    #[test]
    fn a_known_tag_is_not_sent_again() {
        for tag in ["\"AB\"", "W/\"AB\"", "\"X\", \"AB\"", "*"] {
            assert_eq!(code("if-none-match", tag), 304, "{tag}");
        }
        for tag in ["\"ab\"", "AB", ""] {
            assert_eq!(code("if-none-match", tag), 200, "{tag}");
        }
    }

    #[test]
    fn compressed_bytes_are_labelled() {
        let mut request = HeaderMap::new();
        assert!(!serve(&document(), &request, "public").headers().contains_key(CONTENT_ENCODING));
        request.insert("accept-encoding", HeaderValue::from_static("gzip"));
        assert_eq!(serve(&document(), &request, "public").headers()[CONTENT_ENCODING], "gzip");
    }
}
