//! Backends that stop answering without closing anything, and backends that are only slow.

use super::backend::{Handler, handler, whole as whole_answer};
use super::pki::Authority;
use super::plane::{Plane, authorised, whole};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel_tests::{StoppableBackend, wait_for};

const PATH: &str = "/apis/g.example/v1/things";
/// Longer than any limit that ends a request to a dead backend.
const SLOW: Duration = Duration::from_secs(14);
/// 10 s, and room for a busy machine.
const READ_BOUND: Duration = Duration::from_secs(14);
/// 15 s, and room for a busy machine.
const WATCH_BOUND: Duration = Duration::from_secs(20);

/// Answers `?slow` late, sends one event and then nothing for `?watch=true`, and answers everything else at once.
fn answers() -> Handler {
    handler(|request| async move {
        match request.uri().query() {
            Some("slow") => {
                // The whole request first, as a server that executes it does.
                drop(request.into_body().collect().await);
                tokio::time::sleep(SLOW).await;
                Response::new(whole_answer("late"))
            }
            Some("watch=true") => {
                let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from("{}\n")))]);
                Response::new(StreamBody::new(first.chain(futures_util::stream::pending())).boxed_unsync())
            }
            _ => Response::new(whole_answer("ok")),
        }
    })
}

struct Setting {
    plane: Plane,
    backend: StoppableBackend,
}

impl Setting {
    async fn start(alpn: &'static [&'static str]) -> Result<Self> {
        let ca = Arc::new(Authority::new("backends")?);
        let backend = StoppableBackend::start(Arc::clone(&ca), alpn, answers()).await?;
        let plane = Plane::before(backend.port, &ca)?;
        // A connection is open before the backend stops.
        ensure!(plane.get(PATH).await?.status == 200, "the backend does not answer");
        Ok(Self { plane, backend })
    }

    /// Sends a request and returns its status and the time until the head arrived.
    async fn ask(&self, method: Method, query: &str) -> Result<(u16, Duration, String, bool)> {
        let size = if method.is_safe() { 0 } else { 10 };
        let request =
            Request::builder().method(method).uri(format!("{PATH}?{query}")).body(whole(vec![b'x'; size]))?;
        let mut client = self.plane.client("h2").await?;
        let request = authorised(request)?;
        let began = Instant::now();
        let answer = client.begin(request)?.await??;
        let took = began.elapsed();
        let (head, body) = answer.into_parts();
        let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        Ok((head.status.as_u16(), took, text, head.headers.contains_key("retry-after")))
    }
}

const HTTP1: &[&str] = &["http/1.1"];
const HTTP2: &[&str] = &["h2"];

async fn reads_of_a_stopped_backend_fail(alpn: &'static [&'static str]) -> Result<()> {
    let setting = Setting::start(alpn).await?;
    let mut watching = setting.plane.client("h2").await?;
    let watch = authorised(Request::get(format!("{PATH}?watch=true")).body(whole(""))?)?;
    let mut watch = watching.send(watch).await?.into_body();
    ensure!(watch.frame().await.context("an event")??.is_data(), "no event");
    let stopped = setting.backend.stop()?;
    let began = Instant::now();
    let watched = async {
        let ended =
            tokio::time::timeout(2 * WATCH_BOUND, watch.frame()).await.context("the watch goes on")?;
        ensure!(!matches!(ended, Some(Ok(_))), "an event from nowhere");
        anyhow::Ok(began.elapsed())
    };
    let read = setting.ask(Method::GET, "now");
    let (read, watched) = tokio::join!(read, watched);
    let ((status, took, text, asks_for_retry), watched) = (read?, watched?);
    println!("{alpn:?}: the read fails after {took:?}, the watch after {watched:?}: {text}");
    ensure!(status == 503 && asks_for_retry && took < READ_BOUND, "{status} after {took:?}");
    ensure!(watched < WATCH_BOUND, "the watch ended after {watched:?}");
    // Dead connections leave the pool: the backend answers again as soon as it continues.
    drop(stopped);
    wait_for("the backend", READ_BOUND, || async {
        let status = setting.plane.get(PATH).await?.status;
        ensure!(status == 200, "{status}");
        Ok(())
    })
    .await
}

async fn slow_answers_arrive(alpn: &'static [&'static str], method: Method) -> Result<()> {
    let setting = Setting::start(alpn).await?;
    let before = setting.backend.requests();
    let (status, took, text, _) = setting.ask(method, "slow").await?;
    ensure!((status, text.as_str()) == (200, "late"), "{alpn:?} {status} after {took:?}: {text}");
    ensure!(setting.backend.requests() == before + 1, "{alpn:?}: not once");
    Ok(())
}

/// A write that was sent over HTTP/1.1 is left alone, because only its response shows its outcome.
async fn a_write_survives_a_pause_of_its_backend() -> Result<()> {
    let setting = Setting::start(HTTP1).await?;
    let before = setting.backend.requests();
    let stopped = setting.backend.stop()?;
    let going_on = async {
        tokio::time::sleep(SLOW).await;
        drop(stopped);
    };
    let (answer, ()) = tokio::join!(setting.ask(Method::POST, "now"), going_on);
    let (status, took, text, _) = answer?;
    ensure!((status, text.as_str()) == (200, "ok"), "{status} after {took:?}: {text}");
    ensure!(setting.backend.requests() == before + 1, "not once");
    Ok(())
}

/// All at once, because each takes many seconds.
#[tokio::test(flavor = "multi_thread")]
async fn dead_backends_are_given_up_and_slow_ones_are_not() -> Result<()> {
    tokio::try_join!(
        reads_of_a_stopped_backend_fail(HTTP1),
        reads_of_a_stopped_backend_fail(HTTP2),
        slow_answers_arrive(HTTP1, Method::GET),
        slow_answers_arrive(HTTP2, Method::GET),
        slow_answers_arrive(HTTP1, Method::POST),
        slow_answers_arrive(HTTP2, Method::POST),
        a_write_survives_a_pause_of_its_backend(),
    )?;
    Ok(())
}
