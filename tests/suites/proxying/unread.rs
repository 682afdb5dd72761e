//! Clients that do not read their responses, and the end of long-running responses in a drain.

use super::backend::{Backend, Body, handler};
use super::pki::Authority;
use super::plane::{ANSWER_STALL, Client, LIMIT, Plane, authorised, empty};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use umbel_tests::wait_for;

const PATH: &str = "/apis/g.example/v1/things";
const WATCH: &str = "/apis/g.example/v1/things?watch=true";
const LOG: &str = "/apis/g.example/v1/namespaces/n/things/x/log?follow=true";
const CHUNK: usize = 16 << 10;
/// Longer than a watch has for its last events once the plane drains.
const WATCH_TIME: Duration = Duration::from_millis(600);

/// Counts live values.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A body without end; `count` counts those that are being sent.
fn endless(count: &Arc<AtomicUsize>) -> Body {
    let alive = Alive::begin(count);
    let chunks = stream::repeat_with(move || {
        let _held = &alive;
        Ok(Frame::data(Bytes::from_static(&[b'x'; CHUNK])))
    });
    StreamBody::new(chunks).boxed_unsync()
}

async fn wait_until(count: &Arc<AtomicUsize>, wanted: usize) -> Result<()> {
    wait_for("the answers to end", LIMIT, || async {
        let alive = count.load(Ordering::SeqCst);
        ensure!(alive == wanted, "{alive} are still sent instead of {wanted}");
        Ok(())
    })
    .await
}

/// With an HTTP/2 window of zero the response never gets beyond its head.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_client_takes_nothing_is_reset() -> Result<()> {
    let plane = Plane::start()?;
    for window in [0, 3] {
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window).adaptive_window(false);
        let io = TokioIo::new(plane.dial(None, "h2").await?);
        let (mut sender, connection) = builder.handshake::<_, Body>(io).await?;
        let driver = tokio::spawn(connection);
        let request = authorised(Request::get("https://umbel.example/version").body(empty())?)?;
        let mut answer = sender.send_request(request).await?;
        assert_eq!(answer.status(), 200);
        if window == 0 {
            let broke = tokio::time::timeout(LIMIT, answer.body_mut().frame()).await;
            let broke = broke.context("the stream stays")?;
            assert!(broke.is_some_and(|frame| frame.is_err()), "the answer must not look complete");
        }
        // The connection goes on.
        let request = authorised(Request::head("https://umbel.example/version").body(empty())?)?;
        assert_eq!(sender.send_request(request).await?.status(), 200);
        driver.abort();
    }
    Ok(())
}

/// For all protocols of client and backend: no data is kept of a response that its client does not read.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_is_given_up() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let count = Arc::<AtomicUsize>::default();
        let sent = Arc::clone(&count);
        let answer = handler(move |_| {
            let body = endless(&sent);
            async move { Response::new(body) }
        });
        let backend = Backend::start(&ca, &[alpn], answer).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for client_alpn in ["h2", "http/1.1"] {
            let mut client = plane.client(client_alpn).await?;
            let unread = client.send(authorised(Request::get(PATH).body(empty())?)?).await?;
            assert_eq!(unread.status(), 200);
            assert_eq!(count.load(Ordering::SeqCst), 1, "{client_alpn} to {alpn}");
            wait_until(&count, 0).await.with_context(|| format!("{client_alpn} to {alpn}"))?;
            drop((unread, client));
        }
    }
    Ok(())
}

/// A response that is read slowly makes progress, and a watch may pause.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_and_watches_are_not_given_up() -> Result<()> {
    let ca = Authority::new("backends")?;
    let count = Arc::<AtomicUsize>::default();
    let sent = Arc::clone(&count);
    let answer = handler(move |request: Request<_>| {
        let body = if request.uri().query().is_some() {
            let event = stream::iter([Ok(Frame::data(Bytes::from("{}\n")))]);
            StreamBody::new(event.chain(stream::pending())).boxed_unsync()
        } else {
            endless(&sent)
        };
        async move { Response::new(body) }
    });
    let backend = Backend::start(&ca, &["h2"], answer).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for alpn in ["h2", "http/1.1"] {
        let (mut watching, mut reading) = (plane.client(alpn).await?, plane.client(alpn).await?);
        let mut watch = watching.send(authorised(Request::get(WATCH).body(empty())?)?).await?;
        watch.body_mut().frame().await.context("an event")??;
        let mut slow = reading.send(authorised(Request::get(PATH).body(empty())?)?).await?;
        let began = tokio::time::Instant::now();
        while began.elapsed() < 3 * ANSWER_STALL {
            // Each read is large enough to open the window again.
            for _ in 0..64 {
                slow.body_mut().frame().await.context("it goes on")??;
            }
            tokio::time::sleep(ANSWER_STALL / 10).await;
        }
        let next = tokio::time::timeout(ANSWER_STALL / 10, watch.body_mut().frame()).await;
        assert!(next.is_err(), "the watch ended: {next:?}");
        drop((slow, reading));
        wait_until(&count, 0).await?;
    }
    Ok(())
}

