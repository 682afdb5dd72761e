//! Plugins as objects, by stock kubectl: what is shown, what can be asked for, what is refused.

use anyhow::{Context, Result, anyhow, ensure};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use umbel_tests::{Guest, Kubectl, Umbel, need, wait_for};

/// Longer than anything takes, on a machine that is busy with other suites.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Bench {
    pub(super) umbel: Umbel,
    pub(super) kubectl: Kubectl,
}

impl Bench {
    /// Umbel and a kubectl; `None` where one cannot be had and need not be.
    pub(super) async fn start() -> Result<Option<Self>> {
        if need(Guest::Misbehaving.component())?.is_none() {
            return Ok(None);
        }
        Self::start_in(TempDir::new()?, &[]).await
    }

    /// The same in a directory that the test has prepared, with further flags of `umbel serve`.
    pub(super) async fn start_in(home: TempDir, arguments: &[&str]) -> Result<Option<Self>> {
        let umbel = Umbel::start_in(home, arguments).await?;
        let kubectl = need(Kubectl::newest(&umbel.kubeconfig()))?;
        Ok(kubectl.map(|kubectl| Self { umbel, kubectl }))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.umbel.data_dir().join("plugins").join(name)
    }

    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let hidden = self.file(&format!(".{name}"));
        fs::write(&hidden, content)?;
        Ok(fs::rename(hidden, self.file(name))?)
    }

    /// Drops a real component with a manifest that names a secret.
    pub(super) fn drop_plugin(&self, name: &str) -> Result<()> {
        let manifest = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec:\n  settings: {host: 10.0.0.1}\n  secrets: {token: {file: /run/secrets/hidden-place}}\n";
        // It may have to be built first, and a manifest that waits so long for its component is warned of.
        let component = Guest::Misbehaving.component().map_err(|missing| anyhow!("{missing}"))?;
        self.write(&format!("{name}.yaml"), manifest.as_bytes())?;
        self.write(&format!("{name}.wasm"), &fs::read(component)?)
    }

    pub(super) async fn wait(&self, name: &str, condition: &str) -> Result<()> {
        let what = format!("--for={condition}");
        let plugin = format!("plugin/{name}");
        wait_for(&format!("{plugin} {what}"), PATIENCE, || async {
            self.kubectl.ok(&["wait", &what, &plugin, "--timeout=20s"]).await.map(drop)
        })
        .await
    }

    pub(super) async fn field(&self, name: &str, path: &str) -> Result<String> {
        self.kubectl.ok(&["get", "plugin", name, "-o", &format!("jsonpath={{{path}}}")]).await
    }

    /// Events of a watch of all plugins within this many seconds after a version.
    async fn watched(&self, version: &str, seconds: u64) -> Result<String> {
        let path = "/apis/plugins.umbel.dev/v1alpha1/plugins?watch=1";
        let path = format!("{path}&timeoutSeconds={seconds}&resourceVersion={version}");
        self.kubectl.ok(&["get", "--raw", &path]).await
    }

    /// Waits until nothing changes for this many seconds; returns the version from then on. An object that is still
    /// settling may change once or twice more, but an object that is written continuously never settles.
    async fn wait_quiet(&self, name: &str, seconds: u64) -> Result<String> {
        wait_for(&format!("{name} to change no more"), PATIENCE, || async {
            let version = self.field(name, ".metadata.resourceVersion").await?;
            let seen = self.watched(&version, seconds).await?;
            ensure!(seen.is_empty(), "{seen}");
            Ok(version)
        })
        .await
    }

    async fn annotate(&self, name: &str, annotation: &str) -> Result<String> {
        let output = self
            .kubectl
            .run(&["annotate", "--overwrite", "plugin", name, &format!("plugins.umbel.dev/{annotation}")])
            .await?;
        ensure!(output.code == 0, "{output:?}");
        Ok(output.stderr)
    }

    pub(super) async fn wait_field(&self, name: &str, path: &str, wanted: &str) -> Result<()> {
        wait_for(&format!("{path} of {name} to be {wanted}"), PATIENCE, || async {
            let found = self.field(name, path).await?;
            ensure!(found == wanted, "it is {found:?}");
            Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn kubectl_shows_what_serves_and_explains_what_does_not() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    bench.drop_plugin("good")?;
    bench.write("bad.wasm", b"no component")?;
    bench.wait("good", "condition=Ready").await?;
    bench.wait("bad", "condition=Loaded=false").await?;
    let table = bench.kubectl.ok(&["get", "plugins"]).await?;
    let header: Vec<&str> = table.lines().next().context("no header")?.split_whitespace().collect();
    assert_eq!(
        header,
        ["NAME", "KINDS", "VERSION", "STATE", "GENERATION", "CALLS", "FAULTS", "AGE", "REASON"]
    );
    let row: Vec<&str> =
        table.lines().find(|l| l.starts_with("good")).context("no row")?.split_whitespace().collect();
    assert_eq!(row[..5], ["good", "resolver,health,discovery", "0.1.0", "Active", "1"], "{table}");
    let wide = bench.kubectl.ok(&["get", "plug", "-o", "wide"]).await?;
    assert!(wide.contains("DIGEST") && wide.contains("NotAComponent"), "{wide}");
    let described = bench.kubectl.ok(&["describe", "plugin", "bad"]).await?;
    for told in ["does not begin with", "to mend it: build it with", "NotAComponent", "History:"] {
        assert!(described.contains(told), "{told} in {described}");
    }
    let yaml = bench.kubectl.ok(&["get", "plugin", "good", "-o", "yaml"]).await?;
    assert!(yaml.contains("host: 10.0.0.1") && yaml.contains("- token"), "{yaml}");
    assert!(!yaml.contains("hidden-place"), "{yaml}");
    let explained = bench.kubectl.ok(&["explain", "plugin.status.mend"]).await?;
    assert!(explained.contains("What to do about it"), "{explained}");
    bench.write("good.wasm", b"")?;
    bench.wait("good", "condition=Loaded=false").await?;
    let ready = bench.field("good", ".status.conditions[?(@.type==\"Ready\")].reason").await?;
    assert_eq!(ready, "OlderGeneration");
    fs::remove_file(bench.file("bad.wasm"))?;
    bench.wait_field("bad", ".status.state", "Removed").await
}

#[tokio::test]
async fn a_plugin_is_neither_made_nor_removed_nor_configured_over_http() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    bench.drop_plugin("p")?;
    bench.wait("p", "condition=Ready").await?;
    let object = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nmetadata: {name: mine}\n";
    let created = bench.kubectl.run_with_input(&["create", "--validate=false", "-f", "-"], object).await?;
    assert!(
        created.stderr.contains("into the plugin directory; components are never uploaded"),
        "{created:?}"
    );
    let deleted = bench.kubectl.run(&["delete", "plugin", "p"]).await?;
    assert!(deleted.stderr.contains("remove <name>.wasm from the plugin directory"), "{deleted:?}");
    let all = bench.kubectl.run(&["delete", "--raw", "/apis/plugins.umbel.dev/v1alpha1/plugins"]).await?;
    assert!(all.code != 0, "{all:?}");
    let patch = r#"{"spec": {"settings": {"host": "10.0.0.2"}}}"#;
    let patched = bench.kubectl.run(&["patch", "plugin", "p", "--type=merge", "-p", patch]).await?;
    assert!(patched.stderr.contains("edit p.yaml beside p.wasm instead"), "{patched:?}");
    assert_eq!(bench.field("p", ".spec.settings.host").await?, "10.0.0.1");
    Ok(())
}

#[tokio::test]
async fn annotations_ask_for_reload_rollback_and_disable() -> Result<()> {
    let Some(mut bench) = Bench::start().await? else { return Ok(()) };
    bench.drop_plugin("p")?;
    bench.wait("p", "condition=Ready").await?;
    bench.annotate("p", "rollback=first").await?;
    let outcome = |action: &str| format!(".status.observedActions[?(@.action==\"{action}\")].outcome");
    bench.wait_field("p", &outcome("rollback"), "Refused").await?;
    bench.annotate("p", "reload=first").await?;
    bench.wait_field("p", ".status.generation", "2").await?;
    bench.annotate("p", "rollback=second").await?;
    bench.wait_field("p", ".status.generation", "1").await?;
    assert_eq!(bench.field("p", ".status.reason").await?, "RolledBack");
    bench.annotate("p", "reset=1").await?;
    bench.wait_field("p", &outcome("reset"), "Done").await?;
    let warned = bench.annotate("p", "disabled=maybe").await?;
    assert!(warned.contains("write true or false"), "{warned}");
    bench.annotate("p", "disabled=true").await?;
    bench.wait("p", "condition=Ready=false").await?;
    assert_eq!(bench.field("p", ".status.state").await?, "Disabled");
    bench.umbel.terminate(Duration::from_secs(30)).await?;
    bench.umbel.restart().await?;
    // It was generation 1 before, too: what tells is the state after the file has been loaded again.
    bench.wait_field("p", ".status.state", "Disabled").await?;
    bench.annotate("p", "disabled-").await?;
    bench.wait("p", "condition=Ready").await?;
    assert_eq!(bench.field("p", ".status.generation").await?, "1", "old texts ask for nothing again");
    Ok(())
}

#[tokio::test]
async fn a_watch_sees_a_plugin_come_and_go_and_nothing_when_nothing_happens() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    bench.drop_plugin("p")?;
    bench.wait("p", "condition=Ready").await?;
    // Longer than the delay before counters are written.
    let version = bench.wait_quiet("p", 13).await?;
    fs::remove_file(bench.file("p.wasm"))?;
    // The watch sees the change however long it takes, because it starts at the version when the quiet time ended.
    bench.wait_field("p", ".status.state", "Removed").await?;
    let last = bench.watched(&version, 2).await?;
    assert!(last.contains(r#""state":"Removed""#), "{last}");
    Ok(())
}

#[tokio::test]
async fn an_annotation_names_the_failure_policy() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    let objects = "apiVersion: service.grafana.app/v0alpha1
kind: ExternalName
metadata:
  name: shop
  namespace: default
  annotations: {umbel.dev/resolver: ghost, umbel.dev/plugin-failure-policy: Fail}
spec: {host: shop.example.com}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.shop.example.com}
spec:
  group: shop.example.com
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 10
  insecureSkipTLSVerify: true
  service: {namespace: default, name: shop}
";
    let created = bench.kubectl.run_with_input(&["create", "-f", "-"], objects).await?;
    ensure!(created.code == 0, "{created:?}");
    wait_for("the APIService to be refused its endpoints", PATIENCE, || async {
        let refused = bench.kubectl.run(&["get", "--raw", "/apis/shop.example.com/v1"]).await?;
        let told = "plugin \"ghost\" is not there, and nothing stands in for it";
        ensure!(refused.stderr.contains("(PluginFailed)") && refused.stderr.contains(told), "{refused:?}");
        Ok(())
    })
    .await?;
    bench.wait_field("ghost", ".status.bindings[0].policy", "Fail").await?;
    let object = bench.field("ghost", ".status.bindings[0].object").await?;
    assert_eq!(object, "APIService/v1.shop.example.com");
    // The gateway looks once a second, and a file that is still missing is no news.
    bench.wait_quiet("ghost", 4).await?;
    let annotation = "umbel.dev/plugin-failure-policy=fail";
    let arguments = ["annotate", "apiservice", "v1.shop.example.com", annotation];
    let refused = bench.kubectl.run(&arguments).await?;
    let known = "supported values: \"UseLastGood\", \"Builtin\", \"Bypass\", \"Fail\"";
    assert!(refused.code != 0 && refused.stderr.contains(known), "{refused:?}");
    let arguments = ["annotate", "-n", "default", "--overwrite", "externalname", "shop", annotation];
    let refused = bench.kubectl.run(&arguments).await?;
    assert!(refused.code != 0 && refused.stderr.contains(known), "{refused:?}");
    Ok(())
}
