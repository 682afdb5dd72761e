//! Files come, change and go while the gateway runs.

use super::{PATIENCE, Plugins, drop_guest, target, write_manifest};
use anyhow::{Result, anyhow};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use umbel::decision::binding::{BindingSubject, Decisions};
use umbel::plugin::{Reason, State};
use umbel_tests::{Guest, wait_for};

fn host_setting(host: &str) -> String {
    format!("{{settings: {{host: {host}}}}}")
}

#[tokio::test]
async fn a_component_is_added_replaced_and_removed_while_running() -> Result<()> {
    let plugins = Plugins::start()?;
    let mut changes = plugins.host.generation();
    let dir = plugins.dir.path();
    drop_guest(dir, Guest::ResolverExternalName, "p")?;
    tokio::time::timeout(PATIENCE, changes.changed()).await??;
    let first = plugins.wait_generation("p", 1).await?;
    assert_eq!(first.interfaces, ["umbel:resolver/resolver@0.1.0"]);
    drop_guest(dir, Guest::Misbehaving, "p")?;
    let second = plugins.wait_generation("p", 2).await?;
    assert_ne!(first.digest, second.digest);
    assert_eq!(second.interfaces.len(), 3);
    fs::remove_file(dir.join("p.wasm"))?;
    let gone = plugins.wait_status("p", "gone", |status| status.state == State::Removed).await?;
    assert_eq!((gone.generation, gone.reason, gone.digest), (0, None, None), "it is still told of");
    Ok(())
}

#[tokio::test]
async fn a_binding_outlives_its_plugin() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", &host_setting("10.0.0.1"))?;
        drop_guest(dir, Guest::Misbehaving, "p")
    })
    .await?;
    let resolver = plugins.resolver("p");
    assert_eq!(resolver.resolve(&target(None)).await?.endpoints[0].host, "10.0.0.1");
    fs::remove_file(plugins.dir.path().join("p.wasm"))?;
    let missing = |status: &umbel::plugin::Status| status.reason == Some(Reason::Missing);
    let status = plugins.wait_status("p", "missing", missing).await?;
    assert!(status.message.contains("put p.wasm into"), "{status:?}");
    let last = resolver.resolve(&target(None)).await?;
    assert_eq!(last.endpoints[0].host, "10.0.0.1", "the last good answer serves");
    let built_in = resolver.resolve(&target(Some("a.test"))).await?;
    assert_eq!((built_in.endpoints[0].host.as_str(), built_in.fresh), ("a.test", Duration::from_secs(5)));
    drop_guest(plugins.dir.path(), Guest::Misbehaving, "p")?;
    plugins.wait_generation("p", 1).await?;
    assert_eq!(resolver.resolve(&target(Some("a.test"))).await?.endpoints[0].host, "10.0.0.1");
    Ok(())
}

#[tokio::test]
async fn the_built_in_stands_in_for_a_plugin_that_never_was() -> Result<()> {
    let plugins = Plugins::start()?;
    assert!(plugins.host.status().is_empty());
    let (resolver, checker) = (plugins.resolver("ghost"), plugins.health_checker("ghost"));
    let found = resolver.resolve(&target(Some("a.test"))).await?;
    assert_eq!((found.endpoints[0].host.as_str(), found.fresh), ("a.test", Duration::from_secs(5)));
    let hostless = resolver.resolve(&target(None)).await.unwrap_err().to_string();
    assert!(hostless.contains("no plugin is named \"ghost\""), "{hostless}");
    let verdict = checker.check(&super::judged(&["a.test"]), &super::Recorded::new(vec![Ok(200)])).await?;
    assert!(verdict.message.contains("by the built-in check: no plugin is named"), "{}", verdict.message);
    assert_eq!(plugins.status("ghost")?.reason, Some(Reason::Missing));
    drop((resolver, checker));
    assert!(plugins.host.status().is_empty(), "nobody names it any more");
    Ok(())
}

