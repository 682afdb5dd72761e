//! How the process ends when it is told to.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use umbel_tests::{Kubectl, Process, SampleApiServer, Umbel, need, umbel_program, wait_for};

const BOUND: Duration = Duration::from_secs(60);
/// Far longer than [`BOUND`]: whoever waits for the end of a drain fails.
const LONG_DRAIN: &str = "--drain-timeout=10m";
const NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
const FLUNDERS: &str = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders";

/// SIGTERM as soon as a step of a first start shows: what was begun is given up, and that is no failure.
async fn stop_at(step: &str) -> Result<()> {
    let home = TempDir::new()?;
    let (log, data) = (home.path().join("umbel.log"), home.path().join("data"));
    let mut command = Command::new(umbel_program()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    let mut process = Process::start("umbel", &mut command, &log)?;
    let (shown, began) = (data.join(step), Instant::now());
    // More often than other conditions are looked at: the moment is short.
    while !shown.exists() {
        process.check_alive()?;
        if began.elapsed() > BOUND {
            bail!("{} does not come:\n{}", shown.display(), process.log_tail());
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let status = process.terminate(BOUND).await?;
    assert_eq!(status.code(), Some(0), "at {step}: {status}\n{}", process.log_tail());
    Umbel::start_in(home, &[]).await.with_context(|| format!("after a stop at {step}")).map(drop)
}

#[tokio::test]
async fn a_signal_while_it_starts_ends_it_well() -> Result<()> {
    for step in ["store", "pki", "pki/admin.crt", "manifests"] {
        stop_at(step).await?;
    }
    Ok(())
}

/// A watch on an own kind would never end by itself, so it ends when the drain begins, and nobody waits for it.
#[tokio::test]
async fn a_watch_on_an_own_kind_ends_at_once() -> Result<()> {
    let mut umbel = Umbel::start_with(&[LONG_DRAIN]).await?;
    let admin = umbel.admin()?;
    let mut watch = admin.watch(&format!("{NAMES}?watch=true")).await?;
    let object = json!({
        "apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
        "metadata": {"name": "one"}, "spec": {"host": "127.0.0.1"},
    });
    admin.post(NAMES, &object).await?.expect(201)?;
    let event = watch.next(BOUND).await?.context("an event")?;
    assert_eq!(event["type"], "ADDED", "{event}");
    let status = umbel.terminate(BOUND).await?;
    assert_eq!(status.code(), Some(0), "{}", umbel.process().log_tail());
    assert_eq!(watch.next(BOUND).await?, None, "it ends as a whole answer does");
    Ok(())
}

/// A watch that a backend feeds goes on until the drain is over, and is cut then.
#[tokio::test]
async fn a_proxied_watch_is_cut_when_the_drain_is_over() -> Result<()> {
    let Some(()) = need(SampleApiServer::available())? else { return Ok(()) };
    let mut umbel = Umbel::start_with(&["--drain-timeout=2s"]).await?;
    let Some(kubectl) = need(Kubectl::newest(&umbel.kubeconfig()))? else { return Ok(()) };
    let server = SampleApiServer::start(&umbel).await?;
    kubectl.ok(&["apply", "-f", &server.registration().display().to_string()]).await?;
    let admin = umbel.admin()?;
    let listed = wait_for("flunders to be served", BOUND, || async {
        let answer = admin.get(FLUNDERS).await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        answer.json()
    })
    .await?;
    let version = listed["metadata"]["resourceVersion"].as_str().context("a resourceVersion")?;
    let mut watch = admin.watch(&format!("{FLUNDERS}?watch=true&resourceVersion={version}")).await?;
    let status = umbel.terminate(BOUND).await?;
    assert_eq!(status.code(), Some(0), "{}", umbel.process().log_tail());
    let log = umbel.process().log();
    assert!(log.contains("connections that still work are cut"), "it was not waited for:\n{log}");
    let rest = watch.next(BOUND).await;
    assert!(!matches!(rest, Ok(Some(_))), "{rest:?}");
    Ok(())
}