/// A client that stops reading in the middle of a large HTTP/1.1 response loses its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_read_is_closed() -> Result<()> {
    let ca = Authority::new("backends")?;
    let count = Arc::<AtomicUsize>::default();
    let sent = Arc::clone(&count);
    let answer = handler(move |_| {
        let body = endless(&sent);
        async move { Response::new(body) }
    });
    let backend = Backend::start(&ca, &["h2"], answer).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let mut stream = plane.dial(None, "http/1.1").await?;
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    wait_for("the answer", LIMIT, || async {
        ensure!(count.load(Ordering::SeqCst) == 1, "none");
        Ok(())
    })
    .await?;
    wait_until(&count, 0).await?;
    let mut rest = Vec::new();
    // The data in the kernel's buffers arrives, and then the connection ends, with whatever error.
    let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection stays");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a cut answer looks complete");
    Ok(())
}

/// Events, and then nothing more. `text` may end within an event.
fn watch_of(
    text: &'static str,
    content_type: &'static str,
    coding: &'static str,
) -> impl Fn(Request<hyper::body::Incoming>) -> std::future::Ready<Response<Body>> {
    move |_| {
        let events = stream::iter([Ok(Frame::data(Bytes::from(text)))]);
        let body = StreamBody::new(events.chain(stream::pending())).boxed_unsync();
        let response = Response::builder().header("content-type", content_type);
        let response = if coding.is_empty() { response } else { response.header("content-encoding", coding) };
        std::future::ready(response.body(body).expect("a response"))
    }
}

async fn open_watch(plane: &Plane, alpn: &str) -> Result<(Client, Response<hyper::body::Incoming>)> {
    let mut client = plane.client(alpn).await?;
    let mut answer = client.send(authorised(Request::get(WATCH).body(empty())?)?).await?;
    answer.body_mut().frame().await.context("an event")??;
    Ok((client, answer))
}

/// The drain timeout of these planes is long: a test that waits for it fails.
#[tokio::test(flavor = "multi_thread")]
async fn watches_end_between_two_events_when_the_drain_begins() -> Result<()> {
    let ca = Authority::new("backends")?;
    let json = "application/json;stream=watch";
    let protobuf = "application/vnd.kubernetes.protobuf;stream=watch";
    // A watch that does not show where its events end is cut: within a compressed block, for example.
    let cases = [
        ("{}\n", json, "", true),
        ("{}\n{\"half", json, "", false),
        ("\0\0\0\u{2}{}", protobuf, "", true),
        ("\0\0\0\u{5}{}", protobuf, "", false),
        ("{}\n", json, "gzip", false),
        ("{}", "application/cbor-seq", "", false),
    ];
    for (text, content_type, coding, is_clean) in cases {
        for (client_alpn, alpn) in
            [("h2", "h2"), ("h2", "http/1.1"), ("http/1.1", "h2"), ("http/1.1", "http/1.1")]
        {
            let case = format!("{text:?} with coding {coding:?} from {alpn} to {client_alpn}");
            let backend = Backend::start(&ca, &[alpn], handler(watch_of(text, content_type, coding))).await?;
            let mut plane = Plane::start_with_drain(LIMIT * 10)?;
            plane.route_to(backend.port, &ca)?;
            let (client, answer) = open_watch(&plane, client_alpn).await?;
            let running = plane.running.take().context("a plane")?;
            let drained = tokio::task::spawn_blocking(move || running.drain());
            let rest = tokio::time::timeout(LIMIT, answer.into_body().collect()).await;
            let rest = rest.with_context(|| format!("{case} goes on"))?;
            assert_eq!(rest.is_ok(), is_clean, "{case}");
            tokio::time::timeout(LIMIT, drained).await.with_context(|| format!("{case}: it drains on"))??;
            drop(client);
        }
    }
    Ok(())
}