#[tokio::test]
async fn one_plugin_is_one_resolver_over_all_objects_and_generations() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| drop_guest(dir, Guest::Misbehaving, "p")).await?;
    let (resolver, checker) = (plugins.resolver("p"), plugins.health_checker("p"));
    write_manifest(plugins.dir.path(), "p", &host_setting("10.0.0.1"))?;
    plugins.wait_generation("p", 2).await?;
    let other = BindingSubject { api_service: "v1.other".to_owned(), ..super::subject_of("p") };
    assert!(Arc::ptr_eq(&resolver, &plugins.host.resolver(&other)));
    assert!(Arc::ptr_eq(&checker, &plugins.host.health_checker(&other)));
    Ok(())
}

#[tokio::test]
async fn a_crowd_waits_for_its_turn() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", &host_setting("10.0.0.1"))?;
        drop_guest(dir, Guest::Misbehaving, "p")
    })
    .await?;
    let resolver = plugins.resolver("p");
    let (target, calls) = (target(Some("a.test")), 600);
    let answers = futures_util::future::join_all((0..calls).map(|_| resolver.resolve(&target))).await;
    for answer in answers {
        assert_eq!(answer?.endpoints[0].host, "10.0.0.1");
    }
    assert_eq!(plugins.status("p")?.faults, 0);
    Ok(())
}

#[tokio::test]
async fn a_swap_under_load_fails_no_call() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", &host_setting("10.0.0.1"))?;
        drop_guest(dir, Guest::Misbehaving, "p")
    })
    .await?;
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut callers = Vec::new();
    for _ in 0..4 {
        let (resolver, stop, calls) = (plugins.resolver("p"), Arc::clone(&stop), Arc::clone(&calls));
        callers.push(tokio::spawn(async move {
            let mut newest = 0;
            while !stop.load(Ordering::Relaxed) {
                let host = resolver.resolve(&target(None)).await?.endpoints.remove(0).host;
                let number: u32 = host.trim_start_matches("10.0.0.").parse()?;
                anyhow::ensure!(number >= newest, "generation {number} after {newest}");
                newest = number;
                calls.fetch_add(1, Ordering::Relaxed);
            }
            Ok(newest)
        }));
    }
    for generation in 2..=4_u32 {
        write_manifest(plugins.dir.path(), "p", &host_setting(&format!("10.0.0.{generation}")))?;
        plugins.wait_generation("p", u64::from(generation)).await?;
        let before = calls.load(Ordering::Relaxed);
        wait_for("calls on the new generation", PATIENCE, || async {
            let made = calls.load(Ordering::Relaxed) - before;
            if made >= 50 { Ok(()) } else { Err(anyhow!("{made} calls")) }
        })
        .await?;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        assert_eq!(caller.await??, 4, "every caller came to the last generation");
    }
    assert_eq!(plugins.status("p")?.faults, 0);
    Ok(())
}

#[tokio::test]
async fn a_call_in_flight_ends_on_the_generation_that_it_began_with() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", "{settings: {path: /slow, failures: 1}, grants: {probe: [/slow]}}")?;
        drop_guest(dir, Guest::HealthThreshold, "p")
    })
    .await?;
    let (gate, opened) = tokio::sync::oneshot::channel();
    let prober = Slow(parking_lot::Mutex::new(Some(opened)), tokio::sync::Notify::new());
    let (checker, subject) = (plugins.health_checker("p"), super::judged(&["a.test"]));
    let check = checker.check(&subject, &prober);
    let swap = async {
        prober.1.notified().await;
        write_manifest(
            plugins.dir.path(),
            "p",
            "{settings: {path: /other, failures: 9}, grants: {probe: [/other]}}",
        )?;
        plugins.wait_generation("p", 2).await?;
        gate.send(()).map_err(|()| anyhow!("the probe is gone"))
    };
    let (verdict, swapped) = tokio::join!(check, swap);
    swapped?;
    // One failure is enough for the old settings only.
    assert_eq!(verdict?.message, "1 failures in a row; a.test:443 is down: GET /slow answered 500");
    Ok(())
}

