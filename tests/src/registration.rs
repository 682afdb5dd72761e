//! Registering a backend at a running gateway.

use super::authority::Authority;
use super::client::Client;
use anyhow::Result;
use base64::Engine as _;
use serde_json::{Value, json};

/// Makes `default/backend` a name of loopback, and registers `v1.<group>` at one of its ports.
///
/// # Errors
/// When one of them exists already.
pub async fn register_backend(admin: &Client, ca: &Authority, group: &str, port: u16) -> Result<()> {
    let name = json!({"apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
        "metadata": {"name": "backend", "namespace": "default"}, "spec": {"host": "127.0.0.1"}});
    let names = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
    admin.post(names, &name).await?.expect(201)?;
    let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "caBundle": base64::engine::general_purpose::STANDARD.encode(&ca.pem),
            "service": {"namespace": "default", "name": "backend", "port": port}}});
    admin.post("/apis/apiregistration.k8s.io/v1/apiservices", &service).await?.expect(201)?;
    Ok(())
}

/// The resources of `<group>/v1`: `things`, which have a namespace.
pub fn resource_list(group: &str) -> Value {
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/v1"),
        "resources": [{"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing",
            "verbs": ["create", "get", "list"]}]})
}
