//! Uploads to a backend that takes none of their bytes.

use super::measure::{PATIENCE, Row, Run};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use umbel_tests::authority::Authority;
use umbel_tests::tls_backend::{Backend, Handler, handler, whole};
use umbel_tests::{Asking, Client, Connection, register_backend, resource_list, wait_for};

const GROUP: &str = "uploads.example.com";
const THINGS: &str = "/apis/uploads.example.com/v1/namespaces/default/things";
const COUNT: usize = 400;
const SIZE: usize = 3 << 20;

/// Measures both protocols on both sides; over HTTP/2 also with all uploads on one connection.
pub(super) async fn measure() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for backend in ["h2", "http/1.1"] {
        for (client, connections) in [("h2", 1), ("h2", COUNT), ("http/1.1", COUNT)] {
            rows.push(hold_uploads(client, connections, backend).await?);
        }
    }
    Ok(rows)
}

async fn hold_uploads(client: &str, connections: usize, backend: &'static str) -> Result<Row> {
    let mut run = Run::start(&[]).await?;
    let (ca, held) = (Authority::new("uploads")?, Arc::<AtomicUsize>::default());
    let (thread, ca) = (OwnThread::new()?, Arc::new(ca));
    let (its_ca, holding, alpn) = (Arc::clone(&ca), holding(Arc::clone(&held)), [backend]);
    let server = thread.run(async move { Backend::start_closed(&its_ca, &alpn, holding).await }).await?;
    register_backend(&run.admin, &ca, GROUP, server.port).await?;
    wait_for("the backend", PATIENCE, || async { run.admin.get(THINGS).await?.expect(200) }).await?;
    run.begin().await?;
    let (open, mut asking) = begin(&run.admin, client, connections).await?;
    let mut answers = Answers::default();
    while answers.total() + held.load(Ordering::SeqCst) < COUNT {
        tokio::select! {
            Some(answer) = asking.next() => answers.add(answer?).await?,
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
        }
    }
    let (refused, held) = (answers.refused, held.load(Ordering::SeqCst));
    run.hold().await?;
    let ending = if client == "h2" {
        // The gateway notices at once that these clients leave.
        asking.iter().for_each(JoinHandle::abort);
        drop((open, asking));
        "clients leave"
    } else {
        while let Some(answer) = tokio::time::timeout(PATIENCE, asking.next()).await.context("no end")? {
            answers.add(answer?).await?;
        }
        drop(open);
        "gateway ends them after 60 s"
    };
    let input = format!(
        "{COUNT} uploads of 3 MiB by {client} on {connections} connection(s), {backend} backend that reads nothing; {ending}"
    );
    let found = format!("{held} held, {refused} got 429 with Retry-After, {} got 504", answers.late);
    run.end(input, found, "limited per connection and process; released").await
}

/// A thread for the backend, which would answer pings too late on one where clients encrypt gigabytes.
struct OwnThread(Option<Runtime>);

impl OwnThread {
    fn new() -> Result<Self> {
        Ok(Self(Some(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.0.as_ref().context("it runs until it is dropped")?.spawn(work).await?
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        // A runtime must not wait for its end inside another one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A backend that holds every upload, and counts them.
fn holding(held: Arc<AtomicUsize>) -> Handler {
    handler(move |request| {
        let held = Arc::clone(&held);
        async move {
            if request.method() != Method::POST {
                return Response::new(whole(resource_list(GROUP).to_string()));
            }
            held.fetch_add(1, Ordering::SeqCst);
            let _unread = request;
            std::future::pending().await
        }
    })
}

/// Opens the connections, then sends all uploads.
async fn begin(
    admin: &Client,
    alpn: &str,
    connections: usize,
) -> Result<(Vec<Connection>, FuturesUnordered<Asking>)> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::new(admin.dial(alpn).await?, alpn).await?);
    }
    let (asking, body) = (FuturesUnordered::new(), Bytes::from(vec![b' '; SIZE]));
    for number in 0..COUNT {
        let request = Request::post(THINGS).header("content-type", "application/json");
        let request = request.body(whole(body.clone()))?;
        asking.push(open[number % connections].begin(request)?);
    }
    Ok((open, asking))
}

#[derive(Default)]
struct Answers {
    refused: usize,
    late: usize,
}

impl Answers {
    async fn add(&mut self, answer: hyper::Result<Response<hyper::body::Incoming>>) -> Result<()> {
        let answer = answer.context("an upload without an answer")?;
        match answer.status().as_u16() {
            429 => {
                ensure!(answer.headers().contains_key("retry-after"), "429 without Retry-After");
                self.refused += 1;
            }
            504 => self.late += 1,
            other => {
                let text = answer.into_body().collect().await?.to_bytes();
                bail!("an upload got {other}: {}", String::from_utf8_lossy(&text))
            }
        }
        Ok(())
    }

    fn total(&self) -> usize {
        self.refused + self.late
    }
}
