//! A backend that sends interim responses as fast as they are read.

use super::measure::{PATIENCE, Row, Run, mib};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use umbel_tests::authority::Authority;
use umbel_tests::tls_backend::whole;
use umbel_tests::{Connection, Far, RawBackend, read_head, register_backend, resource_list, wait_for};

const GROUP: &str = "hints.example.com";
const DISCOVERY: &str = "/apis/hints.example.com/v1";
const THINGS: &str = "/apis/hints.example.com/v1/namespaces/default/things";
const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
/// Requests to the backend that are open at a time.
const CLIENTS: usize = 8;
const DURATION: Duration = Duration::from_secs(5);

/// Measures both protocols of backends. All connections share one worker.
pub(super) async fn measure() -> Result<Vec<Row>> {
    Ok(vec![flood("http/1.1").await?, flood("h2").await?])
}

async fn flood(alpn: &'static str) -> Result<Row> {
    let mut run = Run::start(&["--worker-threads", "1"]).await?;
    let (ca, sent) = (Authority::new("hints")?, Arc::<AtomicUsize>::default());
    let count = Arc::clone(&sent);
    let backend = RawBackend::start(&ca, alpn, move |stream| {
        let sent = Arc::clone(&count);
        if alpn == "h2" { Box::pin(serve_http2(stream, sent)) } else { Box::pin(serve_http1(stream, sent)) }
    })
    .await?;
    register_backend(&run.admin, &ca, GROUP, backend.port).await?;
    wait_for("the backend", PATIENCE, || async { run.admin.get(DISCOVERY).await?.expect(200) }).await?;
    run.begin().await?;
    let mut other = Connection::new(run.admin.dial("http/1.1").await?, "http/1.1").await?;
    let calm = latencies(&mut other).await?;
    let before = sent.load(Ordering::SeqCst);
    let mut flooded = JoinSet::new();
    for _ in 0..CLIENTS {
        let connection = Connection::new(run.admin.dial("http/1.1").await?, "http/1.1").await?;
        flooded.spawn(ask_on(connection));
    }
    let beset = latencies(&mut other).await?;
    let grown = run.hold_now()?;
    let sent = sent.load(Ordering::SeqCst) - before;
    let mut answers = 0;
    while let Some(count) = flooded.join_next().await {
        answers += count??;
    }
    let found = format!(
        "grown by {}; {sent} hints sent, {answers} requests got 502; others p50 / p99 / max {beset}, without the flood {calm}",
        mib(grown)
    );
    let input =
        format!("103 Early Hints by {alpn} as fast as they are read, {CLIENTS} requests at a time, 5 s");
    run.end(input, found, "a budget per poll; 1xx are limited (was: +300 MiB, 400 ms)").await
}

/// Asks the flooding backend again and again; each request gets 502.
async fn ask_on(mut connection: Connection) -> Result<usize> {
    let (began, mut answers) = (Instant::now(), 0);
    while began.elapsed() < DURATION {
        let response = connection.send(Request::get(THINGS).body(whole(""))?).await?;
        let (status, body) = (response.status(), response.into_body().collect().await?.to_bytes());
        ensure!(status == StatusCode::BAD_GATEWAY, "{status} {}", String::from_utf8_lossy(&body));
        answers += 1;
    }
    Ok(answers)
}

/// The times of requests one after the other, as text.
async fn latencies(connection: &mut Connection) -> Result<String> {
    let (began, mut all) = (Instant::now(), Vec::new());
    while began.elapsed() < DURATION {
        let asked = Instant::now();
        let response = connection.send(Request::get("/version").body(whole(""))?).await?;
        ensure!(response.status() == 200, "/version: {}", response.status());
        response.into_body().collect().await?;
        all.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    all.sort();
    let at = |percent: usize| all.get(all.len() * percent / 100).or(all.last()).context("no request");
    let [p50, p99, max] = [at(50)?, at(99)?, at(100)?].map(|time| time.as_secs_f64() * 1e3);
    Ok(format!("{p50:.1} / {p99:.1} / {max:.1} ms"))
}

async fn serve_http1(mut stream: Far, sent: Arc<AtomicUsize>) -> Result<()> {
    const BATCH: usize = 64;
    let (list, batch) = (resource_list(GROUP).to_string(), HINT.repeat(BATCH));
    loop {
        let head = read_head(&mut stream).await?;
        if head.starts_with(&format!("GET {DISCOVERY} ")) {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len());
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            continue;
        }
        // Ends when the gateway closes the connection.
        loop {
            stream.write_all(batch.as_bytes()).await?;
            sent.fetch_add(BATCH, Ordering::SeqCst);
        }
    }
}

async fn serve_http2(stream: Far, sent: Arc<AtomicUsize>) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    let mut serving = JoinSet::new();
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        serving.spawn(answer_http2(request, respond, Arc::clone(&sent)));
    }
    Ok(())
}

async fn answer_http2(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    sent: Arc<AtomicUsize>,
) -> Result<()> {
    const BATCH: usize = 256;
    if request.uri().path() == DISCOVERY {
        let list = Bytes::from(resource_list(GROUP).to_string());
        respond.send_response(Response::new(()), false)?.send_data(list, true)?;
        return Ok(());
    }
    // Ends when the gateway resets the stream.
    loop {
        for _ in 0..BATCH {
            let hint =
                Response::builder().status(StatusCode::EARLY_HINTS).header("link", "</a>; rel=preload");
            respond.send_informational(hint.body(())?)?;
        }
        sent.fetch_add(BATCH, Ordering::SeqCst);
        // The codec queues without a limit, so that this must not be faster than the connection.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
