//! Which OpenAPI document answers which request.

use super::Document;
use std::collections::HashMap;

/// `Content-Type` of the protobuf form of OpenAPI v2.
pub const OPENAPI_V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The spelling that clients before Kubernetes 1.24 send for the same.
const OPENAPI_V2_PROTOBUF_OLD: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const JSON: &str = "application/json";

/// The prepared OpenAPI documents, own kinds' and backends'.
#[derive(Clone, Debug, Default)]
pub struct OpenApiDocuments {
    /// `/openapi/v3`: the index.
    pub index: Option<Document>,
    /// `/openapi/v3/<key>` by key such as `apis/apps/v1`.
    pub by_key: HashMap<String, HashedDocument>,
    /// `/openapi/v2`.
    pub v2: Option<OpenApiV2>,
}

/// An OpenAPI v3 document and the hash under which the index names it.
#[derive(Clone, Debug)]
pub struct HashedDocument {
    /// SHA-512 of the JSON in upper-case hexadecimal.
    pub hash: String,
    /// The document.
    pub document: Document,
}

/// The OpenAPI v2 document in its two forms.
#[derive(Clone, Debug)]
pub struct OpenApiV2 {
    /// As JSON.
    pub json: Document,
    /// As [`OPENAPI_V2_PROTOBUF`].
    pub protobuf: Document,
}

/// How to answer a GET below `/openapi/`.
#[derive(Debug)]
pub enum OpenApiAnswer<'a> {
    /// 200 with this document, `Vary: Accept`, its `ETag` (304 when the client has it), `Cache-Control: no-cache,
    /// private`.
    Fresh(&'a Document),
    /// The same, but the URL names exactly these bytes: `Cache-Control: public, immutable` and `Expires` in a year.
    Immutable(&'a Document),
    /// 301 to this path and query, `Cache-Control: no-cache, private`: the hash is of another state of the document.
    Moved(String),
    /// 404.
    Missing,
    /// 406; the text names what can be had.
    NotAcceptable(&'static str),
    /// 503: nothing has been built yet.
    NotReady,
}

impl OpenApiDocuments {
    /// Answers a GET of `path` (starts with `/openapi/`) with the query as it came and the `Accept` header, if any.
    /// Contract §4.1 to §4.3; a stale hash is redirected to the present one for backends too (quirk 5).
    pub fn answer(&self, path: &str, query: &str, accept: Option<&str>) -> OpenApiAnswer<'_> {
        let path = path.strip_suffix('/').unwrap_or(path);
        match path.strip_prefix("/openapi/") {
            Some("v2") => self.answer_v2(accept),
            Some("v3") => {
                let Some(index) = &self.index else { return OpenApiAnswer::NotReady };
                accept_json(accept, OpenApiAnswer::Fresh(index))
            }
            Some(rest) => match rest.strip_prefix("v3/").and_then(|key| self.by_key.get(key)) {
                Some(found) => accept_json(accept, found.answer(path, query)),
                None => OpenApiAnswer::Missing,
            },
            None => OpenApiAnswer::Missing,
        }
    }

    fn answer_v2(&self, accept: Option<&str>) -> OpenApiAnswer<'_> {
        let Some(v2) = &self.v2 else { return OpenApiAnswer::NotReady };
        match choose(accept, &[JSON, OPENAPI_V2_PROTOBUF, OPENAPI_V2_PROTOBUF_OLD]) {
            Some(JSON) => OpenApiAnswer::Fresh(&v2.json),
            Some(_) => OpenApiAnswer::Fresh(&v2.protobuf),
            None => OpenApiAnswer::NotAcceptable(
                "only the following media types are accepted: application/json, application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
            ),
        }
    }
}

impl HashedDocument {
    fn answer(&self, path: &str, query: &str) -> OpenApiAnswer<'_> {
        match query.split('&').find_map(|pair| pair.strip_prefix("hash=")) {
            None => OpenApiAnswer::Fresh(&self.document),
            Some(hash) if hash == self.hash => OpenApiAnswer::Immutable(&self.document),
            Some(_) => OpenApiAnswer::Moved(format!("{path}?hash={}", self.hash)),
        }
    }
}

fn accept_json<'a>(accept: Option<&str>, answer: OpenApiAnswer<'a>) -> OpenApiAnswer<'a> {
    match choose(accept, &[JSON]) {
        Some(_) => answer,
        None => OpenApiAnswer::NotAcceptable("only the following media types are accepted: application/json"),
    }
}

