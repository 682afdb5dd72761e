//! `PartialObjectMetadata`: objects without their content.

use serde_json::{Value, json};

use crate::model::object::Object;

/// The metadata of one object as `meta.k8s.io/<version>` PartialObjectMetadata.
pub fn partial_object(object: &Object, version: &str) -> Value {
    json!({
        "apiVersion": format!("meta.k8s.io/{version}"),
        "kind": "PartialObjectMetadata",
        "metadata": object.at(&["metadata"]).cloned().unwrap_or_else(|| json!({})),
    })
}

/// A list as PartialObjectMetadataList; `list_metadata` is the ListMeta (`resourceVersion`, `continue`,
/// `remainingItemCount`). The items name their kind, unlike those of a plain list.
pub fn partial_list<'a>(
    objects: impl IntoIterator<Item = &'a Object>,
    list_metadata: Value,
    version: &str,
) -> Value {
    let items: Vec<Value> = objects.into_iter().map(|o| partial_object(o, version)).collect();
    json!({
        "apiVersion": format!("meta.k8s.io/{version}"),
        "kind": "PartialObjectMetadataList",
        "metadata": list_metadata,
        "items": items,
    })
}
