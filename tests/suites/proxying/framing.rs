//! The end of a message body, in requests and responses that indicate it in unusual ways.

use super::backend::{Backend, echo};
use super::frames::{DATA, END_STREAM, Frame};
use super::heads::ask_raw;
use super::pki::Authority;
use super::plane::{LIMIT, Plane, empty};
use super::raw::{RawBackend, RawClient, read_head, request_block};
use anyhow::{Context, Result};
use http::{Request, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATH: &str = "/apis/g.example/v1/things";

/// Sends these bytes and reads until the connection ends.
async fn exchange(plane: &Plane, request: &str) -> Result<String> {
    let mut stream = plane.dial(None, "http/1.1").await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.context("no end")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn post(lines: &str, body: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\n{lines}\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_by_http_1_0_is_forwarded_in_the_clients_version() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (response, closes) in [
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", true),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", false),
        ("HTTP/1.0 200 OK\r\n\r\nhello", true),
        ("HTTP/1.1 200 OK\r\n\r\nhello", true),
    ] {
        let backend = RawBackend::respond(&ca, response, closes).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut client = plane.client("http/1.1").await?;
        for _ in 0..3 {
            let request = super::plane::authorised(Request::get(PATH).body(empty())?)?;
            let answer = client.send(request).await?;
            assert_eq!(answer.version(), Version::HTTP_11, "{response}");
            assert_eq!(super::plane::Answer::read(answer).await?.text(), "hello", "{response}");
        }
        assert_eq!(plane.ask("h2", Request::get(PATH).body(empty())?).await?.text(), "hello");
        let old = format!("GET {PATH} HTTP/1.0\r\nAuthorization: Bearer admin-token\r\n\r\n");
        let old = exchange(&plane, &old).await?;
        assert!(old.starts_with("HTTP/1.0 200") && old.ends_with("\r\n\r\nhello"), "{old}");
    }
    Ok(())
}

/// Answers in HTTP/1.0, keeps the connection, and returns the body of each request in chunks.
async fn echo_by_http_1_0(ca: &Authority) -> Result<RawBackend> {
    RawBackend::start(ca, "http/1.1", |mut stream| {
        Box::pin(async move {
            loop {
                let head = read_head(&mut stream).await?.to_lowercase();
                let mut body = Vec::new();
                while head.contains("transfer-encoding: chunked") && !body.ends_with(b"0\r\n\r\n") {
                    body.push(stream.read_u8().await?);
                }
                let length = body.len();
                let answer =
                    format!("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(answer.as_bytes()).await?;
                stream.write_all(&body).await?;
                stream.flush().await?;
            }
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_reaches_a_backend_that_answered_in_http_1_0_before() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = echo_by_http_1_0(&ca).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let mut stream = plane.dial(None, "http/1.1").await?;
    for _ in 0..2 {
        let get = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\n\r\n");
        stream.write_all(get.as_bytes()).await?;
        assert!(read_answer(&mut stream).await?.starts_with("HTTP/1.1 200"));
        let chunks = "5\r\nhello\r\n0\r\n\r\n";
        stream.write_all(post("Transfer-Encoding: chunked\r\n", chunks).as_bytes()).await?;
        let answer = read_answer(&mut stream).await?;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(chunks), "{answer}");
    }
    Ok(())
}

/// Reads one answer with a length.
async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<String> {
    let read = async {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(answer)?;
        let length = head.to_lowercase().split_once("content-length: ").context("a length")?.1.to_owned();
        let mut body = vec![0; length.lines().next().unwrap_or_default().parse()?];
        stream.read_exact(&mut body).await?;
        Ok(head + &String::from_utf8(body)?)
    };
    tokio::time::timeout(LIMIT, read).await.context("no answer")?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_encoding_in_http_1_0_is_refused() -> Result<()> {
    let ca = Authority::new("backends")?;
    let response = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let backend = RawBackend::respond(&ca, response, true).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for alpn in ["h2", "http/1.1"] {
        let answer = plane.ask(alpn, Request::get(PATH).body(empty())?).await?;
        assert_eq!((answer.status, &answer.status_object()?["code"]), (503, &503.into()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_by_http_1_0_that_is_cut_does_not_look_complete() -> Result<()> {
    let ca = Authority::new("backends")?;
    for version in ["1.0", "1.1"] {
        let response = format!("HTTP/{version} 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        let backend = RawBackend::respond(&ca, &response, true).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for alpn in ["h2", "http/1.1"] {
            let answer = plane.ask(alpn, Request::get(PATH).body(empty())?).await;
            assert!(answer.is_err(), "HTTP/{version} to {alpn}: {answer:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_win_over_a_length_in_a_response() -> Result<()> {
    let ca = Authority::new("backends")?;
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    for lines in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n",
        "Transfer-Encoding: Chunked\r\nContent-Length: x\r\n",
    ] {
        let backend =
            RawBackend::respond(&ca, &format!("HTTP/1.1 200 OK\r\n{lines}\r\n{chunks}"), false).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for alpn in ["h2", "http/1.1"] {
            let answer = plane.ask(alpn, Request::get(PATH).body(empty())?).await?;
            assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()), "{lines}");
            assert!(!answer.headers.contains_key("content-length"));
        }
    }
    for lines in ["Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5, 5\r\n"] {
        let backend =
            RawBackend::respond(&ca, &format!("HTTP/1.1 200 OK\r\n{lines}\r\nhello"), false).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for alpn in ["h2", "http/1.1"] {
            let answer = plane.ask(alpn, Request::get(PATH).body(empty())?).await?;
            assert_eq!(
                (answer.text(), answer.headers["content-length"].to_str()?),
                ("hello".to_owned(), "5")
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_transfer_encodings_are_refused() -> Result<()> {
    let ca = Authority::new("backends")?;
    for coding in
        ["gzip, chunked", "chunked, chunked", "gzip", "identity", "gzip\r\nTransfer-Encoding: chunked"]
    {
        let response =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let backend = RawBackend::respond(&ca, &response, true).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for alpn in ["h2", "http/1.1"] {
            let answer = plane.ask(alpn, Request::get(PATH).body(empty())?).await?;
            assert_eq!((answer.status, &answer.status_object()?["code"]), (502, &502.into()), "{coding}");
        }
    }
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for (coding, code) in [
        ("gzip, chunked", 501),
        ("chunked, chunked", 501),
        ("gzip\r\nTransfer-Encoding: chunked", 501),
        ("chunked\r\nTransfer-Encoding: chunked", 501),
        ("identity", 400),
        ("gzip", 400),
        ("chunked, gzip", 400),
    ] {
        let lines = format!("Transfer-Encoding: {coding}\r\n");
        let answer = exchange(&plane, &post(&lines, "5\r\nhello\r\n0\r\n\r\n")).await?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{coding}: {answer}");
        assert!(answer.contains("\"kind\":\"Status\"") && answer.contains("connection: close"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    assert_eq!(backend.requests(), 0);
    Ok(())
}

/// hyper answers these itself, without a body.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_head_is_refused_with_a_status() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let large = format!("X-Large: {}\r\n", "x".repeat(500_000));
    let many = "A: b\r\n".repeat(300);
    for (request, code) in [
        (post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), 400),
        (post("Content-Length: -5\r\n", "hello"), 400),
        (post("Content-Length: +5\r\n", "hello"), 400),
        (post("Content-Length: 5, 5\r\n", "hello"), 400),
        (post("X-Folded: a\r\n b\r\n", ""), 400),
        (post("X-Space : a\r\n", ""), 400),
        (post("X-Control: a\u{1}\r\n", ""), 400),
        (post("No colon\r\n", ""), 400),
        (post("Transfer-Encoding: chunked\r\n", "").replace("HTTP/1.1", "HTTP/1.0"), 400),
        (post("", "").replace("HTTP/1.1", "HTTP/3.0"), 400),
        (post("", "").replace("POST ", "P@ST "), 400),
        (post("", "").replace(PATH, "/a b"), 400),
        (post(&large, ""), 431),
        (post(&many, ""), 431),
    ] {
        let answer = exchange(&plane, &request).await?;
        let start: String = request.chars().take(120).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{start}: {answer}");
        assert!(
            answer.contains("\"kind\":\"Status\"") && answer.contains("connection: close"),
            "{start}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    assert_eq!(backend.requests(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_read_arrives() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], echo()).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for method in ["GET", "DELETE", "POST"] {
            for (lines, body) in [
                ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
                ("Transfer-Encoding: CHUNKED\r\n", "2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
                ("Content-Length: 5\r\n", "hello"),
            ] {
                let request =
                    post(&format!("{lines}Connection: close\r\n"), body).replacen("POST", method, 1);
                let answer = exchange(&plane, &request).await?;
                assert!(answer.ends_with("body: hello"), "{method} {lines} to {alpn}: {answer}");
            }
            let mut client = RawClient::connect(&plane).await?;
            client.send_block(1, &request_block(method, PATH), false).await?;
            client.send(Frame::new(DATA, END_STREAM, 1, b"hello")).await?;
            let answer = String::from_utf8(client.read(1).await?.body)?;
            assert!(answer.ends_with("body: hello"), "{method} by HTTP/2 to {alpn}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_is_the_clients_fault() -> Result<()> {
    let ca = Authority::new("backends")?;
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000));
    let trailers = format!("5\r\nhello\r\n0\r\n{}\r\n", "A: b\r\n".repeat(300));
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], echo()).await?;
        let mut plane = Plane::before(backend.port, &ca)?;
        for body in [
            "zz\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello!!\r\n0\r\n\r\n",
            "fffffffffffffffff\r\n",
            "5\nhello\n0\n\n",
            "-5\r\nhello\r\n",
            "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
            &extension,
            &trailers,
        ] {
            let answer = exchange(&plane, &post("Transfer-Encoding: chunked\r\n", body)).await?;
            let start: String = body.chars().take(40).collect();
            assert!(answer.starts_with("HTTP/1.1 400"), "{start:?} to {alpn}: {answer}");
            assert!(answer.contains("\"kind\":\"Status\"") && !answer.contains("retry-after"), "{answer}");
        }
        assert!(plane.signals.try_recv().is_err(), "the backend is blamed");
        let lines = [format!("GET {PATH} HTTP/1.1"), "Host: x".to_owned(), "Connection: close".to_owned()];
        assert!(ask_raw(&plane, &lines).await?.contains(" 200 OK"));
    }
    Ok(())
}
