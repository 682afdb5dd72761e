//! What stands in for a plugin that does not answer: each policy for each kind of decision.

use super::{PATIENCE, Plugins, Recorded, drop_guest, judged, subject_of, target, write_manifest};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use umbel::decision::binding::{BindingSubject, Decisions};
use umbel::decision::discovery::{DiscoveryTransformer, Outcome};
use umbel::decision::health::{HealthFault, State, Subject};
use umbel::decision::plugins::Plugins as _;
use umbel::decision::resolver::ResolveFault;
use umbel::model::failure_policy::FailurePolicy;
use umbel::plugin::{Reason, State as PluginState, Status};
use umbel_tests::{Guest, SilentMount, wait_for};

const GROUP: &str = r#"{"metadata":{"name":"a.test"},"versions":[{"version":"v1"}]}"#;
const OTHER: &str = r#"{"metadata":{"name":"a.test"},"versions":[{"version":"v2"}]}"#;

/// What the guest says of every backend; it counts the calls of its instance.
const JUDGED: &str = "judged by a plugin, 1";

/// No policy, and all of them.
fn policies() -> Vec<Option<FailurePolicy>> {
    std::iter::once(None).chain(FailurePolicy::ALL.map(Some)).collect()
}

fn bound(policy: Option<FailurePolicy>) -> BindingSubject {
    let api_service = format!("v1.{}", policy.map_or("usual", FailurePolicy::word));
    BindingSubject { api_service, failure_policy: policy, ..subject_of("p") }
}

fn the_only(plugins: &Plugins) -> Result<Arc<dyn DiscoveryTransformer>> {
    plugins.host.transformers().pop().context("no transformer")
}

/// A plugin that answered once, and then an operator switched it off.
async fn silenced() -> Result<Plugins> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", "{limits: {wall: 30s}, settings: {host: 10.0.0.1}}")?;
        drop_guest(dir, Guest::Misbehaving, "p")
    })
    .await?;
    assert_eq!(plugins.resolver("p").resolve(&target(Some("own.test"))).await?.endpoints[0].host, "10.0.0.1");
    let prober = Recorded::new(vec![Ok(500)]);
    let verdict = plugins.health_checker("p").check(&judged(&["a.test"]), &prober).await?;
    assert_eq!(verdict.message, JUDGED);
    plugins.host.set_disabled("p", true);
    Ok(plugins)
}

#[tokio::test]
async fn each_policy_of_a_resolver() -> Result<()> {
    let plugins = silenced().await?;
    for policy in policies() {
        let resolver = plugins.host.resolver(&bound(policy));
        let ask = async |name: &str, host: Option<&str>| {
            let target = umbel::decision::resolver::Target { name: name.to_owned(), ..target(host) };
            match resolver.resolve(&target).await {
                Ok(found) => found.endpoints[0].host.clone(),
                Err(ResolveFault::Withheld { public, detail }) => {
                    assert_eq!(public, "plugin \"p\" is switched off, and nothing stands in for it");
                    assert!(detail.contains("by an operator"), "{detail}");
                    "nothing".to_owned()
                }
                Err(other) => other.to_string(),
            }
        };
        let found =
            [ask("shop", Some("own.test")).await, ask("new", Some("own.test")).await, ask("new", None).await];
        let wanted = match policy {
            None => ["10.0.0.1", "own.test", "nothing"],
            Some(FailurePolicy::UseLastGood) => ["10.0.0.1", "nothing", "nothing"],
            Some(FailurePolicy::Builtin | FailurePolicy::Bypass) => ["own.test", "own.test", "nothing"],
            Some(FailurePolicy::Fail) => ["nothing"; 3],
        };
        assert_eq!(found, wanted, "{policy:?}");
    }
    let status = plugins.status("p")?;
    let shown = serde_json::to_value(&status)?;
    let of = |policy: &str| {
        let object = format!("APIService/v1.{policy}");
        status.bindings.iter().find(|one| one.object == object).map(|one| one.policy.clone())
    };
    assert_eq!(of("usual").as_deref(), Some("UseLastGood, then Builtin, then Fail"), "{shown}");
    assert_eq!(of("Fail").as_deref(), Some("Fail"), "{shown}");
    let counted = json!({"kind": "resolver", "policy": "Builtin", "reason": "disabled", "count": 5});
    assert!(shown["standIns"].as_array().is_some_and(|all| all.contains(&counted)), "{shown}");
    plugins.host.forget("v1.Fail");
    assert!(!plugins.status("p")?.bindings.iter().any(|one| one.object == "APIService/v1.Fail"));
    Ok(())
}

