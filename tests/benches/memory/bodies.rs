//! Large bodies for the gateway's own kinds.

use super::measure::{Row, Run};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{future, stream};
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::sync::watch;
use umbel_tests::tls_backend::Body;
use umbel_tests::{Asking, Connection};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const COUNT: usize = 500;
const SIZE: usize = 3 << 20;
/// Longer than a body takes over loopback on a busy machine.
const QUIET: Duration = Duration::from_secs(5);

/// Measures bodies that wait for their last byte and then get it, and objects that take most memory when decoded.
pub(super) async fn measure() -> Result<Vec<Row>> {
    Ok(vec![
        post_all("spaces, the last byte held back", vec![b' '; SIZE].into(), true).await?,
        post_all("an APIService with many annotations", many_annotations().into(), false).await?,
        post_all("an array of empty arrays", many_arrays().into(), false).await?,
    ])
}

async fn post_all(what: &str, body: Bytes, hold: bool) -> Result<Row> {
    let mut run = Run::start(&[]).await?;
    run.begin().await?;
    let (release, released) = watch::channel(!hold);
    let (mut open, mut asking) = (Vec::new(), FuturesUnordered::<Asking>::new());
    for _ in 0..COUNT {
        open.push(Connection::new(run.admin.dial("http/1.1").await?, "http/1.1").await?);
    }
    for connection in &mut open {
        let request = Request::post(SERVICES).header("content-type", "application/json");
        let request = request.header("content-length", body.len());
        asking.push(connection.begin(request.body(in_two_parts(&body, released.clone()))?)?);
    }
    let mut statuses = BTreeMap::new();
    while hold && let Ok(answer) = tokio::time::timeout(QUIET, asking.next()).await {
        count(&mut statuses, answer.context("no upload is held")??).await?;
    }
    if hold {
        run.hold().await?;
    }
    let held = asking.len();
    release.send(true)?;
    while let Some(answer) = asking.next().await {
        count(&mut statuses, answer?).await?;
    }
    drop(open);
    let mut found: Vec<String> =
        statuses.into_iter().map(|(status, count)| format!("{count} got {status}")).collect();
    if hold {
        found.insert(0, format!("{held} held"));
    }
    let input = format!("{COUNT} bodies of 3 MiB to APIServices at once: {what}");
    run.end(input, found.join(", "), "limited per process, 429 beyond; released").await
}

/// The body, whose last byte waits until `released` is true.
fn in_two_parts(body: &Bytes, mut released: watch::Receiver<bool>) -> Body {
    let (first, last) = (body.slice(..body.len() - 1), body.slice(body.len() - 1..));
    let last = stream::once(async move {
        // The sender outlives the requests.
        released.wait_for(|released| *released).await.map(drop).ok();
        Ok(Frame::data(last))
    });
    StreamBody::new(stream::once(future::ok(Frame::data(first))).chain(last)).boxed_unsync()
}

/// Counts a response of a kind that a large body may get.
async fn count(
    statuses: &mut BTreeMap<u16, usize>,
    answer: hyper::Result<http::Response<hyper::body::Incoming>>,
) -> Result<()> {
    let (head, body) = answer.context("a body without an answer")?.into_parts();
    let (status, text) = (head.status.as_u16(), body.collect().await?.to_bytes());
    // 504: large bodies are processed one after the other, which takes long in a debug build.
    ensure!([400, 422, 429, 504].contains(&status), "{status} {}", String::from_utf8_lossy(&text));
    ensure!(status != 429 || head.headers.contains_key("retry-after"), "429 without Retry-After");
    *statuses.entry(status).or_default() += 1;
    Ok(())
}

fn many_annotations() -> String {
    let mut text = String::from(
        r#"{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.g.example","annotations":{"#,
    );
    for number in 0.. {
        if text.len() + 32 > SIZE {
            break;
        }
        // Writing to a string does not fail.
        let _written = write!(text, r#""a{number}":"","#);
    }
    text + r#""z":""}}}"#
}

fn many_arrays() -> String {
    let head = r#"{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.g.example"},"x":["#;
    head.to_owned() + &"[],".repeat((SIZE - head.len() - 8) / 3) + "[]]}"
}
