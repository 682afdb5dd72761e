//! Budgets of calls: which one cuts what, and that nothing is left of a call that was cut.

use super::{Plugins, Recorded, drop_guest, judged, target, write_manifest};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use umbel::decision::plugins::Plugins as _;
use umbel::decision::resolver::{Resolver, Target};
use umbel_tests::{DnsServer, Guest, Record, multi_memory, wait_for};

const PLUGIN: &str = "bad";
/// What the built-in answers, where the plugin does not.
const FALLBACK: &str = "shop.example.com";
/// On a busy machine the wall clock could strike before the limit that a test is about.
const PATIENT: &str = "wall: 30s";

async fn start(spec: &str) -> Result<Plugins> {
    Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, PLUGIN, spec)?;
        drop_guest(dir, Guest::Misbehaving, PLUGIN)
    })
    .await
}

/// Asks the guest to do something.
fn told(deed: &str) -> Target {
    Target { annotations: vec![("do".to_owned(), deed.to_owned())], ..target(Some(FALLBACK)) }
}

/// The host that serves after the guest was told to do something.
async fn host_after(resolver: &dyn Resolver, deed: &str) -> Result<String> {
    let found = resolver.resolve(&told(deed)).await?;
    Ok(found.endpoints.first().context("no endpoint")?.host.clone())
}

fn resolver_faults(plugins: &Plugins) -> Result<BTreeMap<String, u64>> {
    let by_kind = plugins.status(PLUGIN)?.faults_by_class;
    let classes = by_kind.get("resolver").into_iter().flatten();
    Ok(classes.map(|(class, count)| ((*class).to_owned(), *count)).collect())
}

/// Lets calls end in every bad way. A counter in the guest tells how often its instance answered.
async fn fail_in_every_way(reuse: &str, second: &str) -> Result<()> {
    let plugins = start(&format!("{{limits: {{{PATIENT}}}, {reuse}}}")).await?;
    fail_here(&plugins, second).await
}

async fn fail_here(plugins: &Plugins, second: &str) -> Result<()> {
    let resolver = plugins.resolver(PLUGIN);
    for deed in ["trap", "eat-memory", "recurse", "loop", "huge"] {
        assert_eq!(host_after(&*resolver, "count").await?, "10.0.0.1", "before {deed}");
        assert_eq!(host_after(&*resolver, "count").await?, second, "before {deed}");
        // A good answer of a moment ago stands in for the bad one; never a store that was entered again.
        host_after(&*resolver, deed).await?;
        let fault = plugins.status(PLUGIN)?.last_fault.context("no fault")?;
        ensure!(!fault.contains("cannot enter"), "{deed}: {fault}");
    }
    assert_eq!(host_after(&*resolver, "count").await?, "10.0.0.1", "after all of them");
    let faults = resolver_faults(plugins)?;
    let wanted = [("host-bytes", 1), ("memory", 1), ("timeout-cpu", 1), ("trap", 2)];
    assert_eq!(faults, wanted.map(|(class, count)| (class.to_owned(), count)).into());
    Ok(())
}

/// Lets calls run into the wall clock, and callers go away.
async fn leave_in_every_way(reuse: &str) -> Result<()> {
    let plugins = start(&format!("{{limits: {{wall: 2s, cpu: 10s}}, {reuse}}}")).await?;
    leave_here(&plugins).await
}

async fn leave_here(plugins: &Plugins) -> Result<()> {
    let resolver = plugins.resolver(PLUGIN);
    assert_eq!(host_after(&*resolver, "count").await?, "10.0.0.1");
    host_after(&*resolver, "loop").await?;
    assert_eq!(resolver_faults(plugins)?, [("timeout-wall".to_owned(), 1)].into());
    assert_eq!(host_after(&*resolver, "count").await?, "10.0.0.1", "after the timeout");
    let gone = tokio::time::timeout(Duration::from_millis(100), host_after(&*resolver, "loop")).await;
    ensure!(gone.is_err(), "the call was over: {gone:?}");
    assert_eq!(host_after(&*resolver, "count").await?, "10.0.0.1", "after the caller left");
    let faults = plugins.status(PLUGIN)?.last_fault;
    ensure!(faults.as_deref().is_some_and(|fault| fault.contains("did not answer within")), "{faults:?}");
    Ok(())
}

