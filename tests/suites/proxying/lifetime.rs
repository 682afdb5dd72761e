//! How connections and the whole plane begin and end.

use super::backend::{Backend, handler, whole as whole_answer};
use super::pki::Authority;
use super::plane::{Answer, LIMIT, Plane, authorised, empty, whole};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use umbel_tests::wait_for;

const PATH: &str = "/apis/g.example/v1/things";

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_told_so() -> Result<()> {
    let plane = Plane::start()?;
    let mut stream = TcpStream::connect(plane.address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let mut text = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut text)).await??;
    assert!(text.starts_with("HTTP/1.0 400 Bad Request\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), "{text}");
    Ok(())
}

/// Requests in flight end well, their connections are told to close, new ones are refused.
#[tokio::test(flavor = "multi_thread")]
async fn drain_lets_requests_end() -> Result<()> {
    let ca = Authority::new("backends")?;
    for client_alpn in ["h2", "http/1.1"] {
        let gate = Arc::new(Semaphore::new(0));
        let held = Arc::clone(&gate);
        let backend = Backend::start(
            &ca,
            &["h2"],
            handler(move |_| {
                let held = Arc::clone(&held);
                async move {
                    held.acquire().await.expect("open").forget();
                    Response::new(whole_answer("done"))
                }
            }),
        )
        .await?;
        let mut plane = Plane::before(backend.port, &ca)?;
        let mut client = plane.client(client_alpn).await?;
        let request = authorised(Request::get(PATH).body(empty())?)?;
        let asking = tokio::spawn(async move {
            let answer = Answer::read(client.send(request).await?).await?;
            anyhow::Ok((answer, client))
        });
        wait_for("the request", LIMIT, || async {
            ensure!(backend.requests() == 1, "none");
            Ok(())
        })
        .await?;
        let running = plane.running.take().context("a running plane")?;
        let draining = tokio::task::spawn_blocking(move || running.drain());
        let address = plane.address;
        wait_for("the end of accepting", LIMIT, || async {
            ensure!(TcpStream::connect(address).await.is_err(), "still accepting");
            Ok(())
        })
        .await?;
        gate.add_permits(1);
        let (answer, mut client) = asking.await??;
        assert_eq!((answer.status, answer.text().as_str()), (200, "done"), "{client_alpn}");
        let again = client.send(authorised(Request::get(PATH).body(empty())?)?).await;
        assert!(again.is_err(), "{client_alpn}: a drained connection takes no request");
        tokio::time::timeout(LIMIT, draining).await.context("the drain does not end")??;
    }
    Ok(())
}

/// A watch does not end by itself; the drain's bound ends it.
#[tokio::test(flavor = "multi_thread")]
async fn drain_is_bounded() -> Result<()> {
    let ca = Authority::new("backends")?;
    let answer = |_| async {
        let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from("part")))]);
        let body = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        Response::new(StreamBody::new(body).boxed_unsync())
    };
    let backend = Backend::start(&ca, &["h2"], handler(answer)).await?;
    let mut plane = Plane::before(backend.port, &ca)?;
    let mut client = plane.client("h2").await?;
    let mut body = client.send(authorised(Request::get(PATH).body(empty())?)?).await?.into_body();
    assert!(body.frame().await.context("a first part")?.is_ok());
    let running = plane.running.take().context("a running plane")?;
    let start = Instant::now();
    tokio::time::timeout(LIMIT, tokio::task::spawn_blocking(move || running.drain())).await??;
    assert!(start.elapsed() >= Duration::from_millis(300), "the answer was not waited for");
    let rest = tokio::time::timeout(LIMIT, body.frame()).await.context("the answer goes on")?;
    assert!(rest.is_none_or(|frame| frame.is_err()));
    Ok(())
}

