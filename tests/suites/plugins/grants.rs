//! What a plugin is refused without a grant, and what a grant opens.

use super::{Plugins, drop_guest, target, write_manifest};
use anyhow::{Context, Result};
use umbel::plugin::record::{Answer, Question, Tape};
use umbel::plugin::{Compiled, Metering, Workbench};
use umbel_tests::{Guest, wait_for};

const WORLD: &str = "
dns:
- {name: a.test, addresses: [10.0.0.1]}
- {name: loop.test, addresses: [127.0.0.1]}
- {name: _x._tcp.a.test, services: [{target: a.test, port: 1}]}
http:
- {request: {url: 'https://a.test/v1'}, response: {status: 204}}
- {request: {url: 'http://10.0.0.1/'}, response: {status: 204}}
probe:
- {request: {path: /status}, response: {status: 204}}
state: {k: before}
";

/// What the guest answers to `{ask: …, with: …}` under a `spec`.
fn ask(compiled: &Compiled<'_>, function: &str, with: &str, spec: &str) -> Result<String> {
    let manifest = format!(
        "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec:\n  limits: {{wall: 30s, cpu: 5s}}\n  settings: {{ask: {function}, with: {with:?}}}\n  {spec}\n"
    );
    let candidate = compiled.candidate(Some(&manifest)).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let question = match function {
        "probe" => "{call: check, subject: {apiService: v1.a.test, endpoints: [{host: a.test, port: 443}]}}",
        _ => "{call: resolve, target: {namespace: prod, name: shop, port: 443}}",
    };
    let (question, world): (Question, Tape) =
        (umbel::model::yaml::read(question)?, umbel::model::yaml::read(WORLD)?);
    match candidate.ask(&question, &world).answer {
        Ok(Answer::Fault { message, .. }) => Ok(message),
        other => anyhow::bail!("{function}: {other:?}"),
    }
}

