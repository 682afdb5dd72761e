//! Deletes as kubectl and controllers send them.

use super::{API_SERVICES, EXTERNAL_NAMES, api, json_of, local, post, send};
use crate::api::Api;
use serde_json::{Value, json};
use std::sync::Arc;

/// Every way to ask for a delete that waits for dependents or releases them: query and body.
const CASCADES: [(&str, &str); 7] = [
    ("propagationPolicy=Foreground", ""),
    ("propagationPolicy=Orphan", ""),
    ("orphanDependents=true", ""),
    ("", r#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Foreground"}"#),
    ("", r#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Orphan"}"#),
    ("", r#"{"kind":"DeleteOptions","apiVersion":"v1","orphanDependents":true}"#),
    ("", r#"{"kind":"DeleteOptions","apiVersion":"v1","orphanDependents":false}"#),
];

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"host": "localhost"}})
}

async fn status_of(api: &Arc<Api>, path: &str) -> u16 {
    send(api, "GET", path, &[], "").await.status().as_u16()
}

async fn delete(api: &Arc<Api>, path: &str, (query, body): (&str, &str)) -> (u16, Value) {
    let separator = if path.contains('?') { '&' } else { '?' };
    json_of(send(api, "DELETE", &format!("{path}{separator}{query}"), &[], body).await).await
}

#[tokio::test]
async fn a_cascading_delete_is_complete_at_once() {
    let api = api();
    for cascade in CASCADES {
        for (collection, object) in [(API_SERVICES, local("a.example.com")), (EXTERNAL_NAMES, named("a"))] {
            let created = post(&api, collection, &object).await;
            let path = format!("{collection}/{}", created["metadata"]["name"].as_str().unwrap());
            let (status, answer) = delete(&api, &path, cascade).await;
            assert_eq!((status, &answer["status"]), (200, &json!("Success")), "{cascade:?}: {answer}");
            assert_eq!(answer["details"]["uid"], created["metadata"]["uid"]);
            assert_eq!(status_of(&api, &path).await, 404, "{cascade:?}");

            post(&api, collection, &object).await;
            let (status, answer) = delete(&api, collection, cascade).await;
            assert_eq!(
                (status, answer["items"].as_array().map(Vec::len)),
                (200, Some(1)),
                "{cascade:?}: {answer}"
            );
            assert_eq!(status_of(&api, &path).await, 404, "{cascade:?}");
        }
    }
}

#[tokio::test]
async fn a_cascading_dry_run_keeps_the_object() {
    let api = api();
    let created = post(&api, API_SERVICES, &local("a.example.com")).await;
    let path = format!("{API_SERVICES}/v1.a.example.com");
    for (query, body) in CASCADES {
        let query = format!("{query}&dryRun=All");
        let body = body.replacen('{', r#"{"dryRun":["All"],"#, 1);
        for path in [path.as_str(), API_SERVICES] {
            let (status, answer) = delete(&api, path, (&query, &body)).await;
            assert_eq!(status, 200, "{query} {body}: {answer}");
        }
        let (_, kept) = json_of(send(&api, "GET", &path, &[], "").await).await;
        assert_eq!(kept, created, "{query} {body}");
    }
}

#[tokio::test]
async fn a_cascading_delete_checks_its_preconditions() {
    let api = api();
    post(&api, API_SERVICES, &local("a.example.com")).await;
    let path = format!("{API_SERVICES}/v1.a.example.com");
    for policy in ["Foreground", "Orphan"] {
        let body = json!({"propagationPolicy": policy, "preconditions": {"uid": "other"}}).to_string();
        let (status, refused) = delete(&api, &path, ("", &body)).await;
        assert_eq!((status, &refused["reason"]), (409, &json!("Conflict")));
        assert_eq!(status_of(&api, &path).await, 200);
    }
}

#[tokio::test]
async fn a_cascading_delete_waits_for_other_finalizers_only() {
    let api = api();
    for (cascade, preset) in CASCADES.into_iter().zip(["orphan", "foregroundDeletion"].into_iter().cycle()) {
        let mut object = local("a.example.com");
        object["metadata"]["finalizers"] = json!([preset, "example.com/hold"]);
        post(&api, API_SERVICES, &object).await;
        let path = format!("{API_SERVICES}/v1.a.example.com");
        let (status, waiting) = delete(&api, &path, cascade).await;
        assert!([200, 202].contains(&status), "{waiting}");
        assert_eq!(waiting["metadata"]["finalizers"], json!(["example.com/hold"]), "{cascade:?}");
        assert!(waiting["metadata"]["deletionTimestamp"].is_string());
        let patch = [("content-type", "application/merge-patch+json")];
        let freed = send(&api, "PATCH", &path, &patch, r#"{"metadata":{"finalizers":null}}"#).await;
        assert_eq!(freed.status(), 200);
        assert_eq!(status_of(&api, &path).await, 404, "{cascade:?}");
    }
}

#[tokio::test]
async fn an_unknown_policy_is_refused_and_deletes_nothing() {
    let api = api();
    post(&api, API_SERVICES, &local("a.example.com")).await;
    let path = format!("{API_SERVICES}/v1.a.example.com");
    for (query, body) in [
        ("propagationPolicy=Sometimes", ""),
        ("propagationPolicy=foreground", ""),
        ("", r#"{"propagationPolicy":"Sometimes"}"#),
        ("propagationPolicy=Foreground&orphanDependents=false", ""),
    ] {
        let (status, refused) = delete(&api, &path, (query, body)).await;
        assert_eq!((status, &refused["reason"]), (422, &json!("Invalid")), "{query}{body}");
        assert_eq!(status_of(&api, &path).await, 200);
    }
}

#[tokio::test]
async fn a_limited_delete_of_a_collection_returns_where_it_goes_on() {
    let api = api();
    for name in ["a", "b", "c"] {
        post(&api, EXTERNAL_NAMES, &named(name)).await;
    }
    let (status, first) = delete(&api, &format!("{EXTERNAL_NAMES}?limit=2"), ("", "")).await;
    assert_eq!((status, first["items"].as_array().map(Vec::len)), (200, Some(2)), "{first}");
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = delete(&api, &format!("{EXTERNAL_NAMES}?limit=2&continue={token}"), ("", "")).await;
    assert_eq!(second["items"][0]["metadata"]["name"], "c");
    assert_eq!(second["metadata"].get("continue"), None, "{second}");
    let (_, left) = json_of(send(&api, "GET", EXTERNAL_NAMES, &[], "").await).await;
    assert_eq!(left["items"], json!([]));
}
