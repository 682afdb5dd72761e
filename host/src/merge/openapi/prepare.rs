//! OpenAPI documents as bytes, ready to be served.

use super::combine::combine;
use super::filter::keep_group_versions;
use super::own::own_document;
use super::protobuf::encode_v2;
use super::version2::own_document_v2;
use crate::kind::Kind;
use crate::merge::discovery::compress;
use crate::model::group_version::GroupVersion;
use crate::route::{Document, HashedDocument, OPENAPI_V2_PROTOBUF, OpenApiDocuments, OpenApiV2};
use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The documents of the own kinds, computed once.
#[derive(Debug)]
pub struct OwnDocuments {
    v3: BTreeMap<GroupVersion, HashedDocument>,
    v2: Value,
}

impl OwnDocuments {
    /// Makes the documents of all group-versions of `kinds`.
    pub fn new(kinds: &[&'static Kind]) -> Self {
        let mut groups: BTreeMap<GroupVersion, Vec<&'static Kind>> = BTreeMap::new();
        for kind in kinds {
            groups.entry(kind.group_version()).or_default().push(kind);
        }
        let mut own = Self { v3: BTreeMap::new(), v2: json!({"swagger": "2.0", "info": {}}) };
        for (group_version, kinds) in groups {
            let document = own_document(&kinds);
            let v2 = own_document_v2(&document);
            own.v2["info"] = v2["info"].clone();
            combine(&mut own.v2, v2);
            own.v3.insert(group_version, prepare_v3(document.to_string().into()));
        }
        own
    }

    /// Whether Umbel serves the group-version itself, so that no backend may describe it.
    pub fn serves(&self, group_version: &GroupVersion) -> bool {
        self.v3.contains_key(group_version)
    }

    /// All documents together: the own ones, those of backends by group-version, and the filtered OpenAPI v2
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
        let mut v2 = self.v2.clone();
        for bytes in backends_v2 {
            if let Ok(document) = serde_json::from_slice(bytes) {
                combine(&mut v2, document);
            }
        }
        OpenApiDocuments {
            index: Some(index.document),
            by_key: by_key.into_iter().map(|(key, found)| (key, found.clone())).collect(),
            v2: Some(prepare_v2(&v2)),
        }
    }
}

/// Gives a JSON document its hash, entity tag and compressed form.
pub fn prepare_v3(json: Bytes) -> HashedDocument {
    let hash = hash(&json);
    HashedDocument { document: document("application/json", &hash, json), hash }
}

/// A backend's OpenAPI v2 document, kept to its group-versions and serialised again.
pub fn prepare_backend_v2(mut document: Value, kept: &BTreeSet<GroupVersion>) -> Bytes {
    keep_group_versions(&mut document, kept);
    document.to_string().into()
}

fn prepare_v2(value: &Value) -> OpenApiV2 {
    let (json, protobuf) = (Bytes::from(value.to_string()), Bytes::from(encode_v2(value)));
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
        for path in ["/apis/b.example.com/v1/things", "/apis/apiregistration.k8s.io/v1/apiservices"] {
            assert!(json["paths"].get(path).is_some(), "{path}");
        }
        assert_ne!(all.json.etag, all.protobuf.etag);
        assert_eq!(all.protobuf.content_type, OPENAPI_V2_PROTOBUF);
    }
}
