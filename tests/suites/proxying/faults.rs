//! What a client reads when a backend cannot answer, and what is tried again.

use super::backend::{Backend, NAME, echo, handler, whole as whole_answer};
use super::pki::Authority;
use super::plane::{LIMIT, Plane, Trust, whole};
use anyhow::{Context, Result, ensure};
use http::{Method, Request, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use umbel::route::{Availability, SignalKind, Target};
use umbel_tests::{ReservedPort, wait_for};

const PATH: &str = "/apis/g.example/v1/things";

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_is_told_apart() -> Result<()> {
    let (ca, strangers) = (Authority::new("backends")?, Authority::new("strangers")?);
    let mut plane = Plane::start()?;
    let good = Backend::start(&ca, &["h2"], echo()).await?;
    let wrong_name = ca.server(&["other.default.svc"], false)?;
    let wrong_name = Backend::start_with(&ca, wrong_name, &["h2"], 9, echo()).await?;
    let expired = Backend::start_with(&ca, ca.server(&[NAME], true)?, &["h2"], 9, echo()).await?;
    // Bound by this test, so that nothing else can listen there meanwhile.
    let reserved = ReservedPort::new()?;
    let closed_port = reserved.number();
    let cases = [
        (closed_port, &ca, "the backend refused the connection", true),
        (good.port, &strangers, "x509: certificate signed by unknown authority", false),
        (wrong_name.port, &ca, "certificate is valid for other.default.svc, not backend.default.svc", false),
        (expired.port, &ca, "x509: certificate has expired or is not yet valid", false),
    ];
    for (port, ca, cause, is_transient) in cases {
        plane.route(&Trust { ports: &[port], ca, server_name: NAME }, Availability::Open)?;
        let answer = plane.get(PATH).await?;
        let object = answer.status_object()?;
        let message = object["message"].as_str().context("a message")?;
        assert_eq!((answer.status, &object["reason"]), (503, &"ServiceUnavailable".into()));
        assert!(
            message.starts_with("error trying to reach service: ") && message.contains(cause),
            "{message}"
        );
        assert!(!message.contains("127.0.0.1"), "an address leaks: {message}");
        assert_eq!(answer.headers.contains_key("retry-after"), is_transient, "{message}");
        let signal = tokio::time::timeout(LIMIT, plane.signals.recv()).await?.context("a signal")?;
        assert_eq!(signal.kind, SignalKind::Undeliverable);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_and_unreachable_routes_say_why() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::start()?;
    let message = "APIService v1.g.example is not available: discovery fails".to_owned();
    // What was found out is final, or clients would try ten times before they tell it. What is not known yet is not.
    for is_checked in [true, false] {
        let reason = "FailedDiscoveryCheck".to_owned();
        let closed = Availability::Closed { reason, message: message.clone(), is_checked };
        plane.route(&Trust { ports: &[backend.port], ca: &ca, server_name: NAME }, closed)?;
        let answer = plane.get(PATH).await?;
        assert_eq!(answer.status_object()?["message"], message);
        assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (503, !is_checked));
        plane.publish(Target::Unreachable {
            reason: "ServiceNotFound".to_owned(),
            message: "no such service".to_owned(),
            is_checked,
        });
        let answer = plane.get(PATH).await?;
        assert_eq!(answer.status_object()?["message"], "no such service");
        assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (503, !is_checked));
    }
    assert_eq!(backend.requests(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_to_be_missing_before_routes_are_known() -> Result<()> {
    let plane = Plane::start()?;
    for path in [PATH, "/apis/g.example"] {
        let answer = plane.get(path).await?;
        let reason = answer.status_object()?["reason"].clone();
        assert_eq!((answer.status, reason), (503, "ServiceUnavailable".into()), "{path}");
        assert_eq!(answer.headers["retry-after"], "1", "{path}");
    }
    let known = Target::Unreachable {
        reason: "ServiceNotFound".to_owned(),
        message: "none".to_owned(),
        is_checked: true,
    };
    plane.publish(known);
    assert_eq!(plane.get("/apis/other.example/v1/things").await?.status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_backend_times_out() -> Result<()> {
    let ca = Authority::new("backends")?;
    let hang = || handler(|_| async { std::future::pending().await });
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], hang()).await?;
        let mut plane = Plane::before(backend.port, &ca)?;
        let answer = plane.get(&format!("{PATH}?timeout=200ms")).await?;
        assert_eq!((answer.status, &answer.status_object()?["reason"]), (504, &"Timeout".into()));
        let signal = tokio::time::timeout(LIMIT, plane.signals.recv()).await?.context("a signal")?;
        assert_eq!(signal.kind, SignalKind::Undeliverable);
        let answer = plane.get("/apis/g.example/v1?timeout=200ms").await?;
        assert_eq!(answer.status, 504);
        let answer = plane.get(&format!("{PATH}?timeout=soon")).await?;
        assert_eq!(answer.status_object()?["code"], 400);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_refused() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let answer = |request: Request<_>| {
            let status: u16 = request.uri().query().and_then(|q| q.parse().ok()).unwrap_or(200);
            let response = Response::builder().status(status);
            let response =
                if status == 304 { response } else { response.header("location", "https://evil/") };
            async move { response.header("warning", "299 - \"old\"").body(whole_answer("")).expect("a response") }
        };
        let backend = Backend::start(&ca, &[alpn], handler(answer)).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for (status, seen) in [(301, 502), (307, 502), (304, 304), (201, 201)] {
            let answer = plane.get(&format!("{PATH}?{status}")).await?;
            assert_eq!(answer.status, seen, "{status}");
            assert_eq!(answer.headers.contains_key("warning"), seen != 502);
            if seen == 502 {
                let text = "the backend attempted to redirect this request, which is not permitted";
                assert_eq!(answer.status_object()?["message"], text);
                assert!(!answer.headers.contains_key("location"));
            }
        }
    }
    Ok(())
}

/// A backend that switches protocols unasked, or answers with no status at all, must not reach the client.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_refused() -> Result<()> {
    let ca = Authority::new("backends")?;
    for line in ["101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket", "999 What"] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let tls = TlsAcceptor::from(ca.serve(ca.server(&[NAME], false)?, &["http/1.1"])?);
        let serving = tokio::spawn(async move {
            let mut stream = tls.accept(listener.accept().await?.0).await?;
            let mut request = [0; 4096];
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                ensure!(stream.read(&mut request).await? > 0, "no request");
            }
            stream.write_all(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await?;
            anyhow::Ok(stream)
        });
        let plane = Plane::before(port, &ca)?;
        let answer = plane.get(PATH).await?;
        answer.status_object()?;
        assert_eq!(answer.status, 502, "{line}");
        drop(serving.await??);
    }
    Ok(())
}