#[test]
fn grant_matrix() -> Result<()> {
    let component =
        std::fs::read(Guest::Asking.component().map_err(|missing| anyhow::anyhow!("{missing}"))?)?;
    let bench = Workbench::open(Metering::Off).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let compiled = bench.compile("asking", &component).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let mut wrong = Vec::new();
    // The function, its argument, the line that a refusal names, and a spec with which it is no refusal.
    for (function, with, line, spec) in [
        ("dns-addresses", "a.test", "add it to spec.grants.dns", "grants: {dns: [a.test]}"),
        (
            "dns-addresses",
            "loop.test",
            "add it to spec.grants.dns",
            "grants: {dns: ['*.test'], addresses: [127.0.0.1/32]}",
        ),
        ("dns-services", "_x._tcp.a.test", "add it to spec.grants.dns", "grants: {dns: ['*']}"),
        (
            "http",
            "https://a.test/v1",
            "add https://a.test/ to spec.grants.http",
            "grants: {http: ['https://a.test/']}",
        ),
        (
            "http",
            "http://10.0.0.1/",
            "add http://10.0.0.1/ to spec.grants.http",
            "grants: {http: ['http://10.0.0.1/'], addresses: [10.0.0.0/8]}",
        ),
        (
            "http-credential",
            "https://a.test/v1",
            "is not in spec.secrets",
            "grants: {http: ['https://a.test/']}\n  secrets: {token: {file: /nowhere}}",
        ),
        ("probe", "/status", "spec: {grants: {probe: [\"/status\"]}}", "grants: {probe: [/status]}"),
        ("state-get", "k", "add state: {bytes: 1MiB} to spec.grants", "grants: {state: {}}"),
        ("state-put", "k", "add state: {bytes: 1MiB} to spec.grants", "grants: {state: {bytes: 1KiB}}"),
        ("state-delete", "k", "add state: {bytes: 1MiB} to spec.grants", "grants: {state: {}}"),
        (
            "metrics-count",
            "n",
            "add {name: n, type: counter, help: …} to spec.metrics",
            "metrics: [{name: n, type: counter}]",
        ),
        (
            "metrics-gauge",
            "n",
            "add {name: n, type: gauge, help: …} to spec.metrics",
            "metrics: [{name: n, type: gauge}]",
        ),
        (
            "metrics-observe",
            "n",
            "add {name: n, type: histogram, help: …} to spec.metrics",
            "metrics: [{name: n, type: histogram}]",
        ),
    ] {
        let refused = ask(&compiled, function, with, "")?;
        if !refused.starts_with("Err(Fault::Denied(") || !refused.replace("\\\"", "\"").contains(line) {
            wrong.push(format!("{function} {with} without a grant: {refused}"));
        }
        let granted = ask(&compiled, function, with, spec)?;
        if !granted.starts_with("Ok(") {
            wrong.push(format!("{function} {with} with {spec}: {granted}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // Grants of names and places do not open addresses.
    for (function, with, spec) in [
        ("dns-addresses", "loop.test", "grants: {dns: ['*']}"),
        ("http", "http://10.0.0.1/", "grants: {http: ['http://10.0.0.1/']}"),
    ] {
        let refused = ask(&compiled, function, with, spec)?;
        assert!(refused.contains("Denied") && refused.contains("/32 to spec.grants.addresses"), "{refused}");
    }
    assert!(
        ask(&compiled, "state-get", "k", "grants: {state: {}}")?.contains("98, 101, 102"),
        "the case's state"
    );
    let full = ask(&compiled, "state-put-large", "x", "grants: {state: {bytes: 1KiB}}")?;
    assert!(full.contains("Fault::Full") && full.contains("1024"), "{full}");
    Ok(())
}

/// What the guest answers in a gateway after its manifest has been changed to `spec`.
async fn ask_served(plugins: &Plugins, generation: u64, spec: &str) -> Result<String> {
    write_manifest(plugins.dir.path(), "asking", spec)?;
    plugins.wait_generation("asking", generation).await?;
    let answer = plugins.resolver("asking").resolve(&target(None)).await;
    Ok(answer.err().context("the guest answers with a fault")?.to_string())
}

#[tokio::test]
async fn state_outlives_a_reload_and_goes_with_its_plugin() -> Result<()> {
    let spec = |function: &str| {
        format!("{{limits: {{wall: 30s}}, settings: {{ask: {function}, with: k}}, grants: {{state: {{}}}}}}")
    };
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "asking", "{grants: {state: {}}}")?;
        drop_guest(dir, Guest::Asking, "asking")
    })
    .await?;
    assert!(ask_served(&plugins, 2, &spec("state-get")).await?.contains("Ok(None)"));
    assert!(ask_served(&plugins, 3, &spec("state-put")).await?.contains("Ok(())"));
    let kept = ask_served(&plugins, 4, &spec("state-get")).await?;
    assert!(kept.contains("Ok(Some([107, 101, 112, 116]))"), "{kept}");
    for file in ["asking.wasm", "asking.yaml"] {
        std::fs::remove_file(plugins.dir.path().join(file))?;
    }
    wait_for("the plugin to be gone", super::PATIENCE, || async {
        let gone = plugins.resolver("asking").resolve(&target(None)).await.unwrap_err().to_string();
        if gone.contains("no plugin is named") { Ok(()) } else { Err(anyhow::anyhow!(gone)) }
    })
    .await?;
    write_manifest(plugins.dir.path(), "asking", &spec("state-get"))?;
    drop_guest(plugins.dir.path(), Guest::Asking, "asking")?;
    let forgotten = wait_for("the plugin to be back", super::PATIENCE, || async {
        let answer = plugins.resolver("asking").resolve(&target(None)).await.unwrap_err().to_string();
        if answer.contains("Ok(") { Ok(answer) } else { Err(anyhow::anyhow!(answer)) }
    })
    .await?;
    assert!(forgotten.contains("Ok(None)"), "{forgotten}");
    Ok(())
}

#[tokio::test]
async fn declared_metrics_are_shown_and_go_with_their_plugin() -> Result<()> {
    let metrics = umbel::observe::Metrics::new()?;
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "asking", "{}")?;
        drop_guest(dir, Guest::Asking, "asking")
    })
    .await?;
    plugins.host.show_metrics(&metrics)?;
    let spec = "{limits: {wall: 30s}, settings: {ask: metrics-count, with: questions_total}, metrics: [{name: questions_total, type: \
                counter, help: Questions that were asked.}]}";
    let said = ask_served(&plugins, 2, spec).await?;
    assert!(said.contains("Ok(())"), "{said}");
    let text = || Ok::<_, anyhow::Error>(String::from_utf8(metrics.render()?)?);
    let shown = text()?;
    let line = "aggregator_plugin_user_questions_total{plugin=\"asking\"} 2\n";
    assert!(shown.contains(line) && shown.contains("Questions that were asked."), "{shown}");
    std::fs::remove_file(plugins.dir.path().join("asking.wasm"))?;
    wait_for("the metric to be gone", super::PATIENCE, || async {
        let shown = text()?;
        if shown.contains("questions_total") { Err(anyhow::anyhow!(shown)) } else { Ok(()) }
    })
    .await
}
