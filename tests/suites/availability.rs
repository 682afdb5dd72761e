//! What becomes of APIServices when their backends come, fail and go.

use crate::control_kit::{ALPN, BOUND, Control, aggregated, always, encode, legacy, legacy_backend, status};
use crate::proxying::backend::{Backend, handler};
use crate::proxying::pki::Authority;
use anyhow::{Context, Result};
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use umbel::route::SignalKind;
use umbel_tests::{ReservedPort, StoppableBackend, Umbel, wait_for};

const VERBS: &[&str] = &["delete", "get", "list"];
/// So many requests to a bad backend show how often it is asked.
const RETRIES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_service_for_an_own_group_version_has_no_effect_and_says_so() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let backend = legacy_backend(&control.ca, VERBS).await?;
    let own = "apiregistration.k8s.io";
    control.register(own, backend.port).await?;
    let (condition, _) = control.condition(own, "False").await?;
    assert_eq!(condition["reason"], "ServedByUmbel", "{condition}");
    assert_eq!(control.refusal(own), None, "Umbel serves it itself");
    let found = control.discovered(own)?.ok_or_else(|| anyhow::anyhow!("not listed"))?;
    assert_eq!(found["versions"][0]["resources"][0]["resource"], "apiservices", "{found}");
    assert_eq!(backend.requests(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_is_noticed_when_it_comes_dies_and_recovers() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let place = ReservedPort::new()?;
    let port = place.number();
    let backend = Backend::start_at(&place, &control.ca, &ALPN, legacy(VERBS)).await?;
    control.register("good.example.com", port).await?;
    let (condition, took) = control.condition("good.example.com", "True").await?;
    println!("good: True after {took:?}");
    assert_eq!(condition["reason"], "Passed");
    assert_eq!(condition["message"], "all checks passed");
    assert_eq!(control.refusal("good.example.com"), None);

    drop(backend);
    let (condition, took) = control.condition("good.example.com", "False").await?;
    println!("killed: False after {took:?}");
    assert_eq!(condition["reason"], "FailedDiscoveryCheck");
    let url = format!("https://127.0.0.1:{port}/apis/good.example.com/v1");
    let cause = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    let text = format!("failing or missing response from {url}: Get \"{url}\": {cause}");
    assert_eq!(condition["message"], text);
    assert_eq!(
        control.refusal("good.example.com").as_deref(),
        Some(
            "the APIService v1.good.example.com is not available (FailedDiscoveryCheck): \
             the backend refused the connection"
        )
    );

    let _backend = Backend::start_at(&place, &control.ca, &ALPN, legacy(VERBS)).await?;
    let (_, took) = control.condition("good.example.com", "True").await?;
    println!("recovered: True after {took:?}");
    let metrics = String::from_utf8(control.metrics.render()?)?;
    assert!(
        metrics.contains("aggregator_unavailable_apiservice{name=\"v1.good.example.com\"} 0"),
        "{metrics}"
    );
    let counted = "aggregator_unavailable_apiservice_total{name=\"v1.good.example.com\",reason=\"FailedDiscoveryCheck\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_has_its_own_reason_and_message() -> Result<()> {
    let control = Control::start().await?;
    let unused = ReservedPort::new()?;
    let stranger = Authority::new("stranger")?;
    let forbidden = Backend::start(&control.ca, &ALPN, always(StatusCode::FORBIDDEN)).await?;
    let moved = Backend::start(&control.ca, &ALPN, always(StatusCode::MOVED_PERMANENTLY)).await?;
    let unknown = Backend::start(&stranger, &ALPN, legacy(VERBS)).await?;
    let other_name = control.ca.server(&["other.default.svc"], false)?;
    let other_name = Backend::start_with(&control.ca, other_name, &ALPN, 10, legacy(VERBS)).await?;
    let own = control.ca.server(&[crate::proxying::backend::NAME], true)?;
    let expired = Backend::start_with(&control.ca, own, &ALPN, 10, legacy(VERBS)).await?;

    control.register("lost.example.com", 443).await?;
    let (lost, _) = control.condition("lost.example.com", "False").await?;
    assert_eq!(lost["reason"], "ServiceNotFound");
    assert_eq!(lost["message"], "ExternalName \"backend\" in namespace \"default\" is not present");
    assert_eq!(
        control.refusal("lost.example.com").as_deref(),
        Some(
            "the APIService v1.lost.example.com is not available (ServiceNotFound): \
             ExternalName \"backend\" in namespace \"default\" is not present"
        )
    );
    control.name_backend().await?;

    let cases = [
        ("forbidden.example.com", forbidden.port, ": 403: the backend does not trust the front proxy"),
        ("moved.example.com", moved.port, ": 301"),
        ("unknown.example.com", unknown.port, "certificate signed by unknown authority"),
        (
            "name.example.com",
            other_name.port,
            "certificate is valid for other.default.svc, not backend.default.svc",
        ),
        ("expired.example.com", expired.port, "certificate has expired"),
        ("refused.example.com", unused.number(), "connection refused"),
    ];
    for (group, port, _) in cases {
        control.register(group, port).await?;
    }
    for (group, port, cause) in cases {
        let (condition, _) = control.condition(group, "False").await?;
        assert_eq!(condition["reason"], "FailedDiscoveryCheck", "{group}");
        let message = condition["message"].as_str().unwrap_or_default();
        let url = format!("failing or missing response from https://127.0.0.1:{port}/apis/{group}/v1: ");
        assert!(message.starts_with(&url) && message.contains(cause), "{group}: {message}");
        let refusal = control.refusal(group).unwrap_or_default();
        assert!(!refusal.contains("127.0.0.1"), "{refusal}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_denies_the_check_says_what_is_wrong_and_what_to_do() -> Result<()> {
    const UNTRUSTED: &str = "the backend does not trust the front proxy of the gateway";
    let control = Control::start().await?;
    control.name_backend().await?;
    for (group, code, meaning, remedy) in [
        ("a.example.com", 401, UNTRUSTED, "--requestheader-client-ca-file="),
        ("b.example.com", 403, UNTRUSTED, "--requestheader-allowed-names=umbel-front-proxy"),
        (
            "c.example.com",
            404,
            "the backend does not serve /apis/c.example.com/v1",
            "check spec.group, spec.version and spec.service",
        ),
    ] {
        let backend = Backend::start(&control.ca, &ALPN, always(StatusCode::from_u16(code)?)).await?;
        control.register(group, backend.port).await?;
        let (condition, _) = control.condition(group, "False").await?;
        assert_eq!(condition["reason"], "FailedDiscoveryCheck");
        let message = condition["message"].as_str().unwrap_or_default();
        assert!(message.contains(&format!(": {code}: {meaning}: ")) && message.contains(remedy), "{message}");
        assert_eq!(
            control.refusal(group),
            Some(format!(
                "the APIService v1.{group} is not available (FailedDiscoveryCheck): \
                 the backend answered its health check with {code}: {meaning}"
            ))
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_warns_when_an_apiservice_is_no_longer_available() -> Result<()> {
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let ca = Authority::new("backends")?;
    let place = ReservedPort::new()?;
    let backend = Backend::start_at(&place, &ca, &ALPN, legacy(VERBS)).await?;
    let name = json!({"apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
        "metadata": {"name": "backend", "namespace": "default"}, "spec": {"host": "127.0.0.1"}});
    admin
        .post("/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames", &name)
        .await?
        .expect(201)?;
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.g.example.com"},
        "spec": {"group": "g.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "caBundle": encode(&ca.pem),
            "service": {"namespace": "default", "name": "backend", "port": place.number()}}});
    admin.post(services, &object).await?.expect(201)?;
    let warnings = || {
        let log = umbel.log();
        let lines = log.lines().filter(|line| line.contains("WARN") && line.contains("v1.g.example.com"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let becomes = |status: &'static str| {
        let admin = &admin;
        wait_for(status, 3 * BOUND, move || async move {
            let found = admin.get(&format!("{services}/v1.g.example.com")).await?.expect(200)?;
            let found = &found["status"]["conditions"][0];
            anyhow::ensure!(found["status"] == status, "{found}");
            Ok(())
        })
    };
    becomes("True").await?;
    let before = warnings();
    assert!(!before.iter().any(|line| line.contains("no longer available")), "{before:?}");
    drop(backend);
    becomes("False").await?;
    let lines = warnings();
    let lost: Vec<_> = lines.iter().filter(|line| line.contains("no longer available")).collect();
    assert_eq!(lost.len(), 1, "{lines:?}");
    assert!(lost[0].contains("FailedDiscoveryCheck") && lost[0].contains("connection refused"), "{lost:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_admission_accepts_and_tls_cannot_use_is_told() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let backend = legacy_backend(&control.ca, VERBS).await?;
    // A certificate by its form.
    let strange = Authority::contradictory("strange")?;
    let bundle = json!({ "caBundle": encode(&strange.pem) });
    control.register_with("strange.example.com", backend.port, bundle).await?;
    let (condition, _) = control.condition("strange.example.com", "False").await?;
    assert_eq!(condition["reason"], "InvalidCABundle");
    let message = condition["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("spec.caBundle: unable to load root certificates: "), "{message}");
    let refusal = control.refusal("strange.example.com").unwrap_or_default();
    assert!(refusal.contains("InvalidCABundle"), "{refusal}");
    assert_eq!(backend.connections(), 0, "nobody is asked who cannot be verified");

    // Mended, it is like any other.
    let mut object = control.stored("strange.example.com").await?;
    object.set(&["spec", "caBundle"], encode(&control.ca.pem));
    control.update(object).await?;
    control.condition("strange.example.com", "True").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_speaks_no_tls_is_told() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let plain = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
        }
    });
    control.register("plain.example.com", port).await?;
    let (condition, _) = control.condition("plain.example.com", "False").await?;
    assert_eq!(condition["reason"], "FailedDiscoveryCheck");
    let message = condition["message"].as_str().unwrap_or_default();
    assert!(message.contains(": tls: "), "{message}");
    plain.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_services_and_claims_on_own_groups_are_told_apart() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let backend = legacy_backend(&control.ca, VERBS).await?;
    // `register` names version v1, so this one claims a version that the gateway serves itself.
    control.register("apiregistration.k8s.io", backend.port).await?;
    // Another version of an own group is like any other.
    control.register("service.grafana.app", backend.port).await?;
    control.register_with("local.example.com", 443, json!({"service": null})).await?;
    let (local, _) = control.condition("local.example.com", "True").await?;
    assert_eq!(local["reason"], "Local");
    assert_eq!(local["message"], "Local APIServices are always available");
    let (claim, _) = control.condition("apiregistration.k8s.io", "False").await?;
    assert_eq!(claim["reason"], "ServedByUmbel");
    assert_eq!(
        claim["message"],
        "Umbel serves apiregistration.k8s.io/v1 itself, so this APIService has no effect"
    );
    assert_eq!(control.condition("service.grafana.app", "True").await?.0["reason"], "Passed");
    let snapshot = control.shared.load_full();
    let is_local = |group: &str, version: &str| {
        snapshot.route(group, version).map(|route| matches!(route.target, umbel::route::Target::Local))
    };
    assert_eq!(is_local("apiregistration.k8s.io", "v1"), Some(true));
    assert_eq!(is_local("service.grafana.app", "v0alpha1"), Some(true));
    assert_eq!(is_local("service.grafana.app", "v1"), Some(false));
    assert_eq!(is_local("local.example.com", "v1"), Some(true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_is_written_only_when_it_changes_and_nobody_is_flooded() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let good = Backend::start(&control.ca, &ALPN, aggregated(&["a.example.com", "b.example.com"])).await?;
    let bad = Backend::start(&control.ca, &ALPN, always(StatusCode::FORBIDDEN)).await?;
    for (group, port) in
        [("a.example.com", good.port), ("b.example.com", good.port), ("bad.example.com", bad.port)]
    {
        control.register(group, port).await?;
    }
    control.condition("a.example.com", "True").await?;
    control.condition("b.example.com", "True").await?;
    control.condition("bad.example.com", "False").await?;
    let revision = control.registry.revision();
    let (good_before, bad_before) = (good.requests(), bad.requests());
    let began = Instant::now();
    let retried = wait_for("the bad backend to be asked again and again", BOUND, || async {
        let seen = bad.requests() - bad_before;
        anyhow::ensure!(seen >= RETRIES, "{seen} requests");
        Ok(seen)
    });
    let (bad_seen, good_seen, passed) = (retried.await?, good.requests() - good_before, began.elapsed());
    println!("in {passed:?}: {good_seen} requests at the good backend, {bad_seen} at the bad one");
    assert_eq!(control.registry.revision(), revision, "nothing changed, so nothing is written");
    // A slow machine makes both fewer: what is bounded is how often a backend is asked.
    let seconds = usize::try_from(passed.as_secs())?;
    assert!(good_seen <= 1 + seconds / 25, "{good_seen} in {passed:?}: a good one is asked every 30 s");
    assert!(bad_seen <= 2 * (seconds + 1), "{bad_seen} in {passed:?}: retried once a second, and no storm");
    assert_eq!(good.connections(), 1, "both APIServices share one connection");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_traffic_sees_is_checked_at_once() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let broken = Arc::new(AtomicBool::new(false));
    let (is_broken, good) = (Arc::clone(&broken), legacy(VERBS));
    let backend = handler(move |request| {
        let (broken, good) = (is_broken.load(Ordering::SeqCst), Arc::clone(&good));
        async move { if broken { status(StatusCode::BAD_GATEWAY) } else { good(request).await } }
    });
    let backend = Backend::start(&control.ca, &ALPN, backend).await?;
    control.register("g.example.com", backend.port).await?;
    control.condition("g.example.com", "True").await?;
    broken.store(true, Ordering::SeqCst);
    let id = control.shared.load().backends().next().map(|backend| backend.id).context("a backend")?;
    control.signals.report(id, SignalKind::Undeliverable);
    let (condition, took) = control.condition("g.example.com", "False").await?;
    println!("after a hint: False after {took:?}");
    assert!(condition["message"].as_str().is_some_and(|text| text.ends_with(": 502")), "{condition}");
    assert_eq!(
        control.refusal("g.example.com").as_deref(),
        Some(
            "the APIService v1.g.example.com is not available (FailedDiscoveryCheck): \
             the backend answered its health check with 502"
        )
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_trusts_what_is_stored_and_verifies_it() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let backend = legacy_backend(&control.ca, VERBS).await?;
    control.register("kept.example.com", backend.port).await?;
    control.condition("kept.example.com", "True").await?;
    let revision = control.registry.revision();
    let control = control.restart().await?;
    assert_eq!(control.refusal("kept.example.com"), None, "open from the first snapshot on");
    control.discovery("kept.example.com", "Current", 1).await?;
    assert_eq!(control.registry.revision(), revision, "verified, and nothing to write");
    drop(backend);
    control.condition("kept.example.com", "False").await?;
    Ok(())
}

/// A backend that is still down after a restart: once the gateway knows that, clients are no longer asked to try
/// again, although neither the condition nor its reason changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_down_after_a_restart_is_said_for_good() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let unused = ReservedPort::new()?;
    control.register("down.example.com", unused.number()).await?;
    let (before, _) = control.condition("down.example.com", "False").await?;
    let control = control.restart().await?;
    wait_for("the check after the restart", BOUND, || async {
        let snapshot = control.shared.load();
        let route = snapshot.route("down.example.com", "v1").context("a route")?;
        let umbel::route::Target::Backend { availability, .. } = &route.target else {
            anyhow::bail!("{:?}", route.target)
        };
        let is_checked = matches!(availability, umbel::route::Availability::Closed { is_checked: true, .. });
        anyhow::ensure!(is_checked, "{availability:?}");
        Ok(())
    })
    .await?;
    assert_eq!(control.condition("down.example.com", "False").await?.0, before);
    Ok(())
}

/// As after SIGSTOP: the kernel accepts connections and acknowledges data, but the backend does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_stops_is_unavailable_within_seconds() -> Result<()> {
    const PARTS: [&[&str]; 2] = [&["h2"], &["http/1.1"]];
    let ca = Arc::new(Authority::new("backends")?);
    let mut controls = Vec::new();
    for alpn in PARTS {
        let control = Control::start().await?;
        control.name_backend().await?;
        let backend = StoppableBackend::start(Arc::clone(&ca), alpn, legacy(VERBS)).await?;
        let bundle = json!({ "caBundle": encode(&ca.pem) });
        control.register_with("stop.example.com", backend.port, bundle).await?;
        control.condition("stop.example.com", "True").await?;
        controls.push((alpn, control, backend));
    }
    let verdicts = controls.iter().map(async |(alpn, control, backend)| {
        let stopped = backend.stop()?;
        let began = Instant::now();
        if *alpn == ["http/1.1"] {
            // Without requests, only the check every 30 s can detect that an HTTP/1.1 backend stopped.
            tokio::time::sleep(Duration::from_secs(4)).await;
            let id =
                control.shared.load().backends().next().map(|backend| backend.id).context("a backend")?;
            control.signals.report(id, SignalKind::Silent);
        }
        let (condition, _) = control.condition("stop.example.com", "False").await?;
        let took = began.elapsed();
        println!("{alpn:?}: False after {took:?}: {condition}");
        // 12 s, and room for a busy machine.
        anyhow::ensure!(took < Duration::from_secs(16), "{alpn:?}: False after {took:?}");
        drop(stopped);
        control.condition("stop.example.com", "True").await?;
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(verdicts).await?;
    Ok(())
}

/// One that takes connections and never says a word on them, not even TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_never_answers_disturbs_nobody_else() -> Result<()> {
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let silent_port = silent.local_addr()?.port();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let ca = Authority::new("strangers")?;
    let good = legacy_backend(&ca, VERBS).await?;
    let name = json!({"apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
        "metadata": {"name": "backend", "namespace": "default"}, "spec": {"host": "127.0.0.1"}});
    let names = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
    admin.post(names, &name).await?.expect(201)?;
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    for (group, port) in [("silent.example.com", silent_port), ("good.example.com", good.port)] {
        let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("v1.{group}")},
            "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
                "insecureSkipTLSVerify": true,
                "service": {"namespace": "default", "name": "backend", "port": port}}});
        admin.post(services, &object).await?.expect(201)?;
    }
    let condition = |group: &'static str, status: &'static str| {
        let (admin, path) = (admin.clone(), format!("{services}/v1.{group}"));
        async move {
            wait_for(&format!("{group} to be {status}"), 3 * BOUND, || async {
                let found = admin.get(&path).await?.expect(200)?["status"]["conditions"][0].clone();
                anyhow::ensure!(found["status"] == status, "{found}");
                Ok(found)
            })
            .await
        }
    };
    let available = condition("good.example.com", "True").await?;
    wait_for("discovery of the good one", BOUND, || async {
        let list = admin.get("/apis").await?.expect(200)?.to_string();
        anyhow::ensure!(list.contains("good.example.com/v1"), "{list}");
        Ok(())
    })
    .await?;
    admin.get("/apis/good.example.com/v1").await?.expect(200)?;

    let failed = condition("silent.example.com", "False").await?;
    assert_eq!(failed["reason"], "FailedDiscoveryCheck");
    // The last write of each is that of its condition, so the versions tell which one was known first.
    let mut versions = Vec::new();
    for group in ["good.example.com", "silent.example.com"] {
        let object = admin.get(&format!("{services}/v1.{group}")).await?.expect(200)?;
        let version = object["metadata"]["resourceVersion"].as_str().context("a version")?;
        versions.push(version.parse::<u64>()?);
    }
    assert!(versions[0] < versions[1], "the good one had to wait for the silent one: {versions:?}");
    let message = failed["message"].as_str().unwrap_or_default();
    let url = format!("https://127.0.0.1:{silent_port}/apis/silent.example.com/v1");
    let cause = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    assert_eq!(message, format!("failing or missing response from {url}: Get \"{url}\": {cause}"));
    let refused = admin.get("/apis/silent.example.com/v1").await?;
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("the backend did not answer in time"), "{}", refused.text());
    admin.get("/apis/good.example.com/v1").await?.expect(200)?;
    assert_eq!(condition("good.example.com", "True").await?, available, "it never changed");
    silent.abort();
    Ok(())
}
