//! OpenAPI documents as bytes, ready to be served.

use super::combine::combine;
use super::convert::convert_to_v3;
use super::fault::OpenApiFault;
use super::filter::{OwnKinds, keep_group_versions, select};
use super::json::Json;
use super::naming::{rename_components, rename_parts};
use super::output::Overflow;
use super::own::own_document;
use super::parts::Parts;
use super::protobuf::encode_v2;
use super::version2::own_document_v2;
use crate::kind::Kind;
use crate::merge::discovery::compress;
use crate::model::group_version::GroupVersion;
use crate::route::{Document, HashedDocument, OPENAPI_V2_PROTOBUF, OpenApiDocuments, OpenApiV2};
use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Map, json};
use sha2::{Digest, Sha512};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The documents of the own kinds, computed once.
#[derive(Debug)]
pub struct OwnDocuments {
    v3: BTreeMap<GroupVersion, HashedDocument>,
    v2: Bytes,
}

impl OwnDocuments {
    /// Makes the documents of all group-versions of `kinds`.
    pub fn new(kinds: &[&'static Kind]) -> Self {
        let mut groups: BTreeMap<GroupVersion, Vec<&'static Kind>> = BTreeMap::new();
        for kind in kinds {
            groups.entry(kind.group_version()).or_default().push(kind);
        }
        let (mut v3, mut texts) = (BTreeMap::new(), Vec::new());
        for (group_version, kinds) in groups {
            let document = own_document(&kinds);
            texts.push(own_document_v2(&document).to_string());
            v3.insert(group_version, prepare_v3(document.to_string().into()));
        }
        let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        Self { v3, v2: write(&unite_v2(&texts)).into() }
    }

    /// Whether Umbel serves the group-version itself, so that no backend may describe it.
    pub fn serves(&self, group_version: &GroupVersion) -> bool {
        self.v3.contains_key(group_version)
    }

    /// All documents together: the own ones, those of backends by group-version, and the prepared OpenAPI v2
    /// documents of backends in the order in which conflicts are decided.
    pub fn unite<'a>(
        &'a self,
        backends: impl IntoIterator<Item = (&'a GroupVersion, &'a HashedDocument)>,
        backends_v2: impl IntoIterator<Item = &'a Bytes>,
    ) -> OpenApiDocuments {
        let mut by_key: BTreeMap<String, &HashedDocument> = BTreeMap::new();
        for (group_version, document) in backends.into_iter().chain(&self.v3) {
            by_key.insert(format!("apis/{group_version}"), document);
        }
        let paths: Map<_, _> = by_key
            .iter()
            .map(|(key, found)| {
                let url = format!("/openapi/v3/{key}?hash={}", found.hash);
                (key.clone(), json!({"serverRelativeURL": url}))
            })
            .collect();
        let index = prepare_v3(json!({"paths": paths}).to_string().into());
        let texts: Vec<&[u8]> =
            std::iter::once(&self.v2).chain(backends_v2).map(|text| text.as_ref()).collect();
        OpenApiDocuments {
            index: Some(index.document),
            by_key: by_key.into_iter().map(|(key, found)| (key, found.clone())).collect(),
            v2: Some(prepare_v2(&unite_v2(&texts))),
        }
    }
}

/// Merges documents that were prepared before; a broken one has no parts.
fn unite_v2<'a>(texts: &[&'a [u8]]) -> Parts<'a> {
    let mut united = Parts::default();
    united.head.insert("swagger".into(), r#""2.0""#.into());
    for text in texts {
        let mut parts = Parts::of(Json::part(std::str::from_utf8(text).unwrap_or_default()));
        if let Some(info) = parts.head.remove("info") {
            united.head.entry("info".into()).or_insert(info);
        }
        // Only a limit could end this early, and there is none here.
        let _: Result<(), Overflow> = combine(&mut united, parts);
    }
    united
}

/// Without a limit nothing can overflow.
fn write(parts: &Parts<'_>) -> Vec<u8> {
    parts.write(usize::MAX).unwrap_or_default()
}