#[tokio::test]
async fn each_policy_of_a_health_checker() -> Result<()> {
    let plugins = silenced().await?;
    let prober = Recorded::new(vec![Ok(200)]);
    for policy in policies() {
        let checker = plugins.host.health_checker(&bound(policy));
        let known = checker.check(&judged(&["a.test"]), &prober).await?;
        let told = (known.state, known.message.as_str());
        let fresh = Subject { api_service: "v1.new".to_owned(), ..judged(&["a.test"]) };
        let fresh = checker.check(&fresh, &prober).await;
        let built_in =
            "all checks passed (by the built-in check: plugin \"p\" is switched off by an operator)";
        match policy {
            None | Some(FailurePolicy::Builtin) => assert_eq!(told, (State::Up, built_in)),
            Some(FailurePolicy::Bypass) => assert_eq!(told, (State::Up, "all checks passed")),
            Some(FailurePolicy::UseLastGood) => {
                assert_eq!(told, (State::Up, JUDGED));
                assert!(matches!(fresh, Err(HealthFault::Lapsed(_))), "{fresh:?}");
            }
            Some(FailurePolicy::Fail) => {
                assert_eq!((known.state, known.reason.as_str()), (State::Down, "PluginFailed"));
                assert!(known.message.contains("switched off"), "{}", known.message);
            }
        }
    }
    Ok(())
}

/// The transformer of a plugin that answered about `GROUP` and is silent now.
async fn silent_transformer(further: &str) -> Result<(Plugins, Arc<dyn DiscoveryTransformer>)> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        let spec = "limits: {wall: 30s}, settings: {do: hide}, discovery: {enabled: true, groups: ['*.test']";
        write_manifest(dir, "p", &format!("{{{spec}{further}}}"))?;
        drop_guest(dir, Guest::Misbehaving, "p")
    })
    .await?;
    let transformer = the_only(&plugins)?;
    assert_eq!(transformer.transform(GROUP).await, Ok(Outcome::Hide("as told".to_owned())));
    plugins.host.set_disabled("p", true);
    Ok((plugins, transformer))
}

#[tokio::test]
async fn each_policy_of_a_transformer() -> Result<()> {
    for (policy, restricts, keeps_last, hides) in [
        ("", false, true, false),
        ("UseLastGood", false, true, false),
        ("Builtin", false, false, false),
        ("Bypass", false, false, false),
        ("Fail", false, false, true),
        ("", true, false, true),
        ("UseLastGood", true, true, true),
        ("Bypass", true, false, false),
    ] {
        let purpose = if restricts { ", purpose: restrict}" } else { "}" };
        let named = if policy.is_empty() { String::new() } else { format!(", failurePolicy: {policy}") };
        let (plugins, transformer) = silent_transformer(&format!("{purpose}{named}")).await?;
        let case = format!("{policy:?} restricts: {restricts}");
        let last = transformer.transform(GROUP).await;
        assert_eq!(last.is_ok(), keeps_last, "{case}: {last:?}");
        let refused = transformer.transform(OTHER).await.unwrap_err();
        assert!(refused.contains("switched off"), "{case}: {refused}");
        let is_hidden = |name: &str| matches!(transformer.without_answer(name), Outcome::Hide(_));
        assert_eq!(is_hidden("a.test"), hides, "{case}");
        assert!(!is_hidden("other.example"), "{case}: it is not asked about that");
        let status: Value = serde_json::to_value(plugins.status("p")?)?;
        assert_eq!(status["bindings"][0]["object"], "*.test", "{case}: {status}");
    }
    Ok(())
}

#[tokio::test]
async fn restrict_fails_closed() -> Result<()> {
    let spec = "{settings: {do: trap}, limits: {wall: 30s}, discovery: {enabled: true, purpose: restrict}}";
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", spec)?;
        fs::write(dir.join("p.wasm"), b"broken")?;
        Ok(())
    })
    .await?;
    // Its component cannot even be loaded, and still nothing is shown that it would hide.
    let transformer = the_only(&plugins)?;
    let refused = transformer.transform(GROUP).await.unwrap_err();
    assert!(refused.contains("cannot be loaded"), "{refused}");
    assert!(matches!(transformer.without_answer("a.test"), Outcome::Hide(_)));

    drop_guest(plugins.dir.path(), Guest::Misbehaving, "p")?;
    plugins.wait_generation("p", 1).await?;
    let transformer = the_only(&plugins)?;
    let refused = transformer.transform(GROUP).await.unwrap_err();
    assert!(refused.contains("trapped"), "{refused}");
    assert!(matches!(transformer.without_answer("a.test"), Outcome::Hide(_)));
    let status = serde_json::to_value(plugins.status("p")?)?;
    let counted = json!({"kind": "discovery", "policy": "Fail", "reason": "trap", "count": 1});
    assert!(status["standIns"].as_array().is_some_and(|all| all.contains(&counted)), "{status}");

    write_manifest(plugins.dir.path(), "p", &spec.replace("purpose: restrict", "purpose: present"))?;
    plugins.wait_generation("p", 2).await?;
    assert_eq!(the_only(&plugins)?.without_answer("a.test"), Outcome::Keep);
    Ok(())
}