/// Answers 500 when it is told to, and tells when it is asked.
struct Slow(parking_lot::Mutex<Option<tokio::sync::oneshot::Receiver<()>>>, tokio::sync::Notify);

impl umbel::decision::health::Prober for Slow {
    fn send(
        &self,
        _request: umbel::decision::health::ProbeRequest,
    ) -> futures_util::future::BoxFuture<
        '_,
        Result<umbel::decision::health::ProbeResponse, umbel::decision::health::ProbeFault>,
    > {
        let gate = self.0.lock().take();
        Box::pin(async move {
            self.1.notify_one();
            if let Some(gate) = gate {
                gate.await.ok();
            }
            Ok(umbel::decision::health::ProbeResponse { status: 500, ..Default::default() })
        })
    }
}

#[tokio::test]
async fn manifests_bind_and_annotations_win() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        for (name, host, bindings) in [
            ("wide", "10.0.0.1", "{services: ['prod/*']}"),
            ("narrow", "10.0.0.2", "{services: [prod/shop]}"),
            ("twin-a", "10.0.0.3", "{services: ['dev/*']}"),
            ("twin-b", "10.0.0.4", "{services: ['dev/*']}"),
            ("by-api", "10.0.0.5", "{apiServices: ['*.api.test']}"),
        ] {
            write_manifest(dir, name, &format!("{{settings: {{host: {host}}}, bindings: {bindings}}}"))?;
            drop_guest(dir, Guest::Misbehaving, name)?;
        }
        Ok(())
    })
    .await?;
    for name in ["wide", "narrow", "twin-a", "twin-b", "by-api"] {
        plugins.wait_generation(name, 1).await?;
    }
    for (service, api_service, plugin, wanted) in [
        (("prod", "shop"), "v1.a", None, "10.0.0.2"),
        (("prod", "other"), "v1.a", None, "10.0.0.1"),
        (("prod", "other"), "v1.a", Some("twin-a"), "10.0.0.3"),
        (("x", "y"), "v1.api.test", None, "10.0.0.5"),
        (("x", "y"), "v1.other", None, "own.host.test"),
        (("dev", "x"), "v1.other", None, "own.host.test"),
    ] {
        let subject = BindingSubject {
            api_service: api_service.to_owned(),
            service: (service.0.to_owned(), service.1.to_owned()),
            plugin: plugin.map(str::to_owned),
            failure_policy: None,
        };
        let found = plugins.host.resolver(&subject).resolve(&target(Some("own.host.test"))).await?;
        assert_eq!(found.endpoints[0].host, wanted, "{subject:?}");
    }
    Ok(())
}

#[tokio::test]
async fn transformers_go_by_priority_then_name_and_only_when_enabled() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        for (name, discovery) in [
            ("b-late", "{enabled: true, priority: 1}"),
            ("a-late", "{enabled: true, priority: 1}"),
            ("first", "{enabled: true, priority: 9}"),
            ("off", "{priority: 99}"),
        ] {
            write_manifest(dir, name, &format!("{{settings: {{do: hide}}, discovery: {discovery}}}"))?;
            drop_guest(dir, Guest::Misbehaving, name)?;
        }
        Ok(())
    })
    .await?;
    for name in ["b-late", "a-late", "first", "off"] {
        plugins.wait_generation(name, 1).await?;
    }
    let group = r#"{"metadata":{"name":"a.test"},"versions":[]}"#;
    let mut order = Vec::new();
    for transformer in plugins.host.transformers() {
        let before = plugins.host.status();
        transformer.transform(group).await.map_err(|cause| anyhow!(cause))?;
        let after = plugins.host.status();
        let called = before.iter().zip(&after).find(|(before, after)| before.calls != after.calls);
        order.push(called.map(|(_, after)| after.name.clone()).unwrap_or_default());
    }
    assert_eq!(order, ["first", "a-late", "b-late"]);
    Ok(())
}