#[tokio::test]
async fn trap_discards_the_store() -> Result<()> {
    fail_in_every_way("settings: {}", "10.0.0.1").await?;
    leave_in_every_way("settings: {}").await
}

#[tokio::test]
async fn trap_discards_the_store_of_a_warm_instance() -> Result<()> {
    fail_in_every_way("reuse: {}", "10.0.0.2").await?;
    leave_in_every_way("reuse: {}").await
}

/// The control plane asks from the plugin runtime, where a call is made in the caller's own task.
#[tokio::test]
async fn trap_discards_the_store_of_a_call_from_its_home() -> Result<()> {
    for (reuse, second) in [("settings: {}", "10.0.0.1"), ("reuse: {}", "10.0.0.2")] {
        let plugins = Arc::new(start(&format!("{{limits: {{{PATIENT}}}, {reuse}}}")).await?);
        let (home, there) = (home_of(&plugins)?, Arc::clone(&plugins));
        home.spawn(async move { fail_here(&there, second).await }).await??;
        let plugins = Arc::new(start(&format!("{{limits: {{wall: 2s, cpu: 10s}}, {reuse}}}")).await?);
        let (home, there) = (home_of(&plugins)?, Arc::clone(&plugins));
        home.spawn(async move { leave_here(&there).await }).await??;
    }
    Ok(())
}

fn home_of(plugins: &Plugins) -> Result<tokio::runtime::Handle> {
    plugins.resolver(PLUGIN).home().context("a plugin has a home")
}

#[tokio::test]
async fn a_warm_instance_is_retired_by_every_rule() -> Result<()> {
    let plugins = start(&format!("{{limits: {{{PATIENT}}}, reuse: {{maxCalls: 3}}}}")).await?;
    let resolver = plugins.resolver(PLUGIN);
    let mut hosts = Vec::new();
    for _ in 0..5 {
        hosts.push(host_after(&*resolver, "count").await?);
    }
    assert_eq!(hosts, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2"], "maxCalls");

    let plugins = start(&format!("{{limits: {{{PATIENT}}}, reuse: {{maxIdle: 50ms}}}}")).await?;
    let resolver = plugins.resolver(PLUGIN);
    for _ in 0..3 {
        assert_eq!(host_after(&*resolver, "count").await?, "10.0.0.1", "maxIdle");
        tokio::time::sleep(Duration::from_millis(60)).await;
    }

    let plugins = start(&format!("{{limits: {{{PATIENT}}}, reuse: {{}}}}")).await?;
    let resolver = plugins.resolver(PLUGIN);
    assert_eq!(host_after(&*resolver, "count").await?, "10.0.0.1");
    assert_eq!(host_after(&*resolver, "keep-26-mib").await?, "10.0.0.2", "it fits into 32 MiB");
    assert_eq!(host_after(&*resolver, "count").await?, "10.0.0.1", "memory beyond three quarters");

    let checker = plugins.health_checker(PLUGIN);
    for count in 1..=3 {
        let verdict = checker.check(&judged(&["a.test"]), &Recorded::new(vec![Ok(200)])).await?;
        assert_eq!(verdict.message, format!("judged by a plugin, {count}"), "checkers are kept too");
    }
    write_manifest(
        plugins.dir.path(),
        PLUGIN,
        &format!("{{limits: {{{PATIENT}, cpu: 90ms}}, reuse: {{}}}}"),
    )?;
    plugins.wait_generation(PLUGIN, 2).await?;
    assert_eq!(host_after(&*resolver, "count").await?, "10.0.0.1", "a new generation has none of the old");
    Ok(())
}

#[tokio::test]
async fn calls_of_a_warm_instance_are_kept_for_rehearsals() -> Result<()> {
    let plugins = start(&format!("{{limits: {{{PATIENT}}}, reuse: {{}}}}")).await?;
    let resolver = plugins.resolver(PLUGIN);
    for (name, count) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        let asked = Target { name: name.to_owned(), ..told("count") };
        assert_eq!(resolver.resolve(&asked).await?.endpoints[0].host, count);
    }
    let calls = plugins.host.calls(PLUGIN).context("no calls")?;
    let names: Vec<_> = calls["items"].as_array().context("no items")?.iter().collect();
    let names: Vec<_> = names.iter().map(|call| &call["question"]["target"]["name"]).collect();
    assert_eq!(names, ["a", "b"], "{calls}");
    Ok(())
}

