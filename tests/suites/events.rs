//! Events, by stock kubectl: what happened to plugins and APIServices, who may read it, and that it passes.

use super::plugin_objects::{Bench, PATIENCE};
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use umbel_tests::{Guest, Umbel, need, wait_for};

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

impl Bench {
    /// The rows of `kubectl get events` with these arguments, without the header.
    async fn events(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let all = [&["get", "events", "--no-headers"], arguments].concat();
        let table = self.kubectl.ok(&all).await?;
        Ok(table.lines().map(str::to_owned).collect())
    }

    /// Waits for exactly one event that a field selector selects; returns it.
    async fn event(&self, selector: &str) -> Result<Value> {
        wait_for(&format!("an event with {selector}"), PATIENCE, || async {
            let arguments = ["get", "events", "-o", "json", "--field-selector", selector];
            let list: Value = serde_json::from_str(&self.kubectl.ok(&arguments).await?)?;
            let [event] = list["items"].as_array().context("no items")?.as_slice() else {
                return Err(anyhow!("{list}"));
            };
            Ok(event.clone())
        })
        .await
    }
}

#[tokio::test]
async fn kubectl_tells_what_happened_to_plugins() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    let mut command = bench.kubectl.command(&["get", "events", "--watch"]);
    let mut watching = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(watching.stdout.take().context("no output")?).lines();
    bench.drop_plugin("good")?;
    bench.write("bad.wasm", b"no component")?;
    let refused = bench.event("regarding.name=bad,reason=NotAComponent").await?;
    assert_eq!((&refused["type"], &refused["reason"]), (&"Warning".into(), &"NotAComponent".into()));
    let note = refused["note"].as_str().unwrap_or_default();
    assert!(note.contains("to mend it: build it with"), "{note}");
    let uid = bench.field("bad", ".metadata.uid").await?;
    assert_eq!(
        (&refused["regarding"]["kind"], &refused["regarding"]["uid"]),
        (&"Plugin".into(), &uid.into())
    );
    let came = bench.event("reason=Activated,regarding.kind=Plugin,type=Normal").await?;
    assert_eq!(came["regarding"]["name"], "good");
    let shown = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains("NotAComponent") && line.contains("plugin/bad") {
                return Ok(());
            }
        }
        Err(anyhow!("kubectl ended before it showed the rejection"))
    };
    tokio::time::timeout(PATIENCE, shown).await.context("the watch shows no rejection")??;

    let table = bench.kubectl.ok(&["get", "events"]).await?;
    let header: Vec<&str> = table.lines().next().unwrap_or_default().split("  ").map(str::trim).collect();
    let header: Vec<&str> = header.into_iter().filter(|column| !column.is_empty()).collect();
    assert_eq!(header, ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"], "{table}");
    let wide = bench.kubectl.ok(&["get", "ev", "-A", "-o", "wide"]).await?;
    for column in ["NAMESPACE", "SUBOBJECT", "SOURCE", "FIRST SEEN", "COUNT", "NAME"] {
        assert!(wide.contains(column), "{column} in {wide}");
    }
    assert!(wide.contains("umbel.dev/plugins, umbel-"), "{wide}");
    let unknown =
        bench.kubectl.run(&["get", "events", "--field-selector", "involvedObject.name=bad"]).await?;
    assert!(unknown.code != 0 && unknown.stderr.contains("\"regarding.name\""), "{unknown:?}");
    assert_eq!(bench.events(&["--field-selector", "type=Warning,regarding.name=good"]).await?, [""; 0]);

    // Another bad file is the same again, and removal is something else.
    bench.write("bad.wasm", b"no component either")?;
    wait_for("the rejection to be counted twice", PATIENCE, || async {
        let again = bench.event("regarding.name=bad,reason=NotAComponent").await?;
        ensure!(
            again["series"]["count"] == 2 && again["metadata"]["name"] == refused["metadata"]["name"],
            "{again}"
        );
        Ok(())
    })
    .await?;
    fs::remove_file(bench.file("good.wasm"))?;
    bench.event("reason=Removed,regarding.name=good").await?;
    let described = bench.kubectl.ok(&["describe", "plugin", "bad"]).await?;
    assert!(described.contains("History:") && described.contains("build it with"), "{described}");
    Ok(())
}

