//! The group-versions that Umbel serves itself, as discovery shows them.

use crate::kind::{self, Kind};
use crate::merge::discovery::{Known, Registration, Resource, ResponseKind, Subresource};
use std::sync::Arc;

/// Before every group that an APIService can ask for (contract §3.6).
const FIRST: i32 = 20_001;
/// After every group that an APIService can ask for, so that users' groups keep their places.
const LAST: i32 = 0;
/// Priority of the only version of an own group.
const VERSION_PRIORITY: i32 = 1;

/// One registration per own group-version.
pub(super) fn own_registrations() -> Vec<Registration> {
    let mut registrations: Vec<Registration> = Vec::new();
    for kind in kind::ALL {
        let group_version = kind.group_version();
        if registrations.iter().any(|r| r.group_version == group_version) {
            continue;
        }
        let of_group = kind::ALL.into_iter().filter(|other| other.group_version() == group_version);
        let resources = of_group.map(describe).collect();
        registrations.push(Registration {
            name: format!("{}.{}", group_version.version, group_version.group),
            group_priority: if kind.group == kind::api_service::KIND.group { FIRST } else { LAST },
            version_priority: VERSION_PRIORITY,
            group_version,
            known: Known::Resources { last: Some(Arc::new(resources)), fresh: true },
        });
    }
    registrations
}

/// The kind as a resource. Group and version of what it returns are left empty, which means "as the list", as
/// upstream does for its own kinds (contract §3.6).
fn describe(kind: &Kind) -> Resource {
    let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    let response_kind = ResponseKind { kind: kind.kind.to_owned(), ..ResponseKind::default() };
    let status = kind.has_status.then(|| Subresource {
        subresource: "status".to_owned(),
        response_kind: Some(response_kind.clone()),
        accepted_types: Vec::new(),
        verbs: owned(&["get", "patch", "update"]),
    });
    Resource {
        resource: kind.plural.to_owned(),
        scope: if kind.is_namespaced() { "Namespaced" } else { "Cluster" }.to_owned(),
        singular_resource: kind.singular.to_owned(),
        verbs: owned(kind.verbs),
        short_names: owned(kind.short_names),
        categories: owned(kind.categories),
        subresources: status.into_iter().collect(),
        response_kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_own_kinds_look_as_upstream_shows_them() {
        let own = own_registrations();
        let Known::Resources { last: Some(resources), .. } = &own[0].known else { panic!("{own:?}") };
        let kind = json!({"group": "", "version": "", "kind": "APIService"});
        assert_eq!(
            serde_json::to_value(&resources[0]).unwrap(),
            json!({"resource": "apiservices", "responseKind": kind, "scope": "Cluster",
                "singularResource": "apiservice", "categories": ["api-extensions"],
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                "subresources": [{"subresource": "status", "responseKind": kind,
                    "verbs": ["get", "patch", "update"]}]})
        );
        assert!(own.iter().skip(1).all(|r| r.group_priority < 1));
    }
}
