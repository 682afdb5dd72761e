//! Rules for the object in the body of a write, compared with the path of the request.

use super::{API_SERVICES, EXTERNAL_NAMES, api, json_of, local, post, send};
use serde_json::{Value, json};

const MERGE: [(&str, &str); 1] = [("content-type", "application/merge-patch+json")];

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"host": "localhost"}})
}

#[tokio::test]
async fn a_write_is_about_the_object_in_the_path() {
    let api = api();
    let created = post(&api, EXTERNAL_NAMES, &named("x")).await;
    let path = format!("{EXTERNAL_NAMES}/x");
    let changed = |field: &str, value: Value| {
        let mut object = created.clone();
        object["metadata"][field] = value;
        object
    };
    for (field, value, status) in [
        ("name", json!("y"), 400),
        ("name", json!(""), 400),
        ("namespace", json!("other"), 400),
        ("uid", json!("other"), 409),
        ("resourceVersion", json!("1000"), 409),
    ] {
        let object = changed(field, value.clone());
        let (code, refused) = json_of(send(&api, "PUT", &path, &[], &object.to_string()).await).await;
        assert_eq!(code, status, "PUT {field}: {refused}");
        let patch = json!({"metadata": {field: value}}).to_string();
        let (code, refused) = json_of(send(&api, "PATCH", &path, &MERGE, &patch).await).await;
        assert!(code == status || (field == "uid" && code == 422), "PATCH {field}: {code} {refused}");
    }
    let (_, kept) = json_of(send(&api, "GET", &path, &[], "").await).await;
    assert_eq!(kept, created);
}

#[tokio::test]
async fn a_delete_heeds_both_preconditions() {
    let api = api();
    let created = post(&api, API_SERVICES, &local("a.example.com")).await;
    let path = format!("{API_SERVICES}/v1.a.example.com");
    let (uid, version) = (&created["metadata"]["uid"], &created["metadata"]["resourceVersion"]);
    for preconditions in [
        json!({"uid": "other"}),
        json!({"resourceVersion": "1000"}),
        json!({"uid": uid, "resourceVersion": "1000"}),
        json!({"uid": "other", "resourceVersion": version}),
    ] {
        let body = json!({ "preconditions": preconditions }).to_string();
        let (status, refused) = json_of(send(&api, "DELETE", &path, &[], &body).await).await;
        assert_eq!((status, &refused["reason"]), (409, &json!("Conflict")), "{body}");
    }
    let body = json!({"preconditions": {"uid": uid, "resourceVersion": version}}).to_string();
    assert_eq!(send(&api, "DELETE", &path, &[], &body).await.status(), 200);
}

#[tokio::test]
async fn only_whole_objects_are_deleted_and_only_where_the_kind_allows_it() {
    let api = api();
    let created = post(&api, API_SERVICES, &local("a.example.com")).await;
    let path = format!("{API_SERVICES}/v1.a.example.com");
    assert_eq!(send(&api, "DELETE", &format!("{path}/status"), &[], "").await.status(), 405);
    assert_eq!(json_of(send(&api, "GET", &path, &[], "").await).await.1, created);
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    for (method, path) in [
        ("POST", events.to_owned()),
        ("DELETE", events.to_owned()),
        ("DELETE", format!("{events}/x")),
        ("PUT", format!("{events}/x")),
        ("PATCH", format!("{events}/x")),
        ("POST", "/apis/plugins.umbel.dev/v1alpha1/plugins".to_owned()),
        ("DELETE", "/apis/plugins.umbel.dev/v1alpha1/plugins/p?propagationPolicy=Foreground".to_owned()),
    ] {
        let (status, refused) = json_of(send(&api, method, &path, &MERGE, "{}").await).await;
        assert_eq!(
            (status, &refused["reason"]),
            (405, &json!("MethodNotAllowed")),
            "{method} {path}: {refused}"
        );
    }
}

#[tokio::test]
async fn an_unfinished_delete_is_accepted_only_for_the_deprecated_option() {
    let api = api();
    let mut object = local("a.example.com");
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&api, API_SERVICES, &object).await;
    let path = format!("{API_SERVICES}/v1.a.example.com");
    for (query, status) in [
        ("", 200),
        ("?orphanDependents=false", 202),
        ("?orphanDependents=true", 200),
        ("?propagationPolicy=Orphan", 200),
    ] {
        assert_eq!(
            send(&api, "DELETE", &format!("{path}{query}"), &[], "").await.status(),
            status,
            "{query}"
        );
    }
}

#[tokio::test]
async fn lists_select_and_leave_the_type_out_of_their_items() {
    let api = api();
    for (name, tier) in [("a", "gold"), ("b", "silver")] {
        let mut object = named(name);
        object["metadata"]["labels"] = json!({"tier": tier});
        post(&api, EXTERNAL_NAMES, &object).await;
    }
    for query in ["labelSelector=tier%3Dgold", "fieldSelector=metadata.name%3Da"] {
        let (_, list) = json_of(send(&api, "GET", &format!("{EXTERNAL_NAMES}?{query}"), &[], "").await).await;
        let items = list["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["metadata"]["name"]), (1, &json!("a")), "{query}");
        assert!(items[0].get("kind").is_none() && items[0].get("apiVersion").is_none(), "{list}");
        assert_eq!(list["kind"], "ExternalNameList");
    }
}

#[tokio::test]
async fn a_watch_list_ends_its_initial_objects_with_a_mark() {
    let api = api();
    post(&api, EXTERNAL_NAMES, &named("a")).await;
    let wants = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=5";
    let path = format!("{EXTERNAL_NAMES}?{wants}&allowWatchBookmarks=true");
    let mut body = send(&api, "GET", &path, &[], "").await.into_body();
    assert_eq!(super::next_event(&mut body).await.unwrap()["type"], "ADDED");
    let mark = super::next_event(&mut body).await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    // Without bookmarks there is no initial bookmark: the next event is a change.
    let mut body = send(&api, "GET", &format!("{EXTERNAL_NAMES}?{wants}"), &[], "").await.into_body();
    assert_eq!(super::next_event(&mut body).await.unwrap()["object"]["metadata"]["name"], "a");
    post(&api, EXTERNAL_NAMES, &named("b")).await;
    assert_eq!(super::next_event(&mut body).await.unwrap()["object"]["metadata"]["name"], "b");
}
