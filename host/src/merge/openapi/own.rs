//! The OpenAPI v3 document of a group-version that Umbel serves itself.

use super::definition::{Definitions, REFERENCE};
use super::meta;
use super::operation::{Naming, Paths};
use crate::kind::Kind;
use crate::kind::object_meta;
use crate::model::schema::Record;
use serde_json::{Map, Value, json};

/// The document of the group-version of `kinds`, which all share it (contract §4.2).
pub(super) fn own_document(kinds: &[&'static Kind]) -> Value {
    let mut paths = Map::new();
    let mut definitions = Definitions::default();
    if let Some(first) = kinds.first() {
        let naming = Naming::new(first.group, first.version);
        paths.insert(format!("/apis/{}/{}/", first.group, first.version), naming.resources());
        add_meta(&mut definitions, first);
        for kind in kinds {
            let Some(schema) = kind.schema.as_record() else { continue };
            Paths { kind, definition: schema.definition, naming: &naming }.add_to(&mut paths);
            add_kind(&mut definitions, kind, schema);
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Umbel", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": definitions.0},
    })
}

pub(super) fn list_definition(definition: &str) -> String {
    format!("{definition}List")
}

fn add_meta(definitions: &mut Definitions, own: &Kind) {
    for record in [
        &meta::API_RESOURCE_LIST,
        &meta::DELETE_OPTIONS,
        &meta::LIST_META,
        &meta::PATCH,
        &meta::STATUS,
        &meta::WATCH_EVENT,
    ] {
        definitions.add(record);
    }
    for record in [&meta::API_RESOURCE_LIST, &meta::DELETE_OPTIONS, &meta::STATUS, &meta::WATCH_EVENT] {
        let kind = record.definition.rsplit('.').next().unwrap_or_default();
        definitions.name_kind(record.definition, "", "v1", kind);
    }
    for record in [&meta::DELETE_OPTIONS, &meta::WATCH_EVENT] {
        let kind = record.definition.rsplit('.').next().unwrap_or_default();
        definitions.name_kind(record.definition, own.group, own.version, kind);
    }
}