/// A client that connects and says nothing has no request that a drain would have to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_does_not_hold_up_a_drain() -> Result<()> {
    const DRAIN: Duration = Duration::from_secs(300);
    /// Less than the time limit of a handshake.
    const SOON: Duration = Duration::from_secs(5);
    let mut plane = Plane::start_with_drain(DRAIN)?;
    let silent = TcpStream::connect(plane.address).await?;
    // Connections are accepted in order.
    assert_eq!(plane.get("/version").await?.status, 200);
    let running = plane.running.take().context("a running plane")?;
    let draining = tokio::task::spawn_blocking(move || running.drain());
    tokio::time::timeout(SOON, draining).await.context("the drain waits for the handshake")??;
    drop(silent);
    Ok(())
}

/// An idle HTTP/1.1 connection gives its codec up, which its client must not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_idle_serves_on() -> Result<()> {
    /// Longer than it takes until a connection counts as idle.
    const IDLE: Duration = Duration::from_secs(4);
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], super::backend::echo()).await?;
    let mut plane = Plane::before(backend.port, &ca)?;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(plane.dial(None, "http/1.1").await?);
    }
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\nContent-Length: 4\r\n\r\n"
    );
    for round in 0..2 {
        let request = format!("{head}{round}{round}{round}{round}");
        let early = [0, 20, head.len() / 2];
        // A connection within a head is not idle.
        for (stream, early) in streams.iter_mut().zip(early) {
            stream.write_all(&request.as_bytes()[..early]).await?;
        }
        tokio::time::sleep(IDLE).await;
        for (stream, early) in streams.iter_mut().zip(early) {
            stream.write_all(&request.as_bytes()[early..]).await?;
            let (mut answer, end) = (Vec::new(), format!("body: {round}{round}{round}{round}"));
            while !answer.ends_with(end.as_bytes()) {
                let read = tokio::time::timeout(LIMIT, stream.read_buf(&mut answer)).await;
                let read = read.with_context(|| String::from_utf8_lossy(&answer).into_owned())??;
                ensure!(read > 0, "closed after {}", String::from_utf8_lossy(&answer));
            }
        }
    }
    tokio::time::sleep(IDLE).await;
    let running = plane.running.take().context("a running plane")?;
    let draining = tokio::task::spawn_blocking(move || running.drain());
    for stream in &mut streams {
        let read = tokio::time::timeout(LIMIT, stream.read(&mut [0])).await.context("it stays open")?;
        assert_eq!(read?, 0, "an idle connection ends with close_notify");
    }
    tokio::time::timeout(LIMIT, draining).await.context("the drain does not end")??;
    Ok(())
}

/// The body is asked for when a backend takes it; a refusal comes without it.
#[tokio::test(flavor = "multi_thread")]
async fn expect_continue_is_answered_when_the_body_is_wanted() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], super::backend::echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let head = |token: &str, path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
    };
    let mut stream = plane.dial(None, "http/1.1").await?;
    stream.write_all(head("admin-token", PATH).as_bytes()).await?;
    let mut interim = [0; 25];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut interim)).await.context("no 100")??;
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await?;
    let mut text = vec![0; 12];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut text)).await??;
    assert_eq!(text, b"HTTP/1.1 200");
    let mut stream = plane.dial(None, "http/1.1").await?;
    stream.write_all(head("jo-token", PATH).as_bytes()).await?;
    tokio::time::timeout(LIMIT, stream.read_exact(&mut text)).await??;
    assert_eq!(text, b"HTTP/1.1 403");
    Ok(())
}

/// Connections of a backend that is no longer routed to are closed.
#[tokio::test(flavor = "multi_thread")]
async fn connections_of_a_gone_backend_are_dropped() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], super::backend::echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    assert_eq!(plane.ask("h2", Request::post(PATH).body(whole("x"))?).await?.status, 200);
    plane.publish(umbel::route::Target::Local);
    wait_for("the connection to close", LIMIT, || async {
        ensure!(backend.open_connections() == 0, "{} open", backend.open_connections());
        Ok(())
    })
    .await?;
    Ok(())
}
