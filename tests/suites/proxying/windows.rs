//! Flow control: who does not read, or does not take, holds back nobody else.

use super::backend::{Backend, NAME, handler, whole as whole_answer};
use super::pki::Authority;
use super::plane::{Answer, LIMIT, Plane, authorised, empty, whole};
use anyhow::Result;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use umbel_tests::wait_for;

const WATCH: &str = "/apis/g.example/v1/things?watch=true";
const PATH: &str = "/apis/g.example/v1/things";

/// Clients that do not read share a backend connection with one that does; they must not use up its window.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_hold_back_nobody_else() -> Result<()> {
    const STALLED: usize = 6;
    const CHUNK: usize = 64 * 1024;
    let ca = Authority::new("backends")?;
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let answer = move |request: Request<_>| {
        let count = Arc::clone(&count);
        let is_endless = request.uri().query() == Some("watch=true");
        async move {
            if !is_endless {
                return Response::new(whole_answer(vec![1; 4 * CHUNK]));
            }
            let chunks = stream::repeat_with(move || {
                count.fetch_add(CHUNK, Ordering::SeqCst);
                Ok(Frame::data(Bytes::from(vec![7; CHUNK])))
            });
            Response::new(StreamBody::new(chunks).boxed_unsync())
        }
    };
    let backend = Backend::start(&ca, &["h2"], handler(answer)).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut client = plane.client("h2").await?;
        let answer = client.send(authorised(Request::get(WATCH).body(empty())?)?).await?;
        stalled.push((client, answer));
    }
    let mut seen = [0, 1, 2];
    while seen.iter().any(|count| *count != seen[0]) {
        seen = [written.load(Ordering::SeqCst), seen[0], seen[1]];
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let live = plane.ask("h2", Request::get(PATH).body(empty())?).await?;
    assert_eq!((live.status, live.body.len()), (200, 4 * CHUNK));
    assert_eq!(backend.connections(), 1, "all on one connection");
    Ok(())
}

/// The same for uploads of one client that a backend does not take.
#[tokio::test(flavor = "multi_thread")]
async fn stuck_uploads_hold_back_nobody_else() -> Result<()> {
    const STUCK: usize = 6;
    let ca = Authority::new("backends")?;
    let answer = |request: Request<hyper::body::Incoming>| async move {
        if request.uri().query() == Some("watch=true") {
            let _unread = request;
            return std::future::pending().await;
        }
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        Response::new(whole_answer(body.len().to_string()))
    };
    // The stuck ones fill a connection to the backend, so that the live one has its own there.
    let leaf = ca.server(&[NAME], false)?;
    let stuck = Backend::start_with(&ca, leaf, &["h2"], STUCK as u32, handler(answer)).await?;
    let plane = Plane::before(stuck.port, &ca)?;
    let mut client = plane.client("h2").await?;
    let mut asking = Vec::new();
    for _ in 0..STUCK {
        let request = authorised(Request::post(WATCH).body(whole(vec![1; 8 << 20]))?)?;
        asking.push(client.begin(request)?);
    }
    wait_for("the uploads", LIMIT, || async {
        anyhow::ensure!(stuck.requests() == STUCK, "{}", stuck.requests());
        Ok(())
    })
    .await?;
    let request = authorised(Request::post(PATH).body(whole(vec![1; 1 << 18]))?)?;
    let answer = Answer::read(client.send(request).await?).await?;
    assert_eq!(answer.text(), (1 << 18).to_string());
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}
