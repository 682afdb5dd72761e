//! Interim responses (1xx) of backends.

use super::frames::{END_HEADERS, END_STREAM, Frame, HEADERS};
use super::pki::Authority;
use super::plane::{LIMIT, Plane, empty};
use super::raw::{RawBackend, begin_http2, field, read_head, read_request};
use anyhow::{Context, Result};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATH: &str = "/apis/g.example/v1/things";
const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n";

fn hint_block() -> Vec<u8> {
    [field(":status", "103"), field("link", "</a>")].concat()
}

/// A backend that sends this many hints before each response.
pub async fn hinting(ca: &Authority, alpn: &'static str, count: usize) -> Result<RawBackend> {
    RawBackend::start(ca, alpn, move |mut stream| {
        Box::pin(async move {
            if alpn == "h2" {
                begin_http2(&mut stream).await?;
            }
            loop {
                if alpn == "h2" {
                    let id = read_request(&mut stream).await?;
                    for _ in 0..count {
                        Frame::new(HEADERS, END_HEADERS, id, &hint_block()).write(&mut stream).await?;
                    }
                    Frame::new(HEADERS, END_HEADERS | END_STREAM, id, &[0x88]).write(&mut stream).await?;
                } else {
                    read_head(&mut stream).await?;
                    for _ in 0..count {
                        stream.write_all(HINT.as_bytes()).await?;
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
                }
                stream.flush().await?;
            }
        })
    })
    .await
}

async fn ask(plane: &Plane, version: &str) -> Result<String> {
    let mut stream = plane.dial(None, "http/1.1").await?;
    let request = format!(
        "GET {PATH} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer admin-token\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.context("no end")??;
    Ok(String::from_utf8(answer)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_are_forwarded() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let backend = hinting(&ca, alpn, 3).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let answer = ask(&plane, "1.1").await?;
        assert!(answer.starts_with(&format!("{hint}{hint}{hint}HTTP/1.1 200 OK\r\n")), "{alpn}: {answer}");
        let answer = ask(&plane, "1.0").await?;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "HTTP/1.0 has none: {answer}");
        for client in ["h2", "http/1.1"] {
            assert_eq!(plane.ask(client, Request::get(PATH).body(empty())?).await?.status, 200);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_interim_responses_are_an_error() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        for (count, status) in [(32, 200), (33, 502), (usize::MAX, 502)] {
            let backend = hinting(&ca, alpn, count).await?;
            let plane = Plane::before(backend.port, &ca)?;
            for client in ["h2", "http/1.1"] {
                let answer = plane.ask(client, Request::get(PATH).body(empty())?).await?;
                assert_eq!(answer.status, status, "{count} by {alpn} to {client}: {}", answer.text());
                if status == 502 {
                    assert!(answer.text().contains("interim responses"), "{}", answer.text());
                }
            }
            assert_eq!(plane.get("/version").await?.status, 200);
        }
    }
    Ok(())
}
