//! Components that load well and then do their worst: the answer comes from somewhere else, the reason is shown.

use super::{Plugins, Recorded, drop_guest, judged, target, write_manifest};
use anyhow::Result;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;
use umbel::decision::binding::Decisions;
use umbel::decision::discovery::GroupHead;
use umbel::decision::resolver::ResolveFault;
use umbel::plugin::{Reason, State, Status};
use umbel_tests::{Guest, Umbel};

async fn start(spec: &str) -> Result<Plugins> {
    // On a busy machine the time limit could strike before the CPU limit that a case is about.
    let patient = spec.replacen('{', "{limits: {wall: 30s}, ", 1);
    Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "bad", &patient)?;
        drop_guest(dir, Guest::Misbehaving, "bad")
    })
    .await
}

#[tokio::test]
async fn a_bad_answer_goes_to_the_built_in_and_the_reason_is_shown() -> Result<()> {
    for (settings, says) in [
        ("{do: trap}", "trapped"),
        ("{do: loop}", "CPU budget of 100 ms"),
        ("{do: eat-memory}", "more than its 32768 KiB of memory"),
        ("{do: recurse}", "trapped: wasm trap"),
        ("{do: huge}", "larger than the 4096 KiB"),
        ("{do: no-endpoints}", "answered nonsense: no endpoints"),
        ("{do: many-endpoints}", "1024 are the limit"),
        ("{do: widen-trust, host: a.test}", "\"shop.prod.svc\" and nothing else"),
        ("{host: 'https://a.test'}", "neither a DNS name nor an IP address"),
        ("{host: 169.254.169.254}", "link-local"),
        ("{host: '::ffff:169.254.169.254'}", "link-local"),
        ("{host: 127.0.0.1}", "add 127.0.0.1/32 to spec.grants.addresses"),
        ("{host: localhost}", "loopback"),
    ] {
        let plugins = start(&format!("{{settings: {settings}}}")).await?;
        let resolver = plugins.resolver("bad");
        let found = resolver.resolve(&target(Some("shop.example.com"))).await?;
        assert_eq!(found.endpoints[0].host, "shop.example.com", "the built-in answers for {settings}");
        let status = plugins.status("bad")?;
        let fault = status.last_fault.clone().unwrap_or_default();
        assert!(fault.contains(says), "{settings}: {status:?}");
        let hostless = resolver.resolve(&target(None)).await.unwrap_err().to_string();
        assert!(hostless.contains("plugin \"bad\"") && hostless.contains(says), "{settings}: {hostless}");
    }
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_fails_again_and_again_is_suspended_and_asked_again_later() -> Result<()> {
    let plugins = start("{settings: {do: loop}}").await?;
    let resolver = plugins.resolver("bad");
    let asked = target(Some("shop.example.com"));
    let suspended = |status: &Status| status.state == State::Suspended;
    while !suspended(&plugins.status("bad")?) {
        let found = resolver.resolve(&asked).await?;
        assert_eq!(found.endpoints[0].host, "shop.example.com");
        assert_eq!(found.fresh, Duration::from_secs(5), "the plugin is asked again");
        anyhow::ensure!(plugins.status("bad")?.calls <= 5, "never suspended");
    }
    let status = plugins.status("bad")?;
    assert_eq!((status.calls, status.reason), (5, Some(Reason::Suspended)), "{status:?}");
    assert!(status.message.contains("CPU budget of 100 ms"), "{status:?}");
    assert_eq!(status.faults_by_class["resolver"]["timeout-cpu"], 5, "{status:?}");
    // A suspension ends, so one call more may have been let through; every call would be ten.
    for _ in 0..10 {
        assert_eq!(resolver.resolve(&asked).await?.endpoints[0].host, "shop.example.com");
    }
    assert!(plugins.status("bad")?.calls <= 6, "the fallback answers at once");
    umbel_tests::wait_for("the plugin to be asked again", super::PATIENCE, || async {
        resolver.resolve(&asked).await?;
        let status = plugins.status("bad")?;
        if status.calls > 5 { Ok(()) } else { anyhow::bail!("{status:?}") }
    })
    .await
}

#[tokio::test]
async fn loopback_can_be_granted() -> Result<()> {
    let plugins = start("{settings: {host: 127.0.0.1}, grants: {addresses: [127.0.0.0/8]}}").await?;
    let found = plugins.resolver("bad").resolve(&target(None)).await?;
    assert_eq!(found.endpoints[0].host, "127.0.0.1");
    Ok(())
}

#[tokio::test]
async fn the_addresses_that_were_checked_are_dialled() -> Result<()> {
    let plugins =
        start("{settings: {host: localhost}, grants: {addresses: [127.0.0.0/8, '::1/128']}}").await?;
    let found = plugins.resolver("bad").resolve(&target(None)).await?;
    for endpoint in &found.endpoints {
        let address: std::net::IpAddr = endpoint.host.parse()?;
        assert!(address.is_loopback(), "{found:?}");
    }
    assert!(found.endpoints.iter().any(|endpoint| endpoint.weight > 0), "{found:?}");
    // The host that the ExternalName itself names stays a name.
    let own = plugins.resolver("bad").resolve(&target(Some("localhost"))).await?;
    assert_eq!(own.endpoints[0].host, "localhost");
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_not_to_be_found_is_unavailable() -> Result<()> {
    let plugins = start("{settings: {host: nowhere.invalid}}").await?;
    let fault = plugins.resolver("bad").resolve(&target(None)).await.unwrap_err();
    assert!(
        matches!(&fault, ResolveFault::Unavailable(text) if text.contains("nowhere.invalid")
        || text.contains("no answer within")),
        "{fault:?}"
    );
    assert_eq!(plugins.status("bad")?.faults, 0, "it says nothing about the plugin");
    Ok(())
}

#[tokio::test]
async fn a_declared_fault_is_an_answer() -> Result<()> {
    let plugins = start("{settings: {do: unavailable}}").await?;
    let fault = plugins.resolver("bad").resolve(&target(Some("a.test"))).await;
    assert_eq!(fault, Err(ResolveFault::Unavailable("later".to_owned())));
    let status = plugins.status("bad")?;
    assert_eq!(status.faults, 0);
    assert_eq!(status.faults_by_class["resolver"]["plugin-fault"], 1, "{status:?}");
    let plugins = start("{settings: {do: not-mine}}").await?;
    let found = plugins.resolver("bad").resolve(&target(Some("a.test"))).await?;
    assert_eq!(found.endpoints[0].host, "a.test", "not mine passes on to the built-in");
    let verdict = plugins.health_checker("bad").check(&judged(&["a"]), &Recorded::new(vec![Ok(200)])).await?;
    assert_eq!(verdict.message, "all checks passed");
    Ok(())
}

#[tokio::test]
async fn a_bad_checker_leaves_the_verdict_to_the_built_in() -> Result<()> {
    for (deed, says) in [("trap", "trapped"), ("loop", "CPU budget"), ("bad-reason", "CamelCase")] {
        let plugins = start(&format!("{{settings: {{do: {deed}}}}}")).await?;
        let checker = plugins.health_checker("bad");
        let verdict = checker.check(&judged(&["a.test"]), &Recorded::new(vec![Ok(200)])).await?;
        let message = &verdict.message;
        assert!(message.starts_with("all checks passed (by the built-in check: plugin \"bad\""), "{message}");
        assert!(message.contains(says), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_transformer_leaves_the_group_as_it_is() -> Result<()> {
    let group = r#"{"metadata":{"name":"a.test"},"versions":[{"version":"v1"}]}"#;
    for (deed, says) in
        [("bad-json", "no JSON"), ("rename", "cannot be renamed"), ("trap", "trapped"), ("loop", "CPU")]
    {
        let plugins = start(&format!("{{settings: {{do: {deed}}}, discovery: {{enabled: true}}}}")).await?;
        let refused = plugins.host.transformers().remove(0).transform(group).await.unwrap_err();
        assert!(refused.contains(says), "{deed}: {refused}");
    }
    let plugins = start("{settings: {do: bad-order}, discovery: {enabled: true}}").await?;
    let heads = [GroupHead { name: "a.test".to_owned(), versions: vec![] }];
    let refused = plugins.host.transformers().remove(0).order(&heads).await.unwrap_err();
    assert!(refused.contains("not there"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_flood_of_log_lines_harms_nobody() -> Result<()> {
    let plugins = start("{settings: {do: log, host: 10.0.0.1}}").await?;
    let found = plugins.resolver("bad").resolve(&target(None)).await?;
    assert_eq!(found.endpoints[0].host, "10.0.0.1");

    // The log lines of a gateway.
    let home = tempfile::TempDir::new()?;
    let dir = home.path().join("data/plugins");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    write_manifest(
        &dir,
        "bad",
        "{limits: {wall: 30s}, settings: {do: log, host: 127.0.0.1}, grants: {addresses: [127.0.0.0/8]}}",
    )?;
    drop_guest(&dir, Guest::Misbehaving, "bad")?;
    let umbel = Umbel::start_in(home, &[]).await?;
    let service = serde_json::json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.g.example.com", "annotations": {"umbel.dev/resolver": "bad"}},
        "spec": {"group": "g.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "prod", "name": "shop"}}});
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    umbel.admin()?.post(services, &service).await?.expect(201)?;
    let log = umbel_tests::wait_for("the plugin to write into the log", super::PATIENCE, || async {
        let log = umbel.log();
        anyhow::ensure!(log.contains("flood"), "{log}");
        // Its answer is used only after its last log line.
        let found = umbel.admin()?.get(&format!("{services}/v1.g.example.com")).await?.text();
        anyhow::ensure!(found.contains("127.0.0.1:443"), "{found}");
        Ok(umbel.log())
    })
    .await?;
    let flood = log.lines().filter(|line| line.contains("flood")).count();
    assert!((1..1_000).contains(&flood), "{flood} of 1000 lines were written");
    assert!(!log.contains("\u{1b}[31m"), "an escape sequence reached the log");
    assert!(!log.lines().any(|line| line.starts_with("forged")), "a forged line reached the log");
    Ok(())
}