/// The offer that the `Accept` header likes best; offers and equal clauses count in their order.
fn choose(accept: Option<&str>, offers: &[&'static str]) -> Option<&'static str> {
    let accept = accept.map_or("", str::trim);
    if accept.is_empty() {
        return offers.first().copied();
    }
    let mut best: Option<(u16, &'static str)> = None;
    for clause in accept.split(',') {
        let mut parts = clause.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default();
        let weight = parts.find_map(|p| p.strip_prefix("q=")).map_or(1000, thousandths);
        let offer = offers.iter().find(|offer| covers(range, offer));
        if let Some(offer) = offer
            && weight > best.map_or(0, |(weight, _)| weight)
        {
            best = Some((weight, offer));
        }
    }
    best.map(|(_, offer)| offer)
}

fn covers(range: &str, offer: &str) -> bool {
    match range.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => offer.split_once('/').is_some_and(|(k, _)| k.eq_ignore_ascii_case(kind)),
        None => range.eq_ignore_ascii_case(offer),
    }
}

/// `0.5` as 500; what is no weight counts as 1.
fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole, digits.parse::<u16>()) {
        ("0", Ok(fraction)) => fraction,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderValue;

    fn document(body: &'static str) -> Document {
        Document {
            content_type: HeaderValue::from_static(JSON),
            etag: None,
            identity: Bytes::from_static(body.as_bytes()),
            gzip: None,
        }
    }

    fn documents() -> OpenApiDocuments {
        let entry = HashedDocument { hash: "AB".into(), document: document("gv") };
        OpenApiDocuments {
            index: Some(document("index")),
            by_key: [("apis/example.com/v1".to_owned(), entry)].into(),
            v2: Some(OpenApiV2 { json: document("v2 json"), protobuf: document("v2 protobuf") }),
        }
    }

    fn show(path: &str, query: &str, accept: Option<&str>) -> String {
        let text = |d: &Document| String::from_utf8_lossy(&d.identity).into_owned();
        match documents().answer(path, query, accept) {
            OpenApiAnswer::Fresh(d) => text(d),
            OpenApiAnswer::Immutable(d) => format!("immutable {}", text(d)),
            OpenApiAnswer::Moved(to) => format!("moved {to}"),
            OpenApiAnswer::Missing => "missing".to_owned(),
            OpenApiAnswer::NotAcceptable(_) => "not acceptable".to_owned(),
            OpenApiAnswer::NotReady => "not ready".to_owned(),
        }
    }

    #[test]
    fn a_hash_decides_whether_bytes_may_be_kept_for_ever() {
        let path = "/openapi/v3/apis/example.com/v1";
        assert_eq!(show(path, "", None), "gv");
        assert_eq!(show(path, "timeout=32s", None), "gv");
        assert_eq!(show(path, "hash=AB", None), "immutable gv");
        assert_eq!(show(path, "timeout=32s&hash=AB", None), "immutable gv");
        assert_eq!(show(path, "hash=CD", None), "moved /openapi/v3/apis/example.com/v1?hash=AB");
        assert_eq!(show("/openapi/v3/apis/nope/v1", "", None), "missing");
        assert_eq!(show("/openapi/v4", "", None), "missing");
        assert_eq!(show("/openapi/v3", "", None), "index");
        assert_eq!(show("/openapi/v3/", "", None), "index");
    }

    #[test]
    fn accept_is_weighed() {
        let v2 = |accept| show("/openapi/v2", "", Some(accept));
        assert_eq!(v2(""), "v2 json");
        assert_eq!(v2("*/*"), "v2 json");
        assert_eq!(v2("application/*"), "v2 json");
        assert_eq!(v2("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"), "v2 protobuf");
        assert_eq!(v2("application/com.github.proto-openapi.spec.v2.v1.0+protobuf,*/*"), "v2 protobuf");
        assert_eq!(v2("application/com.github.proto-openapi.spec.v2.v1.0+protobuf;q=0.5, */*"), "v2 json");
        assert_eq!(v2("text/html"), "not acceptable");
        assert_eq!(v2("application/json;q=0"), "not acceptable");
        let v3 = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
        assert_eq!(show("/openapi/v3", "", Some(v3)), "not acceptable");
        assert_eq!(
            show(
                "/openapi/v3",
                "",
                Some("application/com.github.proto-openapi.spec.v3.v1.0+protobuf, application/json")
            ),
            "index"
        );
    }

    #[test]
    fn before_the_first_build_nothing_is_missing_for_good() {
        let empty = OpenApiDocuments::default();
        assert!(matches!(empty.answer("/openapi/v2", "", None), OpenApiAnswer::NotReady));
        assert!(matches!(empty.answer("/openapi/v3", "", None), OpenApiAnswer::NotReady));
    }
}
