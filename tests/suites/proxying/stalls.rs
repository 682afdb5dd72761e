//! Clients that begin to send a body and stop.

use super::backend::{Backend, Body, handler, whole as whole_answer};
use super::pki::Authority;
use super::plane::{Answer, LIMIT, Plane, UPLOAD_PAUSE, authorised, whole};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use umbel_tests::wait_for;

const PATHS: [&str; 2] = ["/apis/g.example/v1/things", "/apis/g.example/v1/namespaces/n/things/x/proxy/in"];
const PROTOCOLS: [(&str, &str); 4] =
    [("h2", "h2"), ("h2", "http/1.1"), ("http/1.1", "h2"), ("http/1.1", "http/1.1")];

/// Half a body, and nothing more.
fn half() -> Body {
    let first = stream::iter([Ok(Frame::data(Bytes::from("half")))]);
    StreamBody::new(first.chain(stream::pending())).boxed_unsync()
}

/// Counts the requests that it serves.
struct Serving(Arc<AtomicUsize>);

impl Serving {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_upload_is_refused_and_frees_the_backend() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (client_alpn, alpn) in PROTOCOLS {
        let serving = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&serving);
        let answer = handler(move |request| {
            let serving = Serving::begin(&count);
            async move {
                drop(request.into_body().collect().await);
                drop(serving);
                Response::new(whole_answer("all"))
            }
        });
        let backend = Backend::start(&ca, &[alpn], answer).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for path in PATHS {
            let answer = plane.ask(client_alpn, Request::post(path).body(half())?).await?;
            let object = answer.status_object()?;
            assert_eq!(
                (answer.status, &object["reason"]),
                (408, &"Timeout".into()),
                "{client_alpn} to {alpn}"
            );
            assert!(object["message"].as_str().context("a message")?.contains("body"), "{object}");
        }
        wait_for("the backend to be free", LIMIT, || async {
            ensure!(serving.load(Ordering::SeqCst) == 0, "it waits, {client_alpn} to {alpn}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// A backend may take its time over a body that it has, and a client over one whose answer has begun.
#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_and_conversations_are_not_cut() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (client_alpn, alpn) in PROTOCOLS {
        let answer = handler(|request: Request<_>| async move {
            if request.uri().path() == PATHS[0] {
                let _read = request.into_body().collect().await;
                tokio::time::sleep(3 * UPLOAD_PAUSE).await;
                return Response::new(whole_answer("late"));
            }
            let late = stream::once(async move {
                tokio::time::sleep(3 * UPLOAD_PAUSE).await;
                drop(request);
                Ok(Frame::data(Bytes::from("late")))
            });
            Response::new(StreamBody::new(late).boxed_unsync())
        });
        let backend = Backend::start(&ca, &[alpn], answer).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for (path, body) in [(PATHS[0], whole("all")), (PATHS[1], half())] {
            let mut client = plane.client(client_alpn).await?;
            let answer = client.send(authorised(Request::post(path).body(body)?)?).await?;
            let answer = Answer::read(answer).await?;
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "late"),
                "{client_alpn} to {alpn}, {path}"
            );
        }
    }
    Ok(())
}
