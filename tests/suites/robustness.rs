//! Failures that the process survives: a log that cannot be written, panics, and many clients at once.

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use umbel_tests::{Client, Memory, ReservedPort, Umbel, umbel_program, wait_for};

const BOUND: Duration = Duration::from_secs(90);
const NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// Umbel with a standard error of the test's choice.
struct Served {
    child: Child,
    address: SocketAddr,
    home: TempDir,
    _port: ReservedPort,
}

impl Served {
    /// Starts it by a shell that applies `redirection`, and waits until it is ready.
    async fn start(
        redirection: &str,
        stderr: Stdio,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let (port, home) = (ReservedPort::new()?, TempDir::new()?);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$@\" {redirection}"), "sh"]).arg(umbel_program()?);
        command
            .args(["serve", "--listen", &port.address().to_string(), "--data-dir"])
            .arg(home.path().join("data"));
        command.args(flags).envs(variables.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn()?;
        let mut served = Self { child, address: port.address(), home, _port: port };
        wait_for("/readyz to say ok", BOUND, || {
            let (alive, client) = (served.check_alive(), Client::anonymous(served.address, &served.pki()));
            async move {
                alive?;
                client?.get("/readyz").await?.expect_text(200)
            }
        })
        .await?;
        Ok(served)
    }

    fn pki(&self) -> PathBuf {
        self.home.path().join("data/pki")
    }

    fn admin(&self) -> Result<Client> {
        Client::with_certificate(self.address, &self.pki(), "admin")
    }

    fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(umbel_tests::Hopeless(format!("it ended with {status}")).into()),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left running.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

trait ExpectText {
    fn expect_text(self, status: u16) -> Result<()>;
}

impl ExpectText for umbel_tests::Answer {
    fn expect_text(self, status: u16) -> Result<()> {
        ensure!(self.status == status, "{} {}", self.status, self.text());
        Ok(())
    }
}

async fn counter(client: &Client, name: &str) -> Result<u64> {
    let text = client.get("/metrics").await?.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name}"))?.parse()?)
}

/// Lines that cannot be written are lost and counted. Requests go on.
#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() -> Result<()> {
    for redirection in ["2>/dev/full", "2>&-", "2>closed.pipe"] {
        let (reader, writer) = std::io::pipe()?;
        let is_pipe = redirection.ends_with("pipe");
        let stderr = if is_pipe { Stdio::from(writer) } else { Stdio::null() };
        drop(reader);
        let redirection = if is_pipe { "" } else { redirection };
        let mut served = Served::start(redirection, stderr, &["-v", "-v"], &[]).await?;
        let admin = served.admin()?;
        for _ in 0..20 {
            admin.get(NAMES).await?.expect(200)?;
        }
        served.check_alive()?;
        let dropped = counter(&admin, "umbel_log_lines_dropped_total").await?;
        // If standard error is closed, the runtime opens /dev/null in its place, which accepts everything.
        assert_eq!(dropped > 0, redirection != "2>&-", "{redirection} {dropped}");
    }
    Ok(())
}

/// A pipe that is full because its reader stopped delays neither requests nor the exit of the process.
#[tokio::test]
async fn a_log_that_is_not_read_stops_nothing() -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    let mut filling = writer.try_clone()?;
    // Ends with the reader.
    std::thread::spawn(move || filling.write_all(&vec![b'x'; 16 << 20]));
    let mut served = Served::start("", Stdio::from(writer), &["-v", "-v"], &[]).await?;
    let admin = served.admin()?;
    for _ in 0..20 {
        admin.get(NAMES).await?.expect(200)?;
    }
    let process = served.child.id().to_string();
    ensure!(Command::new("kill").args(["-TERM", &process]).status()?.success());
    let status = wait_for("the end", BOUND, || {
        let ended = served.child.try_wait();
        async move { ended?.context("it still runs") }
    })
    .await?;
    assert_eq!(status.code(), Some(0));
    drop(reader);
    Ok(())
}

/// Every place where a debug build can be made to panic and that a gateway without plugins passes.
const POINTS: [&str; 15] = [
    "proxy.accept",
    "proxy.connection",
    "proxy.request",
    "proxy.tick",
    "api.request",
    "control.reconciler",
    "control.intake",
    "control.publisher",
    "control.watcher",
    "control.manifests",
    "control.plugins",
    "control.events",
    "control.openapi",
    "renewal",
    "store.writer",
];

