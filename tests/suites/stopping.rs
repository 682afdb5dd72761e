//! How the process ends when it is told to.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use umbel_tests::{Kubectl, Process, SampleApiServer, Umbel, need, umbel_program, wait_for};

const BOUND: Duration = Duration::from_secs(60);
/// Far longer than [`BOUND`]: whoever waits for the end of a drain fails.
const LONG_DRAIN: &str = "--drain-timeout=10m";
const NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
const FLUNDERS: &str = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders";

/// Sends SIGTERM as soon as a step of a first start is reached: the start is abandoned, and that is not a failure.
/// Returns whether the start was still in progress then.
async fn stop_at(step: &str) -> Result<bool> {
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
    let was_starting = process.log().contains("stopped before everything was started");
    Umbel::start_in(home, &[]).await.with_context(|| format!("after a stop at {step}"))?;
    Ok(was_starting)
}

#[tokio::test]
async fn a_signal_while_it_starts_ends_it_well() -> Result<()> {
    /// A start that was faster than this test proves nothing, so it is repeated.
    const ATTEMPTS: usize = 10;
    for step in ["store", "pki", "pki/admin.crt", "manifests"] {
        let mut attempts = 0;
        while !stop_at(step).await? {
            attempts += 1;
            ensure!(attempts < ATTEMPTS, "the signal at {step} never came in time");
        }
    }
    Ok(())
}

/// A start that waits for a file forever: a pipe in its place, which is written to only for the check of the settings
/// that comes first.
#[tokio::test]
async fn a_signal_ends_a_start_that_hangs() -> Result<()> {
    let home = TempDir::new()?;
    let (log, data, tokens) =
        (home.path().join("umbel.log"), home.path().join("data"), home.path().join("tokens"));
    ensure!(Command::new("mkfifo").arg(&tokens).status()?.success());
    let mut command = Command::new(umbel_program()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    command.arg("--token-auth-file").arg(&tokens);
    let mut process = Process::start("umbel", &mut command, &log)?;
    let checked = tokio::task::spawn_blocking(move || std::fs::write(tokens, "token,ann,7\n"));
    tokio::time::timeout(BOUND, checked).await.context("the settings are not checked")???;
    wait_for("the step before the tokens", BOUND, || {
        let alive = process.check_alive();
        let has_come = data.join("pki/admin.crt").exists();
        async move {
            alive?;
            ensure!(has_come, "it has not come so far");
            Ok(())
        }
    })
    .await?;
    let status = process.terminate(BOUND).await?;
    assert_eq!(status.code(), Some(0), "{}", process.log_tail());
    let log = process.log();
    assert!(log.contains("stopped before everything was started"), "{log}");
    Ok(())
}

/// An upload to Umbel that lacks its last byte.
struct Unfinished {
    last: oneshot::Sender<Bytes>,
    answer: JoinHandle<Result<u16>>,
}

impl Unfinished {
    async fn begin(umbel: &Umbel) -> Result<Self> {
        let object = json!({
            "apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
            "metadata": {"name": "late"}, "spec": {"host": "127.0.0.1"},
        });
        let mut first = Bytes::from(object.to_string());
        first.truncate(first.len() - 1);
        let (last, when_last) = oneshot::channel();
        let chunks = stream::iter([Ok::<_, anyhow::Error>(Frame::data(first))]);
        let chunks = chunks.chain(stream::once(async move { Ok(Frame::data(when_last.await?)) }));
        let body = StreamBody::new(Box::pin(chunks)).boxed_unsync();
        let admin = umbel.admin()?;
        let answer = tokio::spawn(async move {
            let answer = admin.send_body(Method::POST, NAMES, "application/json", body).await?;
            Ok(answer.status)
        });
        let upload = Self { last, answer };
        // A request in flight is one whose connection Umbel has accepted and read.
        let probe = umbel.admin()?;
        wait_for("the upload to be in flight", BOUND, || async {
            let text = probe.get("/metrics").await?.text();
            let line = text.lines().find_map(|line| line.strip_prefix("umbel_upload_buffer_bytes "));
            ensure!(line.is_some_and(|bytes| bytes != "0"), "no upload");
            Ok(())
        })
        .await?;
        Ok(upload)
    }

    async fn finish(self) -> Result<u16> {
        drop(self.last.send(Bytes::from("}")));
        self.answer.await?
    }
}

fn signal(process: u32, name: &str) -> Result<()> {
    ensure!(Command::new("kill").args([name, &process.to_string()]).status()?.success(), "no such process");
    Ok(())
}

async fn wait_for_drain(umbel: &mut Umbel) -> Result<()> {
    wait_for("the drain", BOUND, || {
        let log = umbel.process().log();
        async move {
            ensure!(log.contains("draining for at most"), "{log}");
            Ok(())
        }
    })
    .await
}

/// GNU `timeout` sends its signal to the process and at once to the whole group.
#[tokio::test]
async fn a_signal_that_comes_twice_at_once_is_one() -> Result<()> {
    for names in ["-TERM -TERM", "-TERM -INT", "-INT -TERM -TERM"] {
        let mut umbel = Umbel::start_with(&[LONG_DRAIN]).await?;
        let upload = Unfinished::begin(&umbel).await?;
        let process = umbel.process().id();
        let script: String = names.split(' ').map(|name| format!("kill {name} {process}; ")).collect();
        // One shell that runs both commands itself, so that nothing comes between the two.
        ensure!(Command::new("sh").args(["-c", &script]).status()?.success());
        wait_for_drain(&mut umbel).await?;
        // A second signal takes effect at once; a shorter wait would show nothing.
        tokio::time::sleep(Duration::from_millis(300)).await;
        umbel.process().check_alive()?;
        assert_eq!(upload.finish().await?, 201, "{names}: {}", umbel.process().log_tail());
        let status = umbel.process().wait(BOUND).await?;
        assert_eq!(status.code(), Some(0), "{names}: {}", umbel.process().log_tail());
    }
    Ok(())
}

#[tokio::test]
async fn a_second_signal_later_cuts_what_is_in_flight() -> Result<()> {
    let mut umbel = Umbel::start_with(&[LONG_DRAIN]).await?;
    let upload = Unfinished::begin(&umbel).await?;
    let process = umbel.process().id();
    signal(process, "-TERM")?;
    wait_for_drain(&mut umbel).await?;
    let status = wait_for("the end", BOUND, || {
        let ended = umbel.process().try_wait();
        async move {
            if let Some(status) = ended? {
                return Ok(status);
            }
            signal(process, "-TERM")?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            bail!("it still runs")
        }
    })
    .await?;
    assert_eq!(status.code(), Some(1), "{}", umbel.process().log_tail());
    assert!(umbel.process().log().contains("a second signal"), "{}", umbel.process().log_tail());
    assert!(upload.finish().await.is_err(), "it was not cut");
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

/// So does a watch that a backend feeds.
#[tokio::test]
async fn a_proxied_watch_ends_at_once() -> Result<()> {
    let Some(()) = need(SampleApiServer::available())? else { return Ok(()) };
    let mut umbel = Umbel::start_with(&[LONG_DRAIN]).await?;
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
    // Events that arrived meanwhile are complete, and the stream ends cleanly.
    while watch.next(BOUND).await?.is_some() {}
    Ok(())
}
