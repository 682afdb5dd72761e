//! The API over a store in memory, without sockets. What is recorded of upstream is replayed by the test suites;
//! here stands what no recording shows.

use super::{Api, ApiConfig, Readiness};
use crate::model::identity::Caller;
use crate::observe::Metrics;
use crate::registry::Registry;
use crate::route::{LocalBody, Shared};
use crate::store::MemoryStore;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

mod removing;
mod shown;
mod writing;

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const EXTERNAL_NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";

fn api() -> Arc<Api> {
    Api::new(ApiConfig {
        plugins: None,
        kinds: &crate::kind::ALL,
        registry: Registry::new(Arc::new(MemoryStore::default())),
        shared: Arc::new(Shared::default()),
        readiness: Readiness::new(&[]),
        metrics: Metrics::new().unwrap(),
        runtime: tokio::runtime::Handle::current(),
    })
}

async fn send(
    api: &Arc<Api>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response<LocalBody> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let caller = Caller::authenticated("jo", "", vec!["system:masters".into()], Vec::new());
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    Arc::clone(api).answer(request, Arc::new(caller)).await
}

async fn json_of(response: Response<LocalBody>) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn local(group: &str) -> Value {
    json!({
        "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15},
    })
}

async fn post(api: &Arc<Api>, path: &str, object: &Value) -> Value {
    let (status, created) = json_of(send(api, "POST", path, &[], &object.to_string()).await).await;
    assert_eq!(status, 201, "{created}");
    created
}