/// Gives a JSON document its hash, entity tag and compressed form.
pub fn prepare_v3(json: Bytes) -> HashedDocument {
    let hash = hash(&json);
    HashedDocument { document: document("application/json", &hash, json), hash }
}

/// Checks a backend's OpenAPI v3 document, and gives it names that clients can resolve. Otherwise it is not changed.
///
/// # Errors
/// When it is not such a document, or is larger than `max` afterwards.
pub fn prepare_backend_v3(body: Bytes, max: usize) -> Result<HashedDocument, OpenApiFault> {
    let document = read(&body)?;
    check_version(document, "openapi", "3", |version| version.starts_with("3."))?;
    if !document.get("paths").is_some_and(Json::is_object) {
        return Err(OpenApiFault::Unreadable("it has no \"paths\"".to_owned()));
    }
    let too_large = |Overflow| OpenApiFault::TooLarge { what: "the document with its names replaced", max };
    let renamed = rename_components(document, max).map_err(too_large)?;
    Ok(prepare_v3(renamed.map_or(body, Bytes::from)))
}

/// A backend's OpenAPI v2 document, restricted to its group-versions, with names that clients can resolve.
///
/// # Errors
/// When it is not such a document, or is larger than `max` afterwards.
pub fn prepare_backend_v2(
    body: &[u8],
    kept: &BTreeSet<GroupVersion>,
    max: usize,
) -> Result<Bytes, OpenApiFault> {
    let document = read(body)?;
    check_version(document, "swagger", "2.0", |version| version == "2.0")?;
    let mut parts = Parts::of(document);
    keep_group_versions(&mut parts, kept);
    let too_large = |Overflow| OpenApiFault::TooLarge { what: "the document with its names replaced", max };
    rename_parts(&mut parts).map_err(too_large)?;
    Ok(parts.write(max).map_err(too_large)?.into())
}

/// The OpenAPI v3 documents for the group-versions of a backend without OpenAPI v3, converted from its v2 document as
/// [`prepare_backend_v2`] has returned it for `kept`.
///
/// # Errors
/// When one of them is larger than `max`, or all of them together than `max_in_all`.
pub fn convert_backend_v2(
    v2: &[u8],
    kept: &BTreeSet<GroupVersion>,
    max: usize,
    max_in_all: usize,
) -> Result<BTreeMap<GroupVersion, HashedDocument>, OpenApiFault> {
    let parts = Parts::of(Json::part(std::str::from_utf8(v2).unwrap_or_default()));
    let own = OwnKinds::of(&parts, kept);
    let mut converted = BTreeMap::new();
    let mut left = max_in_all;
    for (at, group_version) in kept.iter().enumerate() {
        let selection = select(&parts, &own, &[(at, group_version)]);
        let document = convert_to_v3(&parts, &selection, max.min(left)).map_err(|Overflow| {
            let (what, max) = if left < max {
                ("its OpenAPI v2 document, converted to one v3 document for each group-version,", max_in_all)
            } else {
                ("its OpenAPI v2 document, converted to v3,", max)
            };
            OpenApiFault::TooLarge { what, max }
        })?;
        left -= document.len().min(left);
        converted.insert(group_version.clone(), prepare_v3(document.into()));
    }
    Ok(converted)
}

fn read(body: &[u8]) -> Result<Json<'_>, OpenApiFault> {
    Json::check(body).map_err(|error| OpenApiFault::Unreadable(error.to_string()))
}

fn check_version(
    document: Json<'_>,
    key: &str,
    wanted: &'static str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), OpenApiFault> {
    match document.get(key).and_then(Json::string) {
        Some(version) if is_wanted(&version) => Ok(()),
        Some(version) => {
            Err(OpenApiFault::WrongVersion { found: version.chars().take(40).collect(), wanted })
        }
        None => Err(OpenApiFault::Unreadable(format!("it has no {key:?}"))),
    }
}

