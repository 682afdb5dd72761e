//! HTTP/1.1 responses that come before the body of their request is read: the connection carries the next request,
//! or the response says that it does not.

use super::backend::{Backend, echo};
use super::pki::Authority;
use super::plane::{LIMIT, Plane};
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const PATH: &str = "/apis/g.example/v1/things";

async fn read_response(stream: &mut TlsStream<TcpStream>) -> Result<String> {
    let read = async {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(text)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse()?];
        stream.read_exact(&mut body).await?;
        anyhow::Ok(head + &String::from_utf8(body)?)
    };
    tokio::time::timeout(LIMIT, read).await.context("no response")?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_survives_a_small_unread_body_or_says_so() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let length = |size: usize| format!("Content-Length: {size}\r\n");
    let chunks = |size: usize| format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
    let chunked = || "Transfer-Encoding: chunked\r\n".to_owned();
    for (token, path, code) in [
        ("wrong", PATH, 401),
        ("jo-token", PATH, 403),
        ("admin-token", "/apis/none.example/v1/things", 404),
        ("admin-token", "/apis/g.example/v1/things?timeout=soon", 400),
        ("admin-token", "/version", 200),
    ] {
        for (lines, body, stays) in [
            (length(5), "hello".to_owned(), true),
            (length(200_000), "x".repeat(200_000), true),
            (length(300_000), "x".repeat(300_000), false),
            (chunked(), chunks(5), true),
            (chunked(), chunks(200_000), true),
            (chunked(), chunks(300_000), false),
            (chunked(), "zz\r\n".to_owned(), false),
            (length(5) + "Expect: 100-continue\r\n", String::new(), false),
            // Announced and never sent.
            (length(5), "he".to_owned(), false),
        ] {
            let mut stream = plane.dial(None, "http/1.1").await?;
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{lines}\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.flush().await?;
            // So that the head is read separately.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(body.as_bytes()).await?;
            stream.flush().await?;
            let what = format!("{code} with {lines:?} and {} bytes", body.len());
            let answer = read_response(&mut stream).await.context(what.clone())?;
            assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{what}: {answer}");
            assert_eq!(answer.contains("connection: close"), !stays, "{what}: {answer}");
            if stays {
                stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await?;
                let answer = read_response(&mut stream).await.context(what.clone())?;
                assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
            }
        }
    }
    assert_eq!(backend.requests(), 0);
    Ok(())
}

/// A body that the backend has read is complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_survives_a_forwarded_body() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], echo()).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let mut stream = plane.dial(None, "http/1.1").await?;
        for (lines, body) in [
            ("Content-Length: 5\r\n", "hello"),
            ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            ("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"),
        ] {
            let head = format!(
                "POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\n{lines}\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            if lines.contains("Expect") {
                assert!(read_response(&mut stream).await?.starts_with("HTTP/1.1 100"));
            }
            stream.write_all(body.as_bytes()).await?;
            let answer = read_response(&mut stream).await?;
            assert!(
                answer.ends_with("body: hello") && !answer.contains("connection: close"),
                "{alpn}: {answer}"
            );
        }
    }
    Ok(())
}
