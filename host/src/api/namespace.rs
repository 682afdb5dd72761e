//! `GET /api/v1/namespaces/<name>`, for kubectl.
//!
//! Before kubectl reports that an object was not found, it asks whether the object's namespace exists, and reports a
//! 404 of that request in place of the first one. The gateway has no Namespace objects: a namespace exists as soon as
//! an object names it. So every valid name is answered with a Namespace. Discovery does not list the core group, and
//! an APIService `v1.` gets these requests instead.

use crate::model::failure::Failure;
use crate::model::request_info::{RequestInfo, ResourceTarget};
use crate::object::names::dns1123_label;
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

/// The namespace; 404 when it has a name that no namespace can have.
pub fn read(name: &str) -> Result<Value, Failure> {
    if !dns1123_label(name).is_empty() {
        return Err(Failure::not_found("", "namespaces", name));
    }
    Ok(json!({
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "spec": {},
        "status": {"phase": "Active"},
    }))
}