/// Half of a log, and its other half when `end` allows it.
fn log(end: &Arc<Semaphore>) -> Response<Body> {
    let end = Arc::clone(end);
    let first = stream::iter([Ok(Frame::data(Bytes::from("one\n")))]);
    let last = stream::once(async move {
        end.acquire().await?.forget();
        Ok(Frame::data(Bytes::from("two\n")))
    });
    Response::new(StreamBody::new(first.chain(last)).boxed_unsync())
}

/// The end of a log means that there is no more of it. So it has the time of the drain, unlike a watch, and is cut then.
#[tokio::test(flavor = "multi_thread")]
async fn other_streams_end_by_themselves_or_are_cut_at_the_end_of_the_drain() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (client_alpn, alpn) in
        [("h2", "h2"), ("h2", "http/1.1"), ("http/1.1", "h2"), ("http/1.1", "http/1.1")]
    {
        for is_cut in [false, true] {
            let case = format!("from {alpn} to {client_alpn}, is cut: {is_cut}");
            let end = Arc::new(Semaphore::new(0));
            let answer = {
                let end = Arc::clone(&end);
                handler(move |_| std::future::ready(log(&end)))
            };
            let backend = Backend::start(&ca, &[alpn], answer).await?;
            let drain = if is_cut { 3 * WATCH_TIME } else { LIMIT * 10 };
            let mut plane = Plane::start_with_drain(drain)?;
            plane.route_to(backend.port, &ca)?;
            let mut client = plane.client(client_alpn).await?;
            let answer = client.send(authorised(Request::get(LOG).body(empty())?)?).await?;
            let running = plane.running.take().context("a plane")?;
            let drained = tokio::task::spawn_blocking(move || running.drain());
            let reading = tokio::spawn(answer.into_body().collect());
            // A watch would be over by now; a shorter wait would show nothing.
            tokio::time::sleep(2 * WATCH_TIME).await;
            assert!(!reading.is_finished(), "{case}: it ended");
            if !is_cut {
                end.add_permits(1);
            }
            let text =
                tokio::time::timeout(LIMIT, reading).await.with_context(|| format!("{case} goes on"))??;
            let text = text.ok().map(|text| text.to_bytes());
            assert_eq!(text.as_deref(), (!is_cut).then_some(b"one\ntwo\n".as_slice()), "{case}");
            tokio::time::timeout(LIMIT, drained).await.with_context(|| format!("{case}: it drains on"))??;
            drop(client);
        }
    }
    Ok(())
}

/// Neither a watch that its client does not read nor one without a response delays the exit.
#[tokio::test(flavor = "multi_thread")]
async fn stuck_watches_do_not_hold_up_the_end() -> Result<()> {
    let ca = Authority::new("backends")?;
    for client_alpn in ["h2", "http/1.1"] {
        let count = Arc::<AtomicUsize>::default();
        let sent = Arc::clone(&count);
        let answer = handler(move |request: Request<_>| {
            let is_silent = request.uri().query() == Some("watch=1");
            let body = endless(&sent);
            async move {
                if is_silent {
                    std::future::pending::<()>().await;
                }
                Response::new(body)
            }
        });
        let backend = Backend::start(&ca, &["h2"], answer).await?;
        let mut plane = Plane::start_with_drain(LIMIT * 10)?;
        plane.route_to(backend.port, &ca)?;
        let (mut unread, mut silent) = (plane.client(client_alpn).await?, plane.client(client_alpn).await?);
        let watch = unread.send(authorised(Request::get(WATCH).body(empty())?)?).await?;
        let request = authorised(Request::get(format!("{PATH}?watch=1")).body(empty())?)?;
        let asking = tokio::spawn(async move {
            let answer = silent.send(request).await?;
            anyhow::Ok((answer.status().as_u16(), answer.headers().get("retry-after").cloned()))
        });
        wait_for("both requests", LIMIT, || async {
            ensure!(backend.requests() == 2, "{}", backend.requests());
            Ok(())
        })
        .await?;
        let running = plane.running.take().context("a plane")?;
        let drained = tokio::task::spawn_blocking(move || running.drain());
        assert_eq!(asking.await??, (503, Some("1".parse()?)), "{client_alpn}");
        tokio::time::timeout(LIMIT, drained).await.with_context(|| format!("{client_alpn} drains on"))??;
        drop((watch, unread));
    }
    Ok(())
}