#[tokio::test]
async fn restrict_fails_closed_without_a_component() -> Result<()> {
    let spec = "{settings: {do: keep}, limits: {wall: 30s}, discovery: {enabled: true, purpose: restrict, groups: ['*.test']}}";
    let plugins = Plugins::start_loaded(vec![], |dir| write_manifest(dir, "p", spec)).await?;
    let hides = |name: &str| {
        let all = plugins.host.transformers();
        all.iter().any(|one| matches!(one.without_answer(name), Outcome::Hide(_)))
    };
    assert!(hides("a.test") && !hides("other.example"), "its component has not come yet");
    let refused = the_only(&plugins)?.transform(GROUP).await.unwrap_err();
    assert!(refused.contains("no plugin is named \"p\""), "{refused}");
    let status = plugins.wait_status("p", "missing", |status| status.reason.is_some()).await?;
    assert_eq!((status.state, status.reason), (PluginState::Missing, Some(Reason::Missing)));
    assert_eq!(status.bindings[0].policy, "Fail");

    drop_guest(plugins.dir.path(), Guest::Misbehaving, "p")?;
    plugins.wait_generation("p", 1).await?;
    assert_eq!(the_only(&plugins)?.transform(GROUP).await, Ok(Outcome::Keep));
    fs::remove_file(plugins.dir.path().join("p.wasm"))?;
    plugins.wait_status("p", "removed", |status| status.generation == 0).await?;
    assert!(hides("a.test"), "its component is gone and its manifest is not");
    plugins.host.set_disabled("p", true);
    assert!(plugins.host.transformers().is_empty(), "an operator has switched it off");
    plugins.host.set_disabled("p", false);
    fs::remove_file(plugins.dir.path().join("p.yaml"))?;
    wait_for("the manifest to be gone", PATIENCE, || async {
        anyhow::ensure!(plugins.host.transformers().is_empty(), "it still hides");
        Ok(())
    })
    .await
}

/// What becomes of an object that no annotation binds: by resolver and health checker.
async fn unbound(plugins: &Plugins, own: Option<FailurePolicy>) -> Result<[String; 2]> {
    let subject = BindingSubject {
        api_service: "v1.a.test".to_owned(),
        service: ("prod".to_owned(), "shop".to_owned()),
        failure_policy: own,
        ..BindingSubject::default()
    };
    let resolved = match plugins.host.resolver(&subject).resolve(&target(Some("own.test"))).await {
        Ok(found) => found.endpoints[0].host.clone(),
        Err(ResolveFault::Withheld { public, .. }) => public,
        Err(other) => other.to_string(),
    };
    let prober = Recorded::new(vec![Ok(200)]);
    let verdict = plugins.host.health_checker(&subject).check(&judged(&["a.test"]), &prober).await?;
    Ok([resolved, format!("{:?} {}", verdict.state, verdict.reason)])
}

const BOUND: &str = "limits: {wall: 30s}, settings: {host: 10.0.0.1}, bindings: {services: ['prod/*']}";
const BUILT_IN: [&str; 2] = ["own.test", "Up Passed"];

fn nothing(why: &str) -> [String; 2] {
    [format!("plugin \"p\" {why}, and nothing stands in for it"), "Down PluginFailed".to_owned()]
}

#[tokio::test]
async fn fail_holds_for_a_component_that_never_loaded() -> Result<()> {
    let fail = format!("{{{BOUND}, failurePolicy: Fail}}");
    for (spec, own, holds) in [
        (fail.clone(), None, true),
        // A mistake elsewhere in the manifest opens nothing.
        (fail.replace("settings", "setings"), None, true),
        (format!("{{{BOUND}}}"), Some(FailurePolicy::Fail), true),
        (format!("{{{BOUND}}}"), None, false),
        (fail.clone(), Some(FailurePolicy::Builtin), false),
        (format!("{{{BOUND}, failurePolicy: Bypass}}"), None, false),
    ] {
        let plugins = Plugins::start_loaded(vec![], |dir| {
            fs::write(dir.join("p.wasm"), b"broken")?;
            write_manifest(dir, "p", &spec)
        })
        .await?;
        let found = unbound(&plugins, own).await?;
        let wanted = if holds { nothing("is not loaded") } else { BUILT_IN.map(str::to_owned) };
        assert_eq!(found, wanted, "{spec} {own:?}");
    }
    Ok(())
}

