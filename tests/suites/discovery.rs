//! What merged discovery shows while backends come, hang and go.

use crate::control_kit::{ALPN, BOUND, Control, aggregated, legacy, legacy_backend};
use crate::proxying::backend::{Backend, Handler, handler, whole};
use anyhow::{Result, anyhow};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Response, StatusCode, header};
use std::io::Write;
use umbel_tests::{ReservedPort, wait_for};

const VERBS: &[&str] = &["delete", "get", "list"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_api_service_is_fresh_at_once_and_gone_at_once() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let backend = legacy_backend(&control.ca, VERBS).await?;
    control.register("first.example.com", backend.port).await?;
    control.discovery("first.example.com", "Current", 1).await?;
    control.register("second.example.com", backend.port).await?;
    let took = control.discovery("second.example.com", "Current", 1).await?;
    println!("create to fresh: {took:?}");
    control.unregister("second.example.com").await?;
    wait_for("the group to go", crate::control_kit::BOUND, || async {
        anyhow::ensure!(control.discovered("second.example.com")?.is_none(), "still there");
        anyhow::ensure!(control.shared.load().route("second.example.com", "v1").is_none(), "still routed");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shared_document_tells_for_all_group_versions() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let backend =
        Backend::start(&control.ca, &ALPN, aggregated(&["a.example.com", "stolen.example.com"])).await?;
    control.register("a.example.com", backend.port).await?;
    control.condition("a.example.com", "True").await?;
    control.discovery("a.example.com", "Current", 1).await?;
    assert!(control.discovered("stolen.example.com")?.is_none(), "nobody registered it");
    assert_eq!(backend.requests(), 1, "one request told whether it is available and what it serves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_backend_keeps_its_last_resources() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let place = ReservedPort::new()?;
    let deletable = Backend::start_at(&place, &control.ca, &ALPN, legacy(VERBS)).await?;
    let read_only = legacy_backend(&control.ca, &["get", "list"]).await?;
    control.register("deletable.example.com", deletable.port).await?;
    control.register("metrics.example.com", read_only.port).await?;
    control.discovery("deletable.example.com", "Current", 1).await?;
    control.discovery("metrics.example.com", "Current", 1).await?;
    drop((deletable, read_only));
    control.discovery("deletable.example.com", "Stale", 1).await?;
    control.condition("metrics.example.com", "False").await?;
    control.discovery("metrics.example.com", "Current", 1).await?;
    let _again = Backend::start_at(&place, &control.ca, &ALPN, legacy(VERBS)).await?;
    control.discovery("deletable.example.com", "Current", 1).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_backend_leaves_other_groups_untouched() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let hanging = handler(|_| std::future::pending());
    let hanging = Backend::start(&control.ca, &ALPN, hanging).await?;
    let good = legacy_backend(&control.ca, VERBS).await?;
    control.register("hanging.example.com", hanging.port).await?;
    control.discovery("hanging.example.com", "Stale", 0).await?;
    control.register("good.example.com", good.port).await?;
    let took = control.discovery("good.example.com", "Current", 1).await?;
    println!("beside a hanging backend: fresh after {took:?}");
    control.condition("good.example.com", "True").await?;
    let (hung, _) = control.condition("hanging.example.com", "False").await?;
    let message = hung["message"].as_str().unwrap_or_default();
    assert!(message.contains("context deadline exceeded"), "{message}");
    Ok(())
}

/// Answers the own path with this list of resources, and `/apis` with an aggregated document if there is one. Each
/// body has the content coding; with `gzip` it really is compressed.
fn encoded(coding: &'static str, own: String, shared: Option<String>) -> Handler {
    let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let pack = move |text: String| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
        Bytes::from(if coding == "gzip" { packed.unwrap_or_default() } else { text.into_bytes() })
    };
    let (own, shared) = (pack(own), shared.map(pack));
    handler(move |request| {
        let is_shared = request.uri().path() == "/apis";
        let found = if is_shared { shared.clone() } else { Some(own.clone()) };
        let identity =
            request.headers().get(header::ACCEPT_ENCODING).is_some_and(|asked| asked == "identity");
        async move {
            let mut response = Response::new(whole(found.clone().unwrap_or_default()));
            if found.is_none() || !identity {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            let headers = response.headers_mut();
            let kind = if is_shared { v2 } else { "application/json" };
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            if coding != "identity" {
                headers.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static(coding));
            }
            response
        }
    })
}

fn own_list(count: usize) -> String {
    let one = |n| {
        format!(
            r#"{{"name":"r{n}","singularName":"","namespaced":true,"kind":"R","verbs":["get","delete"]}}"#
        )
    };
    let all: Vec<String> = (0..count).map(one).collect();
    format!(r#"{{"kind":"APIResourceList","apiVersion":"v1","resources":[{}]}}"#, all.join(","))
}

fn shared_document(group: &str, count: usize) -> String {
    let one = |n| format!(r#"{{"resource":"r{n}","scope":"Cluster","verbs":["get","delete"]}}"#);
    let all: Vec<String> = (0..count).map(one).collect();
    let resources = all.join(",");
    format!(
        r#"{{"kind":"APIGroupDiscoveryList","items":[{{"metadata":{{"name":"{group}"}},"versions":[{{"version":"v1","resources":[{resources}]}}]}}]}}"#
    )
}

/// Waits until the group is available for this reason, and returns the message.
async fn available(control: &Control, group: &str, reason: &str) -> Result<String> {
    wait_for(reason, BOUND, || async {
        let object = control.stored(group).await?;
        let found = object.at(&["status", "conditions"]).and_then(|list| list.get(0)).cloned();
        let found = found.ok_or_else(|| anyhow!("no condition yet"))?;
        anyhow::ensure!(found["status"] == "True" && found["reason"] == reason, "{found}");
        Ok(found["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_discovery_is_read_though_it_was_asked_for_plain() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let own = Backend::start(&control.ca, &ALPN, encoded("gzip", own_list(3), None)).await?;
    let shared = encoded("gzip", "{}".to_owned(), Some(shared_document("shared.example.com", 2)));
    let shared = Backend::start(&control.ca, &["http/1.1"], shared).await?;
    control.register("own.example.com", own.port).await?;
    control.register("shared.example.com", shared.port).await?;
    control.discovery("own.example.com", "Current", 3).await?;
    control.discovery("shared.example.com", "Current", 2).await?;
    for group in ["own.example.com", "shared.example.com"] {
        assert_eq!(available(&control, group, "Passed").await?, "all checks passed");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_condition_says_why_a_version_is_empty() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let huge = format!("{}{}", " ".repeat(33 << 20), own_list(1));
    let cases = [
        ("br", own_list(1), None, "Content-Encoding \"br\""),
        ("gzip, gzip", own_list(1), None, "Content-Encoding \"gzip, gzip\""),
        (
            "identity",
            own_list(100_001),
            None,
            "lists 100001 resources and subresources, and 100000 is the limit",
        ),
        ("identity", huge, None, "larger than 33554432 bytes"),
        (
            "identity",
            "<html>".to_owned(),
            None,
            "GET /apis/g4.example.com/v1: the discovery document cannot be read",
        ),
        ("identity", "[]".to_owned(), Some(100_001), "g5.example.com/v1 lists 100001"),
    ];
    let mut backends = Vec::new();
    for (number, (coding, own, shared, _)) in cases.iter().enumerate() {
        let group = format!("g{number}.example.com");
        let shared = shared.map(|count| shared_document(&group, count));
        let backend = Backend::start(&control.ca, &ALPN, encoded(coding, own.clone(), shared)).await?;
        control.register(&group, backend.port).await?;
        backends.push(backend);
    }
    for (number, (.., wanted)) in cases.iter().enumerate() {
        let group = format!("g{number}.example.com");
        let message = available(&control, &group, "DiscoveryNotUsable").await?;
        assert!(message.starts_with("all checks passed; ") && message.contains(wanted), "{group}: {message}");
        control.discovery(&group, "Stale", 0).await?;
        assert_eq!(control.refusal(&group), None, "requests pass all the same");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metrics_adapter_with_twenty_thousand_resources_is_listed() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let legacy = Backend::start(&control.ca, &ALPN, encoded("identity", own_list(20_000), None)).await?;
    let shared = encoded("identity", "{}".to_owned(), Some(shared_document("shared.example.com", 20_000)));
    let shared = Backend::start(&control.ca, &ALPN, shared).await?;
    control.register("legacy.example.com", legacy.port).await?;
    control.register("shared.example.com", shared.port).await?;
    control.discovery("legacy.example.com", "Current", 20_000).await?;
    control.discovery("shared.example.com", "Current", 20_000).await?;
    Ok(())
}