fn add_kind(definitions: &mut Definitions, kind: &Kind, schema: &'static Record) {
    definitions.add(schema);
    definitions.name_kind(schema.definition, kind.group, kind.version, kind.kind);
    let item = format!("{REFERENCE}{}", schema.definition);
    let list_meta = format!("{REFERENCE}{}", meta::LIST_META.definition);
    let list = json!({
        "description": format!("A list of objects of kind {}.", kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"description": object_meta::API_VERSION.description, "type": "string"},
            "items": {
                "description": "The objects.",
                "type": "array",
                "items": {"allOf": [{"$ref": item}], "default": {}},
            },
            "kind": {"description": object_meta::KIND.description, "type": "string"},
            "metadata": {
                "description": "What the list says about itself.",
                "allOf": [{"$ref": list_meta}],
                "default": {},
            },
        },
    });
    let name = list_definition(schema.definition);
    definitions.0.insert(name.clone(), list);
    definitions.name_kind(&name, kind.group, kind.version, kind.list_kind);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{api_service, external_name};
    use crate::merge::openapi::json::Json;
    use crate::merge::openapi::section;
    use crate::merge::openapi::version2::own_document_v2;

    fn operations(document: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap().iter().filter(|(m, _)| *m != "parameters") {
                let text = |key: &str| operation[key].as_str().unwrap_or("-").to_owned();
                lines.push(format!(
                    "{method} {path} {} {}",
                    text("operationId"),
                    text("x-kubernetes-action")
                ));
            }
        }
        lines
    }

    #[test]
    fn the_paths_of_a_cluster_scoped_kind_with_a_status_are_upstreams() {
        let at = "/apis/apiregistration.k8s.io/v1";
        let wanted = [
            format!("get {at}/ getApiregistrationV1APIResources -"),
            format!("delete {at}/apiservices deleteApiregistrationV1CollectionAPIService deletecollection"),
            format!("get {at}/apiservices listApiregistrationV1APIService list"),
            format!("post {at}/apiservices createApiregistrationV1APIService post"),
            format!("delete {at}/apiservices/{{name}} deleteApiregistrationV1APIService delete"),
            format!("get {at}/apiservices/{{name}} readApiregistrationV1APIService get"),
            format!("patch {at}/apiservices/{{name}} patchApiregistrationV1APIService patch"),
            format!("put {at}/apiservices/{{name}} replaceApiregistrationV1APIService put"),
            format!("get {at}/apiservices/{{name}}/status readApiregistrationV1APIServiceStatus get"),
            format!("patch {at}/apiservices/{{name}}/status patchApiregistrationV1APIServiceStatus patch"),
            format!("put {at}/apiservices/{{name}}/status replaceApiregistrationV1APIServiceStatus put"),
            format!("get {at}/watch/apiservices watchApiregistrationV1APIServiceList watchlist"),
            format!("get {at}/watch/apiservices/{{name}} watchApiregistrationV1APIService watch"),
        ];
        assert_eq!(operations(&own_document(&[&api_service::KIND])), wanted);
    }

    #[test]
    fn a_namespaced_kind_can_be_listed_in_one_and_in_all_namespaces() {
        let shown = operations(&own_document(&[&external_name::KIND]));
        let at = "/apis/service.grafana.app/v0alpha1";
        for wanted in [
            format!("get {at}/externalnames listServiceGrafanaAppV0alpha1ExternalNameForAllNamespaces list"),
            format!(
                "get {at}/namespaces/{{namespace}}/externalnames listServiceGrafanaAppV0alpha1NamespacedExternalName list"
            ),
            format!(
                "delete {at}/namespaces/{{namespace}}/externalnames deleteServiceGrafanaAppV0alpha1CollectionNamespacedExternalName deletecollection"
            ),
            format!(
                "get {at}/watch/externalnames watchServiceGrafanaAppV0alpha1ExternalNameListForAllNamespaces watchlist"
            ),
        ] {
            assert!(shown.contains(&wanted), "{wanted} in {shown:#?}");
        }
    }

    fn each_reference(document: &Value, prefix: &str, visit: &mut dyn FnMut(&str)) {
        section::each_reference(Json::part(&document.to_string()), &mut |target| {
            if let Some(name) = target.strip_prefix(prefix) {
                visit(name);
            }
        });
    }

    #[test]
    fn every_reference_leads_somewhere_in_both_versions() {
        let document = own_document(&[&api_service::KIND]);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut seen = 0;
        each_reference(&document, REFERENCE, &mut |name| {
            seen += 1;
            assert!(schemas.contains_key(name), "{name}");
        });
        let mut in_v2 = 0;
        let v2 = own_document_v2(&document);
        each_reference(&v2, "#/definitions/", &mut |name| {
            in_v2 += 1;
            assert!(v2["definitions"].get(name).is_some(), "{name}");
        });
        assert!(seen > in_v2 && in_v2 > 40, "{seen} {in_v2}");
    }

    #[test]
    fn kubectl_finds_the_kind_and_the_parameters_it_looks_for() {
        let document = own_document(&[&api_service::KIND]);
        let schema = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService";
        let kinds = &document["components"]["schemas"][schema]["x-kubernetes-group-version-kind"];
        assert_eq!(
            *kinds,
            json!([{"group": "apiregistration.k8s.io", "version": "v1", "kind": "APIService"}])
        );
        let path = &document["paths"]["/apis/apiregistration.k8s.io/v1/apiservices/{name}"];
        for method in ["put", "patch"] {
            let list = path[method]["parameters"].as_array().unwrap();
            for name in ["dryRun", "fieldManager", "fieldValidation"] {
                assert!(list.iter().any(|p| p["name"] == name), "{name} in {method}");
            }
        }
    }
}
