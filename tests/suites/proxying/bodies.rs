//! Bodies: large ones both ways, trailers, streams, and what happens when one side leaves.

use super::backend::{Backend, Body, Handler, handler, whole as whole_answer};
use super::pki::Authority;
use super::plane::{LIMIT, Plane, authorised, empty, whole};
use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use umbel_tests::wait_for;

const WATCH: &str = "/apis/g.example/v1/things?watch=true";
const PATH: &str = "/apis/g.example/v1/things";
const PROTOCOLS: [(&str, &str); 4] =
    [("h2", "h2"), ("h2", "http/1.1"), ("http/1.1", "h2"), ("http/1.1", "http/1.1")];

/// A body fed by a channel; `receiver.recv()` returning `None` ends it.
fn fed(mut receiver: mpsc::Receiver<Bytes>) -> Body {
    let frames = stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(|data| Ok(Frame::data(data)));
    StreamBody::new(frames).boxed_unsync()
}

/// Answers the first request with what is sent into the channel.
fn one_watch() -> (mpsc::Sender<Bytes>, Handler) {
    let (events, source) = mpsc::channel(1);
    let source = Arc::new(tokio::sync::Mutex::new(Some(source)));
    let answer = move |_| {
        let source = Arc::clone(&source);
        async move { Response::new(fed(source.lock().await.take().expect("one watch"))) }
    };
    (events, handler(answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_headers_arrive_before_first_event() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (client_alpn, alpn) in PROTOCOLS {
        let (events, watch) = one_watch();
        let backend = Backend::start(&ca, &[alpn], watch).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut client = plane.client(client_alpn).await?;
        let answer = client.send(authorised(Request::get(WATCH).body(empty())?)?).await?;
        assert_eq!(answer.status(), 200, "{client_alpn} to {alpn}");
        let mut body = answer.into_body();
        for event in ["one", "two"] {
            events.send(Bytes::from(event)).await?;
            let frame = tokio::time::timeout(LIMIT, body.frame()).await?.context("an event")??;
            assert_eq!(frame.into_data().ok().context("data")?, event);
        }
        drop(events);
        let rest = tokio::time::timeout(LIMIT, body.collect()).await.context("the watch goes on")??;
        assert!(rest.to_bytes().is_empty());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn client_gone_cancels_backend() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (client_alpn, alpn) in PROTOCOLS {
        let (events, watch) = one_watch();
        let backend = Backend::start(&ca, &[alpn], watch).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut client = plane.client(client_alpn).await?;
        let answer = client.send(authorised(Request::get(WATCH).body(empty())?)?).await?;
        drop((answer, client));
        // The backend's body is dropped when its request is cancelled: then the channel is closed.
        tokio::time::timeout(LIMIT, events.closed()).await.context("the watch goes on")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn client_gone_before_the_answer_cancels_backend() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (client_alpn, alpn) in PROTOCOLS {
        let (held, waiting) = mpsc::channel::<()>(1);
        let backend = Backend::start(
            &ca,
            &[alpn],
            handler(move |_| {
                let held = held.clone();
                async move {
                    let _held = held;
                    std::future::pending().await
                }
            }),
        )
        .await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut client = plane.client(client_alpn).await?;
        let request = authorised(Request::get(PATH).body(empty())?)?;
        let asking = tokio::spawn(async move { client.send(request).await });
        wait_for("the request", LIMIT, || async {
            anyhow::ensure!(backend.requests() == 1, "none");
            Ok(())
        })
        .await?;
        assert_eq!(waiting.sender_strong_count(), 2);
        asking.abort();
        wait_for("the end of the request", LIMIT, || async {
            anyhow::ensure!(waiting.sender_strong_count() == 1, "it goes on, {client_alpn} to {alpn}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (client_alpn, alpn) in PROTOCOLS {
        let backend = Backend::start(
            &ca,
            &[alpn],
            handler(|request| async move {
                let body = request.into_body().collect().await.expect("a body");
                let sent = body.trailers().cloned().unwrap_or_default();
                assert!(!sent.contains_key("x-remote-user"), "identity passed as a trailer");
                let sum = sent.get("x-sum").cloned();
                let mut trailers = http::HeaderMap::new();
                trailers.insert("x-sum", sum.unwrap_or(http::HeaderValue::from_static("none")));
                let frames = [Ok(Frame::data(body.to_bytes())), Ok(Frame::trailers(trailers))];
                let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
                Response::builder().header("trailer", "x-sum").body(body).expect("a response")
            }),
        )
        .await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "42".parse()?);
        trailers.insert("x-remote-user", "root".parse()?);
        let frames = [Ok(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(trailers))];
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        let request = Request::post(PATH)
            .header("te", "trailers")
            .header("trailer", "x-sum, x-remote-user")
            .body(body)?;
        let answer = plane.ask(client_alpn, request).await?;
        assert_eq!(answer.text(), "hello");
        let sum = answer.trailers.as_ref().and_then(|t| t.get("x-sum")).context("no trailer")?;
        assert_eq!(sum, "42", "{client_alpn} to {alpn}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_whole_both_ways() -> Result<()> {
    let ca = Authority::new("backends")?;
    let large: Bytes = (0..12_000_000_u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into();
    for (client_alpn, alpn) in PROTOCOLS {
        let backend = Backend::start(
            &ca,
            &[alpn],
            handler(|request| async move {
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                Response::builder()
                    .header("content-encoding", "gzip")
                    .body(whole_answer(body))
                    .expect("a response")
            }),
        )
        .await?;
        let plane = Plane::before(backend.port, &ca)?;
        let answer = plane.ask(client_alpn, Request::put(PATH).body(whole(large.clone()))?).await?;
        assert_eq!(answer.headers["content-encoding"], "gzip");
        assert!(answer.body == large, "{client_alpn} to {alpn}: {} bytes", answer.body.len());
    }
    Ok(())
}

/// A client that does not read must stop the backend from writing, not fill our memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_slows_the_backend() -> Result<()> {
    const CHUNK: usize = 64 * 1024;
    const MOST: usize = 40_000_000;
    let ca = Authority::new("backends")?;
    for (client_alpn, alpn) in PROTOCOLS {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let backend = Backend::start(
            &ca,
            &[alpn],
            handler(move |_| {
                let count = Arc::clone(&count);
                async move {
                    let chunks = stream::repeat_with(move || {
                        count.fetch_add(CHUNK, Ordering::SeqCst);
                        Ok(Frame::data(Bytes::from(vec![7; CHUNK])))
                    });
                    Response::new(StreamBody::new(chunks).boxed_unsync())
                }
            }),
        )
        .await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut client = plane.client(client_alpn).await?;
        let answer = client.send(authorised(Request::get(WATCH).body(empty())?)?).await?;
        // Wait until the backend stands still: three looks in a row that see the same.
        let mut seen = [0, 1, 2];
        while seen.iter().any(|count| *count != seen[0]) {
            assert!(seen[0] < MOST, "{client_alpn} to {alpn}: {} bytes and no end", seen[0]);
            seen = [written.load(Ordering::SeqCst), seen[0], seen[1]];
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(seen[0] > 0 && seen[0] < MOST, "{client_alpn} to {alpn}: {} bytes", seen[0]);
        // It goes on as the client reads.
        let mut body = answer.into_body();
        let mut read = 0;
        while read < seen[0] + CHUNK {
            let frame = tokio::time::timeout(LIMIT, body.frame()).await?.context("more data")??;
            read += frame.into_data().map(|data| data.len()).unwrap_or_default();
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_breaks_off_is_seen_by_the_client() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (client_alpn, alpn) in PROTOCOLS {
        let half_read = Arc::new(Semaphore::new(0));
        let may_break = Arc::clone(&half_read);
        let answer = handler(move |_| {
            let may_break = Arc::clone(&may_break);
            let half = stream::iter([Ok(Frame::data(Bytes::from("half")))]);
            let broken = stream::once(async move {
                may_break.acquire().await?.forget();
                Err(anyhow::anyhow!("broken"))
            });
            async move { Response::new(StreamBody::new(Box::pin(half.chain(broken))).boxed_unsync()) }
        });
        let backend = Backend::start(&ca, &[alpn], answer).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut client = plane.client(client_alpn).await?;
        let answer = client.send(authorised(Request::get(PATH).body(empty())?)?).await?;
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        let half = tokio::time::timeout(LIMIT, body.frame()).await?.context("the first half")??;
        assert_eq!(half.into_data().ok().context("data")?, "half");
        half_read.add_permits(1);
        let rest = tokio::time::timeout(LIMIT, body.collect()).await.context("the body does not end")?;
        assert!(rest.is_err(), "{client_alpn} to {alpn}: a short body looks whole");
    }
    Ok(())
}