async fn next_event(body: &mut LocalBody) -> Option<Value> {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("an event in time");
    let bytes = frame?.unwrap().into_data().unwrap();
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1, "one line at a time");
    Some(serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn a_watch_sends_each_event_at_once_and_ends_in_time() {
    let api = api();
    let path = format!("{API_SERVICES}?watch=true&timeoutSeconds=3&allowWatchBookmarks=true");
    let response = send(&api, "GET", &path, &[], "").await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    post(&api, API_SERVICES, &local("a.example.com")).await;
    let added = next_event(&mut body).await.unwrap();
    assert_eq!(
        (&added["type"], &added["object"]["metadata"]["name"]),
        (&json!("ADDED"), &json!("v1.a.example.com"))
    );
    let bookmark = next_event(&mut body).await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK", "shortly before the end");
    assert_eq!(
        bookmark["object"]["metadata"]["resourceVersion"],
        added["object"]["metadata"]["resourceVersion"]
    );
    assert_eq!(next_event(&mut body).await, None);
}

#[tokio::test]
async fn a_watch_without_events_tells_how_far_it_is() {
    let api = api();
    let created = post(&api, API_SERVICES, &local("a.example.com")).await;
    let created = created["metadata"]["resourceVersion"].as_str().unwrap();
    let ending = "watch=true&allowWatchBookmarks=true&timeoutSeconds=3";
    for start in [
        format!("resourceVersion={created}"),
        "sendInitialEvents=false&resourceVersionMatch=NotOlderThan".to_owned(),
    ] {
        let response = send(&api, "GET", &format!("{API_SERVICES}?{ending}&{start}"), &[], "").await;
        let bookmark = next_event(&mut response.into_body()).await.unwrap();
        assert_eq!(
            (&bookmark["type"], &bookmark["object"]["metadata"]["resourceVersion"]),
            (&json!("BOOKMARK"), &json!(created)),
            "{start}"
        );
    }

    let path = format!("{API_SERVICES}?{ending}&resourceVersion={created}&labelSelector=tier%3Dgold");
    let mut body = send(&api, "GET", &path, &[], "").await.into_body();
    let other = post(&api, API_SERVICES, &local("b.example.com")).await;
    let bookmark = next_event(&mut body).await.unwrap();
    assert_eq!(
        bookmark["object"]["metadata"]["resourceVersion"], other["metadata"]["resourceVersion"],
        "past a change that the selector leaves out"
    );
}

fn has_running_watch(api: &Arc<Api>) -> bool {
    let shown = String::from_utf8(api.metrics.render().unwrap()).unwrap();
    shown.lines().any(|line| line.starts_with("apiserver_longrunning_requests{") && line.ends_with(" 1"))
}

/// Waits until no watch is counted any more.
async fn watch_end(api: &Arc<Api>, told: &str) {
    tokio::time::timeout(Duration::from_secs(20), async {
        while has_running_watch(api) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect(told);
}

#[tokio::test]
async fn a_watch_ends_when_its_client_goes() {
    let api = api();
    let response = send(&api, "GET", &format!("{API_SERVICES}?watch=true"), &[], "").await;
    assert!(has_running_watch(&api));
    drop(response);
    watch_end(&api, "the watch outlives its client").await;
}

#[tokio::test]
async fn a_watch_ends_when_the_process_is_about_to() {
    let api = api();
    let response = send(&api, "GET", &format!("{API_SERVICES}?watch=true"), &[], "").await;
    api.readiness.shut_down();
    assert_eq!(next_event(&mut response.into_body()).await, None);
    let late = send(&api, "GET", &format!("{API_SERVICES}?watch=true"), &[], "").await;
    assert_eq!(next_event(&mut late.into_body()).await, None, "one that comes after it, too");
}

#[tokio::test]
async fn a_watch_that_nobody_reads_ends_in_time() {
    let api = api();
    // More events than wait for a slow client.
    for index in 0..40 {
        post(&api, API_SERVICES, &local(&format!("g{index}.example.com"))).await;
    }
    let unread = send(&api, "GET", &format!("{API_SERVICES}?watch=true&timeoutSeconds=1"), &[], "").await;
    assert!(has_running_watch(&api));
    watch_end(&api, "the watch waits for its client for ever").await;
    let mut body = unread.into_body();
    while next_event(&mut body).await.is_some() {}
}

#[tokio::test]
async fn namespaced_kinds_are_routed_by_namespace() {
    let api = api();
    let object = json!({"metadata": {"name": "x"}, "spec": {"host": "localhost"}});
    let created = post(&api, EXTERNAL_NAMES, &object).await;
    assert_eq!(created["metadata"]["namespace"], "default");
    let everywhere = "/apis/service.grafana.app/v0alpha1/externalnames";
    let (_, list) = json_of(send(&api, "GET", everywhere, &[], "").await).await;
    assert_eq!(list["items"][0]["metadata"]["name"], "x");
    for (method, path, status) in [
        ("POST", everywhere.to_owned(), 405),
        ("DELETE", everywhere.to_owned(), 405),
        ("GET", format!("{everywhere}/x"), 404),
        ("GET", format!("{EXTERNAL_NAMES}/x/status"), 404),
        ("GET", "/apis/apiregistration.k8s.io/v1/namespaces/default/apiservices".to_owned(), 404),
        ("HEAD", format!("{EXTERNAL_NAMES}/x"), 405),
        ("POST", "/apis/apiregistration.k8s.io/v1/watch/apiservices".to_owned(), 405),
    ] {
        let response = send(&api, method, &path, &[], "{}").await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
    }
    let strayed = json!({"metadata": {"name": "y", "namespace": "other"}, "spec": {"host": "localhost"}});
    let (status, refused) =
        json_of(send(&api, "POST", EXTERNAL_NAMES, &[], &strayed.to_string()).await).await;
    assert_eq!(status, 400, "{refused}");
}

#[tokio::test]
async fn every_answer_is_traceable_and_not_cached() {
    let api = api();
    let response = send(&api, "GET", "/version", &[("audit-id", "mine")], "").await;
    assert_eq!(response.headers()["audit-id"], "mine");
    assert_eq!(response.headers()["cache-control"], "no-cache, private");
    let response = send(&api, "GET", "/nowhere", &[], "").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers().get_all("audit-id").iter().count(), 1);
    let head = send(&api, "HEAD", "/healthz", &[], "").await;
    assert_eq!(head.status(), 200);
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn bad_requests_are_refused_with_what_to_do() {
    let api = api();
    let huge = "x".repeat(super::body::BODY_MAX + 1);
    let protobuf = [("content-type", "application/vnd.kubernetes.protobuf")];
    let apply = [("content-type", "application/apply-patch+yaml")];
    let item = format!("{API_SERVICES}/v1.a.example.com");
    for (method, path, headers, body, status, told) in [
        ("POST", API_SERVICES.to_owned(), &[][..], huge.as_str(), 413, "limit is 3145728"),
        ("POST", API_SERVICES.to_owned(), &protobuf[..], "k8s", 415, "accepted media types include"),
        ("PATCH", item.clone(), &apply[..], "{}", 415, "without --server-side"),
        ("GET", format!("{API_SERVICES}?timeout=soon"), &[][..], "", 400, "invalid timeout"),
        (
            "GET",
            format!("{API_SERVICES}?resourceVersion=99&timeout=50ms"),
            &[][..],
            "",
            504,
            "allotted timeout",
        ),
        ("GET", format!("{API_SERVICES}?continue=x&resourceVersion=5"), &[][..], "", 400, "continue"),
        ("DELETE", item.clone(), &[][..], "[]", 400, "DeleteOptions"),
        ("DELETE", item, &[][..], r#"{"gracePeriodSeconds":"x"}"#, 400, "gracePeriodSeconds"),
    ] {
        let (code, refused) = json_of(send(&api, method, &path, headers, body).await).await;
        assert_eq!((code, &refused["kind"]), (status, &json!("Status")), "{method} {path}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains(told), "{refused}");
    }
}

#[tokio::test]
async fn a_delete_with_a_malformed_safety_option_deletes_nothing() {
    let api = api();
    post(&api, API_SERVICES, &local("a.example.com")).await;
    let item = format!("{API_SERVICES}/v1.a.example.com");
    for (body, field) in [
        (r#"{"dryRun":[true]}"#, "dryRun"),
        (r#"{"dryRun":"All"}"#, "dryRun"),
        (r#"{"preconditions":{"resourceVersion":1}}"#, "preconditions.resourceVersion"),
        (r#"{"preconditions":{"uid":7}}"#, "preconditions.uid"),
        (r#"{"preconditions":[]}"#, "preconditions"),
        (r#"{"orphanDependents":"true"}"#, "orphanDependents"),
        (r#"{"propagationPolicy":1}"#, "propagationPolicy"),
        (r#"{"gracePeriodSeconds":0.5}"#, "gracePeriodSeconds"),
        (r#"{"kind":5}"#, "kind"),
        (r#"{"kind":"Pod"}"#, "Pod"),
        (r#"{"apiVersion":1}"#, "apiVersion"),
        (r#"{"apiVersion":"foo/v9"}"#, "foo/v9"),
    ] {
        for path in [item.as_str(), API_SERVICES] {
            let (code, refused) = json_of(send(&api, "DELETE", path, &[], body).await).await;
            assert_eq!(code, 400, "{body}: {refused}");
            assert!(refused["message"].as_str().unwrap().contains(field), "{body}: {refused}");
        }
        assert_eq!(send(&api, "GET", &item, &[], "").await.status(), 200, "{body}");
    }
    let typed = r#"{"kind":"DeleteOptions","apiVersion":"apiregistration.k8s.io/v1","preconditions":null}"#;
    assert_eq!(send(&api, "DELETE", &item, &[], typed).await.status(), 200);
}

#[tokio::test]
async fn large_lists_are_packed_for_clients_that_unpack() {
    let api = api();
    for index in 0..200 {
        let mut object = local(&format!("g{index}.example.com"));
        object["metadata"]["annotations"] = json!({"filler": "x".repeat(1000)});
        post(&api, API_SERVICES, &object).await;
    }
    let plain = send(&api, "GET", API_SERVICES, &[], "").await;
    assert!(plain.headers().get("content-encoding").is_none());
    let packed = send(&api, "GET", API_SERVICES, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let packed = packed.into_body().collect().await.unwrap().to_bytes();
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, plain.into_body().collect().await.unwrap().to_bytes());
}

#[tokio::test]
async fn failures_come_in_the_form_that_the_client_reads() {
    let api = api();
    let path = format!("{API_SERVICES}/v1.none.example.com");
    let response = send(&api, "GET", &path, &[("accept", "application/yaml")], "").await;
    assert_eq!(response.headers()["content-type"], "application/yaml");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let status: Value = crate::model::yaml::read(std::str::from_utf8(&body).unwrap()).unwrap();
    assert_eq!(status["reason"], "NotFound");
}