#[tokio::test]
async fn a_warm_instance_has_its_whole_budget_for_each_call() -> Result<()> {
    // More calls than one budget of lines, and together more computing than one call may do.
    let plugins = start(&format!("{{limits: {{{PATIENT}, cpu: 200ms}}, reuse: {{}}}}")).await?;
    let resolver = plugins.resolver(PLUGIN);
    for count in 1..=30 {
        assert_eq!(host_after(&*resolver, "compute").await?, format!("10.0.0.{count}"));
    }
    assert_eq!(resolver_faults(&plugins)?, BTreeMap::new());
    Ok(())
}

#[tokio::test]
async fn reuse_is_refused_where_discovery_is_decided() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "ids", "{reuse: {}}")?;
        drop_guest(dir, Guest::DiscoveryIdentity, "ids")
    })
    .await?;
    let status = plugins.status("ids")?;
    assert_eq!(status.reason.map(|reason| reason.to_string()).as_deref(), Some("ManifestInvalid"));
    assert!(status.message.contains("remove spec.reuse"), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn endless_loop_is_cut_by_cpu_budget() -> Result<()> {
    let plugins = start(&format!("{{limits: {{{PATIENT}, concurrency: 8}}}}")).await?;
    let resolver = plugins.resolver(PLUGIN);
    // More loops than there are threads, and somebody who is served all the same.
    let asked = told("loop");
    let loops = futures_util::future::join_all((0..4).map(|_| resolver.resolve(&asked)));
    let (ends, answered) = tokio::join!(loops, host_after(&*resolver, "count"));
    assert_eq!(answered?, "10.0.0.1", "the threads are usable");
    for end in ends {
        let host = &end?.endpoints[0].host;
        ensure!(host == FALLBACK || host == "10.0.0.1", "{host}");
    }
    assert_eq!(resolver_faults(&plugins)?, [("timeout-cpu".to_owned(), 4)].into());
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_takes_all_places_leaves_others_a_quick_answer() -> Result<()> {
    // Takes questions and never answers.
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    let plugins = Plugins::start_loaded(vec![silent.local_addr()?], |dir| {
        let greedy = "{limits: {wall: 60s, cpu: 10s, concurrency: 32}, grants: {dns: ['*.test']}}";
        write_manifest(dir, "greedy", greedy)?;
        drop_guest(dir, Guest::Waiting, "greedy")?;
        write_manifest(dir, PLUGIN, &format!("{{limits: {{{PATIENT}}}}}"))?;
        drop_guest(dir, Guest::Misbehaving, PLUGIN)
    })
    .await?;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let greedy = plugins.resolver("greedy");
        calls.spawn(async move { greedy.resolve(&target(None)).await });
    }
    let resolver = plugins.resolver(PLUGIN);
    let ask = || async {
        // Another target each time, so that no last good answer stands in.
        let name = format!("shop-{}", fastrand::u64(..));
        let outcome = resolver.resolve(&Target { name, external_name: None, ..told("count") }).await;
        anyhow::Ok(outcome.map(|found| found.endpoints[0].host.clone()).map_err(|fault| fault.to_string()))
    };
    wait_for("all places to be taken", super::PATIENCE, || async {
        let fault = ask().await?.err().context("it was answered")?;
        ensure!(fault.contains("is busy: 32 calls run"), "{fault}");
        Ok(())
    })
    .await?;
    let status = plugins.status(PLUGIN)?;
    ensure!(resolver_faults(&plugins)?.get("queue-full") >= Some(&1), "{status:?}");
    assert_eq!(status.faults, 0, "that does not speak against it");
    calls.shutdown().await;
    wait_for("places to be free again", super::PATIENCE, || async {
        let host = ask().await?.map_err(anyhow::Error::msg)?;
        ensure!(host == "10.0.0.1", "{host}");
        Ok(())
    })
    .await
}

/// A guest that looks one name up again and again, under these limits.
async fn start_waiting(dns: std::net::SocketAddr, limits: &str) -> Result<Plugins> {
    Plugins::start_loaded(vec![dns], |dir: &Path| {
        write_manifest(dir, PLUGIN, &format!("{{limits: {{{limits}}}, grants: {{dns: ['*.test']}}}}"))?;
        drop_guest(dir, Guest::Waiting, PLUGIN)
    })
    .await
}

#[tokio::test]
async fn sleeping_host_call_is_cut_by_wall_budget() -> Result<()> {
    // Takes questions and never answers.
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    let plugins = start_waiting(silent.local_addr()?, "wall: 500ms, cpu: 10s").await?;
    let found = plugins.resolver(PLUGIN).resolve(&target(Some(FALLBACK))).await?;
    assert_eq!(found.endpoints[0].host, FALLBACK);
    assert_eq!(resolver_faults(&plugins)?, [("timeout-wall".to_owned(), 1)].into());
    Ok(())
}

#[tokio::test]
async fn waiting_costs_no_cpu_budget() -> Result<()> {
    let names = ["a.test", "b.test", "c.test", "d.test", "e.test", "f.test", "g.test"];
    let mut zone: Vec<_> = names.iter().map(|name| ("shop.test", Record::Srv(0, 1, 8443, name))).collect();
    zone.extend(names.iter().map(|name| (*name, Record::A(Ipv4Addr::new(10, 0, 0, 7)))));
    let slow = DnsServer::start_slow(zone, 30, Duration::from_millis(50))?;
    let plugins = Plugins::start_loaded(vec![slow.address], |dir| {
        let spec = "{limits: {wall: 30s, cpu: 20ms}, grants: {dns: ['*.test']}, settings: {name: shop.test}}";
        write_manifest(dir, PLUGIN, spec)?;
        drop_guest(dir, Guest::ResolverSrv, PLUGIN)
    })
    .await?;
    let found = plugins.resolver(PLUGIN).resolve(&target(None)).await?;
    assert_eq!(found.endpoints[0].host, "10.0.0.7");
    // Each question was waited for, so this took at least 400 ms, in more waits than the budget has ticks.
    assert!(slow.asked() >= 8, "{}", slow.asked());
    assert_eq!(resolver_faults(&plugins)?, BTreeMap::new());
    Ok(())
}

#[tokio::test]
async fn memory_sum_is_limited() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, PLUGIN, &format!("{{limits: {{{PATIENT}, memory: 32MiB}}}}"))?;
        Ok(std::fs::write(dir.join(format!("{PLUGIN}.wasm")), multi_memory::component(12 << 20)?)?)
    })
    .await?;
    let resolver = plugins.resolver(PLUGIN);
    // The port says in how many of its memories it takes 12 MiB.
    for memories in [1, 2] {
        let found = resolver.resolve(&Target { port: memories, ..target(None) }).await?;
        assert_eq!(found.endpoints[0].host, "10.0.0.9", "{memories} memories fit");
    }
    let fault = resolver.resolve(&Target { port: 3, name: "other".to_owned(), ..target(None) }).await;
    let fault = fault.err().context("three fit")?.to_string();
    assert!(fault.contains("more than its 32768 KiB of memory"), "{fault}");
    assert_eq!(resolver_faults(&plugins)?, [("memory".to_owned(), 1)].into());
    Ok(())
}
