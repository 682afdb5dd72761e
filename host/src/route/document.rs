//! Documents served as they lie: serialised and compressed once per change.

use super::OpenApiDocuments;
use bytes::Bytes;
use http::HeaderValue;
use std::collections::HashMap;
use std::sync::Arc;

/// One prepared body.
#[derive(Clone, Debug)]
pub struct Document {
    /// `Content-Type`.
    pub content_type: HeaderValue,
    /// Quoted entity tag, where clients compare one.
    pub etag: Option<HeaderValue>,
    /// The bytes.
    pub identity: Bytes,
    /// The bytes with gzip, where that is smaller and worth it.
    pub gzip: Option<Bytes>,
}

/// The prepared documents of one snapshot.
#[derive(Clone, Debug, Default)]
pub struct DocumentSet {
    /// `/apis` in legacy form (`APIGroupList`).
    pub groups_json: Option<Document>,
    /// The same in YAML.
    pub groups_yaml: Option<Document>,
    /// `/apis` in aggregated form, `apidiscovery.k8s.io/v2`.
    pub aggregated_v2: Option<Document>,
    /// `/apis` in aggregated form, `apidiscovery.k8s.io/v2beta1`.
    pub aggregated_v2beta1: Option<Document>,
    /// `/apis/<g>` by group (`APIGroup`): JSON, YAML.
    pub group: HashMap<Arc<str>, Arc<(Document, Document)>>,
    /// Everything below `/openapi/`; rebuilt apart from the rest, so it is shared.
    pub openapi: Arc<OpenApiDocuments>,
}
