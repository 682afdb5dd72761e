//! What transformers answer: the same bytes everywhere, and nothing that no backend serves.

use super::{Plugins, drop_guest, write_manifest};
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use umbel::decision::binding::Decisions;
use umbel_tests::{Author, Guest};

const GROUP: &str = r#"{"metadata":{"name":"a.test"},"versions":[{"version":"v1","freshness":"Current","resources":[{"resource":"things","scope":"Namespaced","singularResource":"thing","responseKind":{"group":"a.test","version":"v1","kind":"Thing"},"verbs":["get"]},{"resource":"others","scope":"Namespaced","singularResource":"other","responseKind":{"group":"a.test","version":"v1","kind":"Other"},"verbs":["get"]}]}]}"#;

#[test]
fn discovery_is_deterministic() -> Result<()> {
    let mut author = Author::new()?;
    let component = Guest::Misbehaving.component().map_err(|missing| anyhow!("{missing}"))?;
    std::fs::create_dir(author.path("cases"))?;
    let case = format!(
        "cases:\n- name: odd\n  spec: {{limits: {{wall: 30s, cpu: 5s}}, settings: {{do: nan-and-maps}}}}\n  ask: {{call: transform, group: '{GROUP}'}}\n  \
         expect: {{answer: replace, group: {{metadata: {{note: unknown}}}}}}\n"
    );
    std::fs::write(author.path("cases/odd.yaml"), case)?;
    let file = component.to_string_lossy().into_owned();
    // Each run is a process of its own, with its own addresses and its own entropy.
    let mut answer = || -> Result<String> {
        let said = author.umbel(&["plugin", "test", &file, "--cases", "cases", "-o", "json"])?.said;
        let report: Value =
            serde_json::Deserializer::from_str(&said).into_iter().next().context("no report")??;
        Ok(report["cases"][0]["differences"].to_string())
    };
    let first = answer()?;
    assert!(first.contains("nan 7ff8000000000000 7ff8000000000000 keys k"), "{first}");
    for _ in 0..3 {
        assert_eq!(answer()?, first);
    }
    Ok(())
}

#[tokio::test]
async fn transformer_output_is_validated() -> Result<()> {
    for (deed, says) in [
        ("rename", "cannot be renamed"),
        ("invent-verb", "which is served by nobody"),
        ("duplicate-kind", "stands twice"),
        ("grow", "are the limit here"),
        ("bad-json", "no JSON"),
        ("empty", "left no version"),
    ] {
        let plugins = Plugins::start_loaded(vec![], |dir| {
            let spec =
                format!("{{limits: {{wall: 30s}}, settings: {{do: {deed}}}, discovery: {{enabled: true}}}}");
            write_manifest(dir, "bad", &spec)?;
            drop_guest(dir, Guest::Misbehaving, "bad")
        })
        .await?;
        let refused = plugins.host.transformers().remove(0).transform(GROUP).await;
        let refused = refused.err().with_context(|| format!("{deed}: the answer was taken"))?;
        assert!(refused.contains(says), "{deed}: {refused}");
        let status = plugins.status("bad")?;
        assert_eq!(status.faults, 1, "{deed} is counted: {status:?}");
        assert!(status.last_fault.as_ref().is_some_and(|fault| fault.contains(says)), "{status:?}");
    }
    Ok(())
}
