//! What `/metrics` tells of plugins.

use super::{Plugins, drop_guest, target, write_manifest};
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use umbel::decision::resolver::Target;
use umbel::observe::Metrics;
use umbel_tests::{DnsServer, Guest, Record};

/// A host whose plugins are shown.
struct Shown {
    plugins: Plugins,
    metrics: Arc<Metrics>,
}

impl Shown {
    async fn start(guest: Guest, spec: &str, dns: &[&DnsServer]) -> Result<Self> {
        let servers = dns.iter().map(|server| server.address).collect();
        let plugins = Plugins::start_loaded(servers, |dir| {
            write_manifest(dir, "shown", spec)?;
            drop_guest(dir, guest, "shown")
        })
        .await?;
        let metrics = Metrics::new()?;
        plugins.host.show_metrics(&metrics)?;
        Ok(Self { plugins, metrics })
    }

    fn text(&self) -> Result<String> {
        Ok(String::from_utf8(self.metrics.render()?)?)
    }

    /// The value of a series of `aggregator_plugin_*`, labels in alphabetical order without `plugin`.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let mut all: Vec<_> = labels.iter().chain(&[("plugin", "shown")]).collect();
        all.sort();
        let pairs: Vec<String> = all.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let series = format!("aggregator_plugin_{name}{{{}}} ", pairs.join(","));
        let text = self.text()?;
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.with_context(|| format!("no {series}in\n{text}"))?.parse().context("no number")
    }
}

#[tokio::test]
async fn calls_and_faults_are_counted_with_what_they_cost() -> Result<()> {
    let shown = Shown::start(Guest::Misbehaving, "{limits: {wall: 30s}}", &[]).await?;
    let resolver = shown.plugins.resolver("shown");
    for deed in ["count", "log", "loop", "no-endpoints", "unavailable"] {
        let asked =
            Target { annotations: vec![("do".to_owned(), deed.to_owned())], ..target(Some("a.test")) };
        drop(resolver.resolve(&asked).await);
    }
    let of = |result| [("kind", "resolver"), ("result", result)];
    // `log` answers nonsense: it names no host.
    assert_eq!(shown.value("calls_total", &of("answer"))?, 2.0);
    assert_eq!(shown.value("calls_total", &of("fault"))?, 3.0);
    for (class, count) in [("timeout-cpu", 1.0), ("answer-invalid", 2.0), ("plugin-fault", 1.0)] {
        assert_eq!(shown.value("faults_total", &[("kind", "resolver"), ("class", class)])?, count, "{class}");
    }
    let resolver_only = [("kind", "resolver")];
    for histogram in ["call_seconds_count", "wait_seconds_count"] {
        assert_eq!(shown.value(histogram, &resolver_only)?, 5.0, "{histogram}");
    }
    // The loop alone computed for its whole budget of 100 ms.
    let (cpu, took) =
        (shown.value("cpu_seconds_total", &resolver_only)?, shown.value("call_seconds_sum", &resolver_only)?);
    ensure!(cpu >= 0.1 && took >= cpu, "{cpu} of {took}");
    let peak = shown.value("peak_memory_bytes", &resolver_only)?;
    ensure!((65_536.0..=33_554_432.0).contains(&peak), "{peak}");
    // A call may log 64 lines.
    assert_eq!(
        shown.value("host_calls_total", &[("function", "log.write"), ("result", "answered")])?,
        1_000.0
    );
    assert_eq!(shown.value("log_lines_dropped_total", &[])?, 936.0);
    for (reason, count) in [("timeout-cpu", 1.0), ("answer-invalid", 2.0)] {
        let labels = [("kind", "resolver"), ("policy", "Builtin"), ("reason", reason)];
        assert_eq!(shown.value("policy_applied_total", &labels)?, count, "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn state_and_files_are_shown_and_go_with_the_plugin() -> Result<()> {
    let dns = DnsServer::start(vec![("shop.test", Record::Srv(0, 1, 1, "."))], 30)?;
    let shown = Shown::start(Guest::ResolverSrv, "{grants: {dns: ['*.test']}}", &[&dns]).await?;
    let plugin = shown.plugins.resolver("shown");
    drop(plugin.resolve(&target(Some("shop.test"))).await);
    drop(plugin.resolve(&target(Some("shop.example.com"))).await);
    let services = |result| [("function", "dns.services"), ("result", result)];
    assert_eq!(shown.value("host_calls_total", &services("answered"))?, 1.0);
    assert_eq!(shown.value("host_calls_total", &services("denied"))?, 1.0);
    let status = shown.plugins.status("shown")?;
    let digest = status.digest.context("no digest")?;
    let info = [("kind", "resolver"), ("interface_version", "0.1.0"), ("digest_short", &digest[..12])];
    assert_eq!(shown.value("info", &info)?, 1.0);
    assert_eq!(shown.value("state", &[("state", "Active")])?, 1.0);
    assert_eq!((shown.value("generation", &[])?, shown.value("breaker_state", &[])?), (1.0, 0.0));
    ensure!(shown.value("compile_seconds", &[])? >= 0.0);
    for step in ["Checking", "Compiling", "Linking", "Validating"] {
        ensure!(shown.value("load_step_seconds", &[("step", step)])? >= 0.0);
    }
    ensure!(
        shown.text()?.contains("aggregator_plugin_cache_total{result=\"compiled\"} 1\n"),
        "{}",
        shown.text()?
    );

    let dir = shown.plugins.dir.path();
    write_manifest(dir, "shown", "{settings: {nonsense: 1}}")?;
    shown.plugins.wait_status("shown", "refused", |status| status.reason.is_some()).await?;
    let reloads = |result, reason| shown.value("reload_total", &[("result", result), ("reason", reason)]);
    assert_eq!(reloads("taken", "")?, 1.0);
    assert_eq!(reloads("refused", "SettingsInvalid")?, 1.0);
    assert_eq!(shown.value("state", &[("state", "Rejected")])?, 1.0);

    std::fs::remove_file(dir.join("shown.wasm"))?;
    umbel_tests::wait_for("the series to be gone", super::PATIENCE, || async {
        let text = shown.text()?;
        ensure!(!text.contains("plugin=\"shown\""), "{text}");
        Ok(())
    })
    .await
}
