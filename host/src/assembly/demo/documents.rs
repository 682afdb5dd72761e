//! Discovery and OpenAPI of a sample API server: built once, because its kinds never change.

use crate::kind::Kind;
use crate::merge::openapi::OwnDocuments;
use crate::route::{OpenApiAnswer, OpenApiDocuments};
use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Value, json};

/// `Content-Type` of the aggregated form.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const JSON: &str = "application/json";

/// The documents of one kind's server.
#[derive(Debug)]
pub(super) struct Documents {
    groups: Bytes,
    aggregated: Bytes,
    openapi: OpenApiDocuments,
}

impl Documents {
    pub(super) fn new(kind: &'static Kind) -> Self {
        Self {
            groups: encode(&groups(kind)),
            aggregated: encode(&aggregated(kind)),
            openapi: OwnDocuments::new(&[kind]).unite([], []),
        }
    }

    /// The document at a path, with its type; `accept` tells which form the client reads.
    pub(super) fn find(&self, path: &str, query: &str, accept: &str) -> Option<(HeaderValue, Bytes)> {
        if path == "/apis" || path == "/apis/" {
            let reads_aggregated = accept.contains("g=apidiscovery.k8s.io;v=v2;");
            return Some(match reads_aggregated {
                true => (HeaderValue::from_static(AGGREGATED), self.aggregated.clone()),
                false => (HeaderValue::from_static(JSON), self.groups.clone()),
            });
        }
        if !path.starts_with("/openapi/") {
            return None;
        }
        let accept = Some(accept).filter(|accept| !accept.is_empty());
        match self.openapi.answer(path, query, accept) {
            OpenApiAnswer::Fresh(document) | OpenApiAnswer::Immutable(document) => {
                Some((document.content_type.clone(), document.identity.clone()))
            }
            _ => None,
        }
    }
}

fn encode(value: &Value) -> Bytes {
    value.to_string().into()
}

fn groups(kind: &Kind) -> Value {
    let version = json!({"groupVersion": kind.api_version(), "version": kind.version});
    json!({
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": kind.group, "versions": [version], "preferredVersion": version}],
    })
}

fn aggregated(kind: &Kind) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [{
            "metadata": {"name": kind.group},
            "versions": [{
                "version": kind.version,
                "freshness": "Current",
                "resources": [{
                    "resource": kind.plural,
                    "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
                    "scope": "Namespaced",
                    "singularResource": kind.singular,
                    "verbs": kind.verbs,
                }],
            }],
        }],
    })
}
