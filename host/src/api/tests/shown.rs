//! What clients see of objects: tables, namespaces, field owners.

use super::{API_SERVICES, EXTERNAL_NAMES, api, json_of, local, next_event, post, send};
use serde_json::{Value, json};

const AS_TABLE: (&str, &str) = ("accept", "application/json;as=Table;g=meta.k8s.io;v=v1");

/// Whether each of the first events of a table watch has column definitions: two objects, and a bookmark at the end.
async fn has_columns(collection: &str, objects: [Value; 2]) -> Vec<(String, bool)> {
    let api = api();
    let query = "watch=true&timeoutSeconds=3&allowWatchBookmarks=true";
    let mut body = send(&api, "GET", &format!("{collection}?{query}"), &[AS_TABLE], "").await.into_body();
    for object in &objects {
        post(&api, collection, object).await;
    }
    let mut found = Vec::new();
    for _ in 0..3 {
        let event = next_event(&mut body).await.unwrap();
        assert_eq!(event["object"]["kind"], "Table", "{event}");
        let columns = event["object"]["columnDefinitions"].as_array().is_some_and(|list| !list.is_empty());
        found.push((event["type"].as_str().unwrap().to_owned(), columns));
    }
    found
}

#[tokio::test]
async fn a_table_watch_of_apiservices_repeats_the_columns_as_kube_aggregator_does() {
    let found = has_columns(API_SERVICES, [local("a.example.com"), local("b.example.com")]).await;
    let wanted = [("ADDED", true), ("ADDED", true), ("BOOKMARK", true)];
    assert_eq!(found, wanted.map(|(event, columns)| (event.to_owned(), columns)));
}

#[tokio::test]
async fn a_table_watch_of_other_kinds_has_the_columns_once() {
    let named = |name: &str| json!({"metadata": {"name": name}, "spec": {"host": "localhost"}});
    let found = has_columns(EXTERNAL_NAMES, [named("a"), named("b")]).await;
    let wanted = [("ADDED", true), ("ADDED", false), ("BOOKMARK", false)];
    assert_eq!(found, wanted.map(|(event, columns)| (event.to_owned(), columns)));
}

#[tokio::test]
async fn the_wide_table_has_endpoint_and_message() {
    let api = api();
    post(&api, API_SERVICES, &local("a.example.com")).await;
    let (_, shown) = json_of(send(&api, "GET", API_SERVICES, &[AS_TABLE], "").await).await;
    let columns: Vec<(&str, i64)> = shown["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["name"].as_str().unwrap(), column["priority"].as_i64().unwrap()))
        .collect();
    let wanted = [("Name", 0), ("Service", 0), ("Available", 0), ("Age", 0), ("Endpoint", 1), ("Message", 1)];
    assert_eq!(columns, wanted);
    let cells = &shown["rows"][0]["cells"];
    assert_eq!((&cells[4], &cells[5]), (&json!("<none>"), &json!("Local APIServices are always available")));
}

#[tokio::test]
async fn every_namespace_can_be_read_and_nothing_else_of_the_core_group() {
    let api = api();
    let (status, read) = json_of(send(&api, "GET", "/api/v1/namespaces/prod", &[], "").await).await;
    assert_eq!(
        (status, &read["kind"], &read["metadata"]),
        (200, &json!("Namespace"), &json!({"name": "prod"}))
    );
    let as_table = send(&api, "GET", "/api/v1/namespaces/prod", &[("accept", kubectl_accept())], "").await;
    assert_eq!(json_of(as_table).await.1["kind"], "Namespace");
    // kubectl would report that the namespace is not found, and not the object.
    let (status, odd) = json_of(send(&api, "GET", "/api/v1/namespaces/Prod", &[], "").await).await;
    assert_eq!((status, &odd["metadata"]), (200, &json!({"name": "Prod"})));
    for (method, path) in [
        ("GET", "/api"),
        ("GET", "/api/v1"),
        ("GET", "/api/v1/namespaces"),
        ("GET", "/api/v1/namespaces?fieldSelector=metadata.name%3Dprod"),
        ("GET", "/api/v1/watch/namespaces/prod"),
        ("GET", "/api/v1/namespaces/prod/status"),
        ("GET", "/api/v1/namespaces/prod/pods"),
        ("GET", "/apis/a.example.com/v1/namespaces/prod"),
        ("HEAD", "/api/v1/namespaces/prod"),
        ("POST", "/api/v1/namespaces"),
        ("PUT", "/api/v1/namespaces/prod"),
        ("PATCH", "/api/v1/namespaces/prod"),
        ("DELETE", "/api/v1/namespaces/prod"),
    ] {
        let (status, refused) = json_of(send(&api, method, path, &[], "{}").await).await;
        assert_eq!(status, 404, "{method} {path}");
        if method == "HEAD" {
            continue;
        }
        assert_eq!(refused["reason"], "NotFound", "{method} {path}");
        assert_eq!(refused["message"], "the server could not find the requested resource", "{method} {path}");
    }
}

fn kubectl_accept() -> &'static str {
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
}

#[tokio::test]
async fn no_manager_owns_the_time_of_a_deletion() {
    let api = api();
    let mut object = local("a.example.com");
    object["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
    object["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let created = post(&api, API_SERVICES, &object).await;
    assert!(!created["metadata"]["managedFields"].to_string().contains("f:deletion"), "{created}");
    let path = format!("{API_SERVICES}/v1.a.example.com");
    let (_, waiting) = json_of(send(&api, "DELETE", &path, &[], "").await).await;
    assert!(!waiting["metadata"]["managedFields"].to_string().contains("f:deletion"), "{waiting}");
    let mut changed = waiting;
    changed["metadata"]["labels"] = json!({"a": "1"});
    let (status, changed) = json_of(send(&api, "PUT", &path, &[], &changed.to_string()).await).await;
    assert_eq!(status, 200, "{changed}");
    assert!(!changed["metadata"]["managedFields"].to_string().contains("f:deletion"), "{changed}");
}