#[tokio::test]
async fn events_are_read_only_and_need_the_right_to_read() -> Result<()> {
    if need(Guest::Misbehaving.component())?.is_none() {
        return Ok(());
    }
    let home = TempDir::new()?;
    let tokens = home.path().join("tokens.csv");
    fs::write(&tokens, "jo-token,jo,1\n")?;
    let flags = ["--token-auth-file", tokens.to_str().context("path")?];
    let Some(bench) = Bench::start_in(home, &flags).await? else { return Ok(()) };
    bench.write("bad.wasm", b"no component")?;
    let event = bench.event("regarding.name=bad,reason=NotAComponent").await?;
    let name = event["metadata"]["name"].as_str().context("no name")?;
    let resources = bench.kubectl.ok(&["api-resources", "--api-group=events.k8s.io", "-o", "wide"]).await?;
    assert!(resources.contains("get,list,watch") && !resources.contains("create"), "{resources}");
    let deleted = bench.kubectl.run(&["delete", "event", name]).await?;
    assert!(deleted.code != 0 && deleted.stderr.contains("(MethodNotAllowed)"), "{deleted:?}");
    assert!(deleted.stderr.contains("it makes them itself and forgets each one"), "{deleted:?}");
    let admin = bench.umbel.admin()?;
    for answer in [admin.post(EVENTS, &event).await?, admin.put(&format!("{EVENTS}/{name}"), &event).await?] {
        assert_eq!(answer.status, 405, "{answer:?}");
    }
    let stranger = Umbel::anonymous(&bench.umbel)?.header("authorization", "Bearer jo-token")?;
    assert_eq!(stranger.get(EVENTS).await?.status, 403);
    let explained = bench.kubectl.ok(&["explain", "events.note"]).await?;
    assert!(explained.contains("how to mend it"), "{explained}");
    Ok(())
}