fn prepare_v2(parts: &Parts<'_>) -> OpenApiV2 {
    let protobuf = Bytes::from(encode_v2(parts));
    let json = Bytes::from(write(parts));
    OpenApiV2 {
        json: document("application/json", &hash(&json), json),
        protobuf: document(OPENAPI_V2_PROTOBUF, &hash(&protobuf), protobuf),
    }
}

fn document(content_type: &'static str, hash: &str, identity: Bytes) -> Document {
    compress(Document {
        content_type: HeaderValue::from_static(content_type),
        etag: HeaderValue::try_from(format!("\"{hash}\"")).ok(),
        identity,
        gzip: None,
    })
}

/// SHA-512 in upper-case hexadecimal (contract §4.2).
fn hash(bytes: &[u8]) -> String {
    Sha512::digest(bytes).iter().fold(String::with_capacity(128), |mut text, byte| {
        // Writing to a string cannot fail.
        let _: std::fmt::Result = write!(text, "{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind;
    use serde_json::Value;

    #[test]
    fn the_index_names_each_document_by_its_hash() {
        let own = OwnDocuments::new(&kind::ALL);
        let (other, taken) =
            (GroupVersion::new("b.example.com", "v1"), kind::api_service::KIND.group_version());
        let backend = prepare_v3(Bytes::from_static(b"{\"openapi\":\"3.0.0\"}"));
        let all = own.unite([(&other, &backend), (&taken, &backend)], []);
        let index: Value = serde_json::from_slice(&all.index.unwrap().identity).unwrap();
        let keys: Vec<_> = index["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            keys,
            [
                "apis/apiregistration.k8s.io/v1",
                "apis/b.example.com/v1",
                "apis/events.k8s.io/v1",
                "apis/plugins.umbel.dev/v1alpha1",
                "apis/service.grafana.app/v0alpha1"
            ]
        );
        for key in keys {
            let found = &all.by_key[&key];
            let url = format!("/openapi/v3/{key}?hash={}", found.hash);
            assert_eq!(index["paths"][&key]["serverRelativeURL"], url);
            assert_eq!(
                found.document.etag.as_ref().unwrap().to_str().unwrap(),
                format!("\"{}\"", found.hash)
            );
            assert_eq!(found.hash.len(), 128);
        }
        let own_bytes = &all.by_key["apis/apiregistration.k8s.io/v1"].document;
        assert!(own_bytes.identity.len() > 10_000, "the own kind's document must not be a backend's");
        assert!(own_bytes.gzip.as_ref().unwrap().len() * 4 < own_bytes.identity.len());
    }

    #[test]
    fn version_2_holds_the_paths_of_all() {
        let own = OwnDocuments::new(&kind::ALL);
        let v2 = Bytes::from_static(br#"{"swagger":"2.0","paths":{"/apis/b.example.com/v1/things":{}}}"#);
        let all = own.unite([], [&v2, &Bytes::from_static(b"broken")]).v2.unwrap();
        let json: Value = serde_json::from_slice(&all.json.identity).unwrap();
        assert_eq!(json["swagger"], "2.0");
        for path in ["/apis/b.example.com/v1/things", "/apis/apiregistration.k8s.io/v1/apiservices"] {
            assert!(json["paths"].get(path).is_some(), "{path}");
        }
        assert_ne!(all.json.etag, all.protobuf.etag);
        assert_eq!(all.protobuf.content_type, OPENAPI_V2_PROTOBUF);
    }

    #[test]
    fn a_v3_document_stays_as_it_came_or_is_refused() {
        let body = Bytes::from_static(br#" { "openapi" : "3.1.0", "paths" : {} , "x": "\u00e9" } "#);
        let found = prepare_backend_v3(body.clone(), 10).unwrap();
        assert_eq!(found.document.identity, body);
        assert_eq!(found.hash, hash(&body));
        for (text, wanted) in [
            (r#"{"openapi": "2.0", "paths": {}}"#, "says that it is OpenAPI \"2.0\", not 3"),
            (r#"{"paths": {}}"#, "it has no \"openapi\""),
            (r#"{"openapi": "3.0.0"}"#, "it has no \"paths\""),
            (r#"{"openapi": "3.0.0", "paths": []}"#, "it has no \"paths\""),
            ("{", "EOF"),
            ("[]", "it has no \"openapi\""),
        ] {
            let fault = prepare_backend_v3(Bytes::from_static(text.as_bytes()), 100).unwrap_err().to_string();
            assert!(fault.contains(wanted), "{text}: {fault}");
        }
        let renamed =
            Bytes::from_static(br#"{"openapi":"3.0.0","paths":{},"components":{"schemas":{"a/b":{}}}}"#);
        let found = prepare_backend_v3(renamed.clone(), 1000).unwrap();
        assert!(found.document.identity.ends_with(br#"{"schemas":{"a.b":{}}}}"#));
        assert_eq!(found.hash, hash(&found.document.identity));
        let fault = prepare_backend_v3(renamed, 20).unwrap_err().to_string();
        assert!(fault.contains("larger than 20 bytes"), "{fault}");
    }

    #[test]
    fn a_v2_document_is_kept_to_what_was_asked_for_and_converted() {
        let kept: BTreeSet<GroupVersion> =
            ["a.com", "b.com"].map(|group| GroupVersion::new(group, "v1")).into();
        let body = br##"{"swagger":"2.0","info":{"title":"t","version":"1"},
            "paths":{"/apis/a.com/v1/x":{"get":{"responses":{"200":{"schema":{"$ref":"#/definitions/a~1b"}}}}},"/apis/c.com/v1/x":{}},
            "definitions":{"a/b":{"type":"object"},"B":{"x-kubernetes-group-version-kind":[{"group":"b.com","version":"v1"}]},"C":{}}}"##;
        let v2 = prepare_backend_v2(body, &kept, 1000).unwrap();
        let text = String::from_utf8(v2.to_vec()).unwrap();
        assert!(text.contains("a.b") && text.contains("\"B\""), "{text}");
        assert!(!text.contains("c.com") && !text.contains("\"C\""), "{text}");
        let fault = prepare_backend_v2(body, &kept, 100).unwrap_err().to_string();
        assert!(fault.contains("larger than 100 bytes"), "{fault}");
        let converted = convert_backend_v2(&v2, &kept, 1000, 2000).unwrap();
        let of = |group: &str| -> Value {
            let found = &converted[&GroupVersion::new(group, "v1")];
            assert_eq!(found.hash, hash(&found.document.identity));
            serde_json::from_slice(&found.document.identity).unwrap()
        };
        assert_eq!(of("a.com")["components"]["schemas"], json!({"a.b": {"type": "object"}}));
        assert_eq!(of("a.com")["info"], json!({"title": "t", "version": "1"}));
        assert_eq!(of("b.com")["paths"], json!({}));
        assert!(of("b.com")["components"]["schemas"].get("B").is_some());
        let sizes: Vec<usize> = converted.values().map(|found| found.document.identity.len()).collect();
        let all: usize = sizes.iter().sum();
        assert!(convert_backend_v2(&v2, &kept, 1000, all).is_ok());
        let fault = convert_backend_v2(&v2, &kept, 1000, all - 1).unwrap_err().to_string();
        assert!(
            fault.contains("for each group-version") && fault.contains(&(all - 1).to_string()),
            "{fault}"
        );
        let max = sizes.iter().max().unwrap() - 1;
        let fault = convert_backend_v2(&v2, &kept, max, 10 * all).unwrap_err().to_string();
        assert!(
            fault.contains("converted to v3, is larger than") && fault.contains(&max.to_string()),
            "{fault}"
        );
        for (text, wanted) in
            [(r#"{"swagger":"1.2"}"#, "\"1.2\", not 2.0"), ("{}", "no \"swagger\""), ("", "EOF")]
        {
            let fault = prepare_backend_v2(text.as_bytes(), &kept, 100).unwrap_err().to_string();
            assert!(fault.contains(wanted), "{text}: {fault}");
        }
    }
}