/// One panic in each part ends one connection, request or task. All parts serve afterwards.
#[tokio::test]
async fn a_panic_ends_nothing_but_what_panicked() -> Result<()> {
    let asked = POINTS.map(|point| format!("{point}=1")).join(",");
    let home = TempDir::new()?;
    let log = home.path().join("log");
    let stderr = Stdio::from(File::create(&log)?);
    let mut served = Served::start("", stderr, &[], &[("UMBEL_FAILPOINTS", &asked)]).await?;
    let admin = served.admin()?;
    let name = |name: &str| {
        json!({
            "apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
            "metadata": {"name": name}, "spec": {"host": "127.0.0.1"},
        })
    };
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.g.example"},
        "spec": {
            "group": "g.example", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"name": "one", "namespace": "default", "port": 1},
        },
    });
    for (path, object) in [(NAMES, name("one")), (SERVICES, service)] {
        wait_for("a write", BOUND, || async {
            let answer = admin.post(path, &object).await?;
            ensure!([201, 409].contains(&answer.status), "{}", answer.text());
            Ok(())
        })
        .await?;
    }
    wait_for("each panic, logged with its place", BOUND, || async {
        let log = std::fs::read_to_string(&log)?;
        for point in POINTS {
            let line = log.lines().find(|line| line.contains(&format!("panic: failpoint {point}")));
            let line = line.with_context(|| format!("no panic at {point}"))?;
            ensure!(line.contains("location=host/src/"), "{line}");
        }
        Ok(())
    })
    .await?;
    assert_eq!(counter(&admin, "umbel_panics_total").await?, POINTS.len() as u64);
    // The condition comes through store, intake, reconciler, watcher and store again.
    wait_for("the APIService to be looked at", BOUND, || async {
        let object = admin.get(&format!("{SERVICES}/v1.g.example")).await?.expect(200)?;
        let condition = &object["status"]["conditions"][0];
        ensure!(condition["reason"] == "FailedDiscoveryCheck", "{object}");
        Ok(())
    })
    .await?;
    wait_for("manifests to be applied", BOUND, || async {
        let file = served.home.path().join("data/manifests/two.yaml");
        std::fs::write(file, name("two").to_string())?;
        admin.get(&format!("{NAMES}/two")).await?.expect(200)
    })
    .await?;
    assert_eq!(counter(&admin, "umbel_panics_total").await?, POINTS.len() as u64);
    served.check_alive()
}

fn resident(process: u32) -> Result<u64> {
    Ok(Memory::of(process)?.resident)
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

async fn ask_live(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<()> {
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let mut answer = [0; 1024];
    let count = stream.read(&mut answer).await?;
    ensure!(answer[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Connections are small while they idle and serve on; their memory returns to the system when they are closed.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_small_and_closed_ones_leave_no_memory_behind() -> Result<()> {
    const COUNT: u64 = 2000;
    /// Limit for each open connection.
    const EACH: u64 = 20 << 10;
    let mut umbel = Umbel::start().await?;
    let (client, process) = (umbel.anonymous()?, umbel.process().id());
    // Permanent allocations of the first requests.
    for _ in 0..20 {
        client.get("/livez").await?;
    }
    let start = resident(process)?;
    let mut open = Vec::new();
    for _ in 0..COUNT {
        let mut stream = client.dial("http/1.1").await?;
        ask_live(&mut stream).await?;
        open.push(stream);
    }
    // The buffers of the codec go a moment after the response.
    let each = wait_for("idle connections to be small", BOUND, || async {
        let each = (resident(process)?.saturating_sub(start)) / COUNT;
        ensure!(each <= EACH, "{each} bytes for each connection");
        Ok(each)
    })
    .await?;
    println!("{each} bytes for each connection, {} MiB at the start", mib(start));
    for stream in &mut open {
        ask_live(stream).await?;
    }
    drop(open);
    wait_for("the memory to be returned", BOUND, || async {
        let rest = resident(process)?.saturating_sub(start);
        ensure!(rest < 10 << 20, "{} MiB more than at the start", mib(rest));
        Ok(())
    })
    .await
}

/// Bodies that wait for their last byte take a bounded amount of memory, and none once they are gone.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_for_own_kinds_are_limited() -> Result<()> {
    const COUNT: usize = 24;
    const SIZE: usize = 3 << 20;
    /// As many as fit into 32 MiB.
    const HELD: usize = 10;
    let mut umbel = Umbel::start().await?;
    let (admin, process) = (umbel.admin()?, umbel.process().id());
    admin.get(NAMES).await?.expect(200)?;
    let start = resident(process)?;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..COUNT {
        let io = hyper_util::rt::TokioIo::new(admin.dial("http/1.1").await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::spawn(connection);
        // All but the last byte, which never comes.
        let data = Frame::data(Bytes::from(vec![b' '; SIZE - 1]));
        let data = stream::iter([Ok::<_, std::convert::Infallible>(data)]);
        let request = http::Request::post(NAMES)
            .header("host", "x")
            .header("content-type", "application/json")
            .body(StreamBody::new(data.chain(stream::pending())))?;
        asking.spawn(async move {
            let answer = sender.send_request(request).await?;
            let (status, retry) = (answer.status().as_u16(), answer.headers().get("retry-after").cloned());
            anyhow::Ok((status, retry, answer.into_body().collect().await?.to_bytes()))
        });
    }
    for _ in 0..COUNT - HELD {
        let answer = tokio::time::timeout(BOUND, asking.join_next()).await?.context("an answer")??;
        let (status, retry, body) = answer?;
        let body: serde_json::Value = serde_json::from_slice(&body)?;
        assert_eq!((status, retry), (429, Some("1".parse()?)), "{body}");
        assert_eq!((&body["kind"], &body["reason"]), (&"Status".into(), &"TooManyRequests".into()));
    }
    let grown = resident(process)?.saturating_sub(start);
    assert!(grown < 100 << 20, "{} MiB for {HELD} bodies", mib(grown));
    drop(asking);
    wait_for("room and memory", BOUND, || async {
        let answer = admin.post(NAMES, &json!({"spec": {}})).await?;
        ensure!(answer.status != 429, "{}", answer.text());
        let rest = resident(process)?.saturating_sub(start);
        ensure!(rest < 16 << 20, "{} MiB more than at the start", mib(rest));
        Ok(())
    })
    .await
}