#[tokio::test]
async fn fail_holds_before_the_component_comes_and_after_it_has_gone() -> Result<()> {
    let spec = format!("{{{BOUND}, failurePolicy: Fail}}");
    let plugins = Plugins::start_loaded(vec![], |dir| write_manifest(dir, "p", &spec)).await?;
    assert_eq!(unbound(&plugins, None).await?, nothing("is not there"));
    let status = plugins.wait_status("p", "missing", |status| status.reason.is_some()).await?;
    let status = serde_json::to_value(status)?;
    let counted = json!({"kind": "resolver", "policy": "Fail", "reason": "missing", "count": 1});
    assert!(status["standIns"].as_array().is_some_and(|all| all.contains(&counted)), "{status}");
    // What an annotation leads to asks the same manifest.
    let by_annotation = plugins.resolver("p").resolve(&target(Some("own.test"))).await;
    assert!(matches!(by_annotation, Err(ResolveFault::Withheld { .. })), "{by_annotation:?}");

    drop_guest(plugins.dir.path(), Guest::Misbehaving, "p")?;
    plugins.wait_generation("p", 1).await?;
    assert_eq!(unbound(&plugins, None).await?[0], "10.0.0.1");
    fs::remove_file(plugins.dir.path().join("p.wasm"))?;
    plugins.wait_status("p", "removed", |status| status.generation == 0).await?;
    assert_eq!(unbound(&plugins, None).await?, nothing("is not there"));
    fs::remove_file(plugins.dir.path().join("p.yaml"))?;
    wait_for("the binding to go with its manifest", PATIENCE, || async {
        let found = unbound(&plugins, None).await?;
        anyhow::ensure!(found == BUILT_IN, "{found:?}");
        Ok(())
    })
    .await
}

/// Writes at a file without an end, so that it never rests, until it is dropped.
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Writer {
    pub(super) fn start(path: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut file = fs::File::create(path)?;
            while !stopped.load(Ordering::Relaxed) {
                file.write_all(b"\0")?;
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(panic)) = self.thread.take().map(std::thread::JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Neither resolved nor listed, whatever becomes of the component.
async fn fails_closed(plugins: &Plugins, why: &str) -> Result<()> {
    assert_eq!(unbound(plugins, None).await?, nothing(why));
    let transformer = the_only(plugins)?;
    assert!(matches!(transformer.without_answer("a.test"), Outcome::Hide(_)), "{why}");
    let answer = transformer.transform(GROUP).await;
    assert!(answer.is_err(), "{why}: {answer:?}");
    Ok(())
}

fn closed_manifest(dir: &Path) -> Result<()> {
    write_manifest(dir, "p", &format!("{{{BOUND}, failurePolicy: Fail, {RESTRICT}}}"))
}

const RESTRICT: &str = "discovery: {enabled: true, purpose: restrict}";

#[tokio::test]
async fn fail_holds_while_the_component_is_copied() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], closed_manifest).await?;
    fails_closed(&plugins, "is not there").await?;
    let writer = Writer::start(plugins.dir.path().join("p.wasm"));
    let copied = |status: &Status| status.message.contains("keep changing");
    plugins.wait_status("p", "copied", copied).await?;
    fails_closed(&plugins, "is not loaded").await?;
    assert_eq!(plugins.status("p")?.bindings[0].policy, "Fail");
    drop(writer);
    plugins.wait_status("p", "refused", |status| status.reason == Some(Reason::NotAComponent)).await?;
    fails_closed(&plugins, "is not loaded").await
}

#[tokio::test]
async fn fail_holds_while_the_component_cannot_be_read() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], closed_manifest).await?;
    let dir = plugins.dir.path();
    fs::create_dir(dir.join("silent"))?;
    let Some(_silent) = SilentMount::start(&dir.join("silent"))? else { return Ok(()) };
    symlink("silent/p.wasm", dir.join("p.wasm"))?;
    plugins.wait_status("p", "being read", |status| status.state == PluginState::Checking).await?;
    fails_closed(&plugins, "is not loaded").await?;
    plugins.wait_status("p", "refused", |status| status.reason == Some(Reason::CheckTimeout)).await?;
    fails_closed(&plugins, "is not loaded").await
}