#[tokio::test]
async fn a_process_begins_without_events_and_old_watches_are_told() -> Result<()> {
    let Some(mut bench) = Bench::start().await? else { return Ok(()) };
    bench.write("bad.wasm", b"no component")?;
    let event = bench.event("regarding.name=bad,reason=NotAComponent").await?;
    let version = event["metadata"]["resourceVersion"].as_str().context("no version")?;
    let stored = bench.field("bad", ".metadata.resourceVersion").await?;
    assert!(stored.parse::<u64>()? < version.parse::<u64>()?, "revisions of their own");
    fs::remove_file(bench.file("bad.wasm"))?;
    bench.umbel.terminate(PATIENCE).await?;
    bench.umbel.restart().await?;
    let events = bench.events(&["--field-selector", "reason=NotAComponent"]).await?;
    assert!(events.is_empty(), "{events:?}");
    let path = format!("{EVENTS}?watch=1&timeoutSeconds=5&resourceVersion={version}");
    let answer = bench.umbel.admin()?.get(&path).await?;
    assert_eq!(answer.status, 410, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn an_api_service_that_becomes_available_or_ceases_to_be_is_an_event() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    let objects = "apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.shop.example.com}
spec:
  group: shop.example.com
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 10
  insecureSkipTLSVerify: true
  service: {namespace: default, name: nowhere}
";
    bench.kubectl.ok_with_input(&["create", "-f", "-"], objects).await?;
    let gone = bench
        .event("reason=ServiceNotFound,regarding.kind=APIService,regarding.name=v1.shop.example.com")
        .await?;
    assert_eq!((&gone["type"], &gone["reason"]), (&"Warning".into(), &"ServiceNotFound".into()), "{gone}");
    assert_eq!(gone["reportingController"], "umbel.dev/availability");
    let local = r#"{"spec": {"service": null, "insecureSkipTLSVerify": null}}"#;
    bench.kubectl.ok(&["patch", "apiservice", "v1.shop.example.com", "--type=merge", "-p", local]).await?;
    let back = bench.event("reason=Local,regarding.name=v1.shop.example.com").await?;
    assert_eq!(back["type"], "Normal", "{back}");
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_is_suspended_is_an_event() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    bench.drop_plugin("p")?;
    bench.write("p.yaml", b"apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: {settings: {do: trap}, failurePolicy: Builtin}\n")?;
    bench.wait("p", "condition=Ready").await?;
    let objects = "apiVersion: service.grafana.app/v0alpha1
kind: ExternalName
metadata: {name: shop, namespace: default, annotations: {umbel.dev/health-checker: p}}
spec: {host: 127.0.0.1}
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
  service: {namespace: default, name: shop, port: 1}
";
    bench.kubectl.ok_with_input(&["create", "-f", "-"], objects).await?;
    let held = bench.event("reason=Suspended,regarding.name=p").await?;
    let note = held["note"].as_str().unwrap_or_default();
    assert!(held["type"] == "Warning" && note.contains("it failed too often"), "{held}");
    Ok(())
}

#[tokio::test]
async fn the_first_fault_of_a_plugin_and_its_recovery_are_events() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    bench.drop_plugin("p")?;
    bench.wait("p", "condition=Healthy").await?;
    // The annotation controls the guest.
    let objects = "apiVersion: service.grafana.app/v0alpha1
kind: ExternalName
metadata: {name: shop, namespace: default, annotations: {umbel.dev/resolver: p, do: trap}}
spec: {host: 127.0.0.1}
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
  service: {namespace: default, name: shop, port: 1}
";
    bench.kubectl.ok_with_input(&["create", "-f", "-"], objects).await?;
    let failed = bench.event("reason=CallsFail,regarding.name=p").await?;
    let note = failed["note"].as_str().unwrap_or_default();
    assert!(failed["type"] == "Warning" && note.contains("generation 1 trapped"), "{failed}");
    bench.wait("p", "condition=Healthy=false").await?;
    bench
        .kubectl
        .ok(&["annotate", "externalname", "-n", "default", "shop", "do=answer", "--overwrite"])
        .await?;
    bench.event("reason=Recovered,regarding.name=p,type=Normal").await?;
    bench.wait("p", "condition=Healthy").await
}

#[tokio::test]
async fn a_mistyped_annotation_and_a_mistyped_plugin_are_warned_of() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    bench.drop_plugin("threshold")?;
    bench.wait("threshold", "condition=Ready").await?;
    let object = |annotations: &str| {
        format!(
            "apiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata: {{name: shop, namespace: default, \
             annotations: {{{annotations}}}}}\nspec: {{host: a.test}}\n"
        )
    };
    let mistyped = "umbel.dev/healthchecker: threshold";
    let unknown = "annotation umbel.dev/healthchecker is unknown and does nothing: did you mean umbel.dev/health-checker?";
    let created = bench.kubectl.run_with_input(&["create", "-f", "-"], &object(mistyped)).await?;
    assert!(created.code == 0 && created.stderr.contains(unknown), "{created:?}");
    let applied = bench.kubectl.run_with_input(&["apply", "-f", "-"], &object(mistyped)).await?;
    assert!(applied.code == 0 && applied.stderr.contains(unknown), "{applied:?}");
    let replaced = bench.kubectl.run_with_input(&["replace", "-f", "-"], &object(mistyped)).await?;
    assert!(replaced.code == 0 && replaced.stderr.contains(unknown), "{replaced:?}");
    let arguments =
        ["annotate", "externalname", "-n", "default", "shop", "umbel.dev/health-checker=treshold"];
    let annotated = bench.kubectl.run(&arguments).await?;
    assert!(annotated.stderr.contains("did you mean \"threshold\"?"), "{annotated:?}");
    let right = bench
        .kubectl
        .run_with_input(&["replace", "-f", "-"], &object("umbel.dev/health-checker: threshold"))
        .await?;
    assert!(right.code == 0 && !right.stderr.contains("Warning"), "{right:?}");
    Ok(())
}
