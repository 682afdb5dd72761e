//! `GET /api/v1/namespaces/<name>`, for kubectl.
//!
//! Before kubectl reports that an object was not found, it asks whether the object's namespace exists, and reports a
//! 404 of that request in place of the first one. The gateway has no Namespace objects: a namespace exists as soon as
//! an object names it. So every name is answered with a Namespace. Discovery does not list the core group, and
//! an APIService `v1.` gets these requests instead.

use crate::model::request_info::{RequestInfo, ResourceTarget};
use http::Method;
use serde_json::{Value, json};

/// The name of the namespace that a request reads; `None` for every other request.
pub fn asked_for<'a>(info: &RequestInfo, target: &'a ResourceTarget, method: &Method) -> Option<&'a str> {
    let is_namespace = target.group.is_empty()
        && target.version == "v1"
        && target.resource == "namespaces"
        && target.subresource.is_empty();
    (is_namespace && method == Method::GET && info.verb == "get").then_some(&target.name)
}

/// The namespace, even when no namespace can have its name: kubectl would report that the namespace is not found, and
/// not the object.
pub fn read(name: &str) -> Value {
    json!({
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "spec": {},
        "status": {"phase": "Active"},
    })
}
