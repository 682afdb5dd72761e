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
use umbel_tests::wait_for;

const WATCH: &str = "/apis/g.example/v1/things?watch=true";
/// Bytes that the plane reads from a backend for one stream before its client reads.
const STREAM_WINDOW: usize = 2 << 20;
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
    wait_for("the window of each stalled stream to be full", LIMIT, || async {
        let written = written.load(Ordering::SeqCst);
        anyhow::ensure!(written >= STALLED * STREAM_WINDOW, "{written} bytes");
        Ok(())
    })
    .await?;
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

/// Uploads that a backend does not read are limited in number, for each connection; uploads that were accepted
/// release their share when they end.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_beyond_the_limit_are_refused_until_others_end() -> Result<()> {
    /// More than the 16 MiB of a connection hold at 128 KiB each.
    const UPLOADS: usize = 140;
    const ADMITTED: usize = 128;
    // An upload that fits into the windows and sockets of the backend is passed on and no longer counts.
    let large = Bytes::from(vec![1; 8 << 20]);
    let ca = Authority::new("backends")?;
    let hold = |request: Request<hyper::body::Incoming>| async move {
        if request.uri().query().is_some() {
            let _unread = request;
            return std::future::pending().await;
        }
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        Response::new(whole_answer(body.len().to_string()))
    };
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], handler(hold)).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut client = plane.client("h2").await?;
        let mut asking = Vec::new();
        for number in 0..UPLOADS {
            let request = authorised(Request::post(WATCH).body(whole(large.clone()))?)?;
            let mut answer = client.begin(request)?;
            if number >= ADMITTED {
                let answer = Answer::read((&mut answer).await??).await?;
                assert_eq!((answer.status, &answer.headers["retry-after"]), (429, &"1".parse()?), "{number}");
                let status = answer.status_object()?;
                assert_eq!(
                    (&status["reason"], &status["details"]["retryAfterSeconds"]),
                    (&"TooManyRequests".into(), &1.into())
                );
            } else {
                wait_for("the upload", LIMIT, || async {
                    anyhow::ensure!(backend.requests() == number + 1, "{}", backend.requests());
                    Ok(())
                })
                .await?;
                asking.push(answer);
            }
        }
        asking.iter().for_each(tokio::task::JoinHandle::abort);
        wait_for("room for others", LIMIT, || async {
            let request = authorised(Request::post(PATH).body(whole(vec![1; 1 << 18]))?)?;
            let answer = plane.client("h2").await?.send(request).await?;
            let answer = Answer::read(answer).await?;
            anyhow::ensure!(answer.text() == (1 << 18).to_string(), "{}", answer.text());
            Ok(())
        })
        .await?;
        let request = authorised(Request::post(PATH).body(whole(vec![1; 1 << 18]))?)?;
        assert_eq!(Answer::read(client.send(request).await?).await?.text(), (1 << 18).to_string());
    }
    Ok(())
}

/// Uploads that a backend has taken and not answered yet use no memory, so they do not keep others out.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_wait_for_their_answers_do_not_count() -> Result<()> {
    /// More than a connection may hold, at 128 KiB each.
    const UPLOADS: usize = 140;
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let taken = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&taken);
        let slow = move |request: Request<hyper::body::Incoming>| {
            let count = Arc::clone(&count);
            async move {
                drop(request.into_body().collect().await);
                count.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
        };
        let backend = Backend::start(&ca, &[alpn], handler(slow)).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut client = plane.client("h2").await?;
        let mut asking = Vec::new();
        for number in 0..UPLOADS {
            let request = authorised(Request::post(PATH).body(whole(vec![1; 1 << 18]))?)?;
            asking.push(client.begin(request)?);
            wait_for("the upload to be taken", LIMIT, || async {
                let taken = taken.load(Ordering::SeqCst);
                anyhow::ensure!(taken == number + 1, "{taken} of {number} to {alpn}");
                Ok(())
            })
            .await?;
        }
        assert!(!asking.iter().any(tokio::task::JoinHandle::is_finished), "an upload was refused");
        asking.iter().for_each(tokio::task::JoinHandle::abort);
    }
    Ok(())
}

/// An upload that the backend does not take ends with its request, whether the client leaves or waits too long. (An
/// HTTP/1.1 client that leaves is noticed behind the data that it sent before, so the time limit ends it.)
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_upload_ends_with_its_request() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (client_alpn, leaves) in [("h2", true), ("h2", false), ("http/1.1", false)] {
        let held = Arc::new(());
        let watched = Arc::downgrade(&held);
        let hold = move |request| {
            let held = Arc::clone(&held);
            async move {
                let _held: (Request<hyper::body::Incoming>, _) = (request, held);
                std::future::pending().await
            }
        };
        let backend = Backend::start(&ca, &["h2"], handler(hold)).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let path = if leaves { PATH.to_owned() } else { format!("{PATH}?timeout=300ms") };
        let request = authorised(Request::post(path).body(whole(vec![1; 8 << 20]))?)?;
        let mut client = plane.client(client_alpn).await?;
        let asking =
            tokio::spawn(async move { (client.send(request).await.map(|answer| answer.status()), client) });
        wait_for("the upload", LIMIT, || async {
            anyhow::ensure!(watched.strong_count() == 2, "none");
            Ok(())
        })
        .await?;
        // A client whose request was given up stays, so that only the plane can have ended the upload.
        let _stays = if leaves {
            asking.abort();
            None
        } else {
            let (status, client) = asking.await?;
            assert_eq!(status?, 504, "{client_alpn}");
            Some(client)
        };
        wait_for("the end of the upload", LIMIT, || async {
            anyhow::ensure!(
                watched.strong_count() == 1,
                "it goes on, by {client_alpn}, client leaves: {leaves}"
            );
            Ok(())
        })
        .await?;
        assert_eq!(backend.open_connections(), 1, "only the stream ends");
    }
    Ok(())
}