/// Reads one HTTP/1.1 request, answers it on the first round, and closes on the second.
async fn answer_once_then_close(
    listener: TcpListener,
    tls: TlsAcceptor,
    seen: Arc<AtomicUsize>,
) -> Result<()> {
    loop {
        let (tcp, _) = listener.accept().await?;
        let mut stream = tls.accept(tcp).await?;
        let mut answered = false;
        let mut buffer = [0; 4096];
        while let Ok(count) = stream.read(&mut buffer).await {
            if count == 0 || !buffer[..count].windows(4).any(|w| w == b"\r\n\r\n") {
                break;
            }
            seen.fetch_add(1, Ordering::SeqCst);
            if answered {
                break;
            }
            answered = true;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
        }
    }
}

/// The backend reads the second request on a connection and closes it unanswered. A read may be sent again; a
/// write may not: nobody knows whether it happened.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_never_sent_twice() -> Result<()> {
    let ca = Authority::new("backends")?;
    let cases = [
        (Method::GET, "", 200, 3),
        (Method::GET, "x", 200, 3),
        (Method::POST, "x", 503, 2),
        (Method::PUT, "x", 503, 2),
        (Method::DELETE, "", 503, 2),
    ];
    for (method, body, status, sent) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(AtomicUsize::new(0));
        let tls = TlsAcceptor::from(ca.serve(ca.server(&[NAME], false)?, &["http/1.1"])?);
        let serving = tokio::spawn(answer_once_then_close(listener, tls, Arc::clone(&seen)));
        let plane = Plane::before(port, &ca)?;
        let request = || Request::builder().method(method.clone()).uri(PATH).body(whole(body));
        assert_eq!(plane.ask("http/1.1", request()?).await?.status, 200);
        let answer = plane.ask("http/1.1", request()?).await?;
        assert_eq!((answer.status, seen.load(Ordering::SeqCst)), (status, sent), "{method}");
        serving.abort();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_is_reported_and_replaced() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], echo()).await?;
        let mut plane = Plane::before(backend.port, &ca)?;
        assert_eq!(plane.get(PATH).await?.status, 200);
        assert_eq!(plane.get(PATH).await?.status, 200);
        assert_eq!(backend.connections(), 1, "{alpn}: connections are reused");
        drop(backend);
        let signal = tokio::time::timeout(LIMIT, plane.signals.recv()).await?.context("a signal")?;
        assert_eq!(signal.kind, SignalKind::ConnectionClosed, "{alpn}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_http2_connection_gets_a_second_one() -> Result<()> {
    const STREAMS: usize = 10;
    let ca = Authority::new("backends")?;
    let answer = |request: Request<_>| async move {
        if request.uri().query() == Some("watch=1") {
            std::future::pending::<()>().await;
        }
        Response::new(whole_answer("ok"))
    };
    let leaf = ca.server(&[NAME], false)?;
    let backend = Backend::start_with(&ca, leaf, &["h2"], STREAMS as u32, handler(answer)).await?;
    let plane = Arc::new(Plane::before(backend.port, &ca)?);
    // The peer's limit is known once it has answered.
    assert_eq!(plane.get(PATH).await?.status, 200);
    let mut watches = Vec::new();
    for _ in 0..STREAMS {
        let plane = Arc::clone(&plane);
        watches.push(tokio::spawn(async move { plane.get(&format!("{PATH}?watch=1")).await }));
    }
    wait_for("the watches", LIMIT, || async {
        ensure!(backend.requests() == STREAMS + 1, "{}", backend.requests());
        Ok(())
    })
    .await?;
    assert_eq!(plane.get(PATH).await?.status, 200, "watches must not starve other requests");
    assert_eq!(backend.connections(), 2);
    watches.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_requests_share_one_dial() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let asks = (0..20).map(|_| plane.get(PATH));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer?.status, 200);
    }
    assert_eq!(backend.connections(), 1);
    Ok(())
}

/// A backend that takes few streams must not refuse a burst of first requests, whose bodies are gone by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_burst_respects_the_backends_stream_limit() -> Result<()> {
    let ca = Authority::new("backends")?;
    let leaf = ca.server(&[NAME], false)?;
    let backend = Backend::start_with(&ca, leaf, &["h2"], 5, echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let mut asks = Vec::new();
    for number in 0..40 {
        asks.push(plane.ask("h2", Request::post(PATH).body(whole(number.to_string()))?));
    }
    for (number, answer) in futures_util::future::join_all(asks).await.into_iter().enumerate() {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.lines().last(), Some(&format!("body: {number}")));
    }
    assert_eq!(backend.requests(), 40, "each exactly once");
    Ok(())
}
