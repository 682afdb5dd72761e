//! `/`, `/version`, and the documents of the own groups (contract §3.2, §3.3, §7.5).

use super::readiness::{self, Readiness};
use crate::kind::Kind;
use crate::model::group_version::compare_preference;
use crate::route::Snapshot;
use serde_json::{Value, json};

/// The paths that are served, sorted, as `GET /` lists them.
pub fn paths(kinds: &[&Kind], snapshot: &Snapshot, readiness: &Readiness) -> Value {
    let fixed = ["/apis", "/metrics", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/version"];
    let mut paths: Vec<String> = fixed.map(str::to_owned).into();
    paths.extend(readiness::paths(readiness));
    for kind in kinds {
        paths.push(format!("/apis/{}", kind.group));
        paths.push(format!("/apis/{}/{}", kind.group, kind.version));
    }
    for (group, routes) in snapshot.routes.iter().filter(|(group, _)| !group.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(routes.iter().map(|r| format!("/apis/{group}/{}", r.group_version.version)));
    }
    paths.sort();
    paths.dedup();
    json!({ "paths": paths })
}

/// What `kubectl version` reads. The numbers say which Kubernetes API rules are spoken; what follows the `+` is
/// the version of Umbel.
pub fn version() -> Value {
    json!({
        "major": "1",
        "minor": "37",
        "gitVersion": concat!("v1.37.0+umbel-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, go_architecture()),
    })
}

fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `APIGroup` of an own group.
pub fn group(kinds: &[&Kind], name: &str) -> Option<Value> {
    let mut versions: Vec<&str> = kinds.iter().filter(|k| k.group == name).map(|k| k.version).collect();
    versions.sort_by(|a, b| compare_preference(a, b));
    versions.dedup();
    let entry = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let preferred = versions.first().map(entry)?;
    Some(json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": versions.iter().map(entry).collect::<Vec<_>>(),
        "preferredVersion": preferred,
    }))
}

/// `APIResourceList` of an own group-version.
pub fn resources(kinds: &[&Kind], group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<&&Kind> =
        kinds.iter().filter(|kind| kind.group == group && kind.version == version).collect();
    if kinds.is_empty() {
        return None;
    }
    let mut resources = Vec::new();
    for kind in kinds {
        let mut resource = json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.is_namespaced(),
            "kind": kind.kind,
            "verbs": kind.verbs,
        });
        for (field, values) in [("shortNames", kind.short_names), ("categories", kind.categories)] {
            if let (Some(resource), false) = (resource.as_object_mut(), values.is_empty()) {
                resource.insert(field.to_owned(), json!(values));
            }
        }
        resources.push(resource);
        if kind.has_status {
            resources.push(json!({
                "name": format!("{}/status", kind.plural),
                "singularName": "",
                "namespaced": kind.is_namespaced(),
                "kind": kind.kind,
                "verbs": ["get", "patch", "update"],
            }));
        }
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{group}/{version}"),
        "resources": resources,
    }))
}
