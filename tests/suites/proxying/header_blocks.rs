//! HTTP/2 header blocks that are unreasonably large, from clients and from backends.

use super::backend::{Backend, echo};
use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS};
use super::pki::Authority;
use super::plane::{Plane, empty};
use super::raw::{RawBackend, RawClient, begin_http2, distinct_fields, field, read_request, request_block};
use anyhow::Result;
use http::Request;

const PATH: &str = "/apis/g.example/v1/things";

/// One field that is added to the table, and `count` references to it.
fn bomb(value: usize, count: usize) -> Vec<u8> {
    let mut literal = field("bomb", &"x".repeat(value));
    literal[0] = 0x40;
    [literal, vec![0xbe; count]].concat()
}

fn oversized() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("257 names", distinct_fields(257)),
        // `HeaderMap` holds 24,576 names and panics at the next one.
        ("24,575 names", distinct_fields(24_575)),
        ("24,576 names", distinct_fields(24_576)),
        ("30,000 names", distinct_fields(30_000)),
        ("24,600 times the same name", field("a", "").repeat(24_600)),
        ("100,000 times the same name", field("a", "").repeat(100_000)),
        ("a header bomb of short values", bomb(1, 60_000)),
        ("a header bomb of long values", bomb(4000, 10_000)),
        ("one megabyte in one field", field("a", &"x".repeat(1 << 20))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_too_many_header_fields_is_refused() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for (what, fields) in oversized() {
        for start in [request_block("GET", PATH), request_block("GET", "/version")] {
            let mut client = RawClient::connect(&plane).await?;
            client.send_block(1, &[start, fields.clone()].concat(), true).await?;
            assert_eq!(client.read(1).await?.status()?, 431, "{what}");
        }
    }
    assert_eq!(backend.requests(), 0);
    assert_eq!(plane.get(PATH).await?.status, 200, "the worker is gone");
    let mut client = RawClient::connect(&plane).await?;
    let most = [request_block("GET", PATH), distinct_fields(240)].concat();
    client.send_block(1, &most, true).await?;
    assert!(String::from_utf8(client.read(1).await?.body)?.starts_with("GET "));
    Ok(())
}

/// A request in progress on the same connection is not affected.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_the_connection_after_what_it_carries() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let mut client = RawClient::connect(&plane).await?;
    client.send_block(1, &request_block("POST", PATH), false).await?;
    client.send_block(3, &[request_block("GET", PATH), distinct_fields(30_000)].concat(), true).await?;
    assert_eq!(client.read(3).await?.status()?, 431);
    client.send(Frame::new(DATA, END_STREAM, 1, b"hello")).await?;
    assert!(String::from_utf8(client.read(1).await?.body)?.ends_with("body: hello"));
    assert!(client.read(5).await.is_err(), "the connection stays open");
    Ok(())
}

/// Nor by requests behind the refused one, which cannot be decoded any more, and it may end with trailers.
#[tokio::test(flavor = "multi_thread")]
async fn requests_after_a_refusal_do_not_break_those_before_it() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for has_trailers in [false, true] {
        let mut client = RawClient::connect(&plane).await?;
        client.send_block(1, &request_block("POST", PATH), false).await?;
        client.send_block(3, &[request_block("POST", PATH), distinct_fields(300)].concat(), false).await?;
        client.send(Frame::new(DATA, 0, 3, b"of the refused one")).await?;
        client.send_block(5, &request_block("POST", PATH), false).await?;
        client.send(Frame::new(DATA, END_STREAM, 5, b"of a later one")).await?;
        client.send(Frame::new(DATA, if has_trailers { 0 } else { END_STREAM }, 1, b"hello")).await?;
        if has_trailers {
            client.send_block(1, &field("x-sum", "42"), true).await?;
        }
        let answer = String::from_utf8(client.read(1).await?.body)?;
        assert!(answer.ends_with("body: hello"), "{has_trailers}: {answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_trailers_of_a_request_are_refused() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], echo()).await?;
        let mut plane = Plane::before(backend.port, &ca)?;
        for count in [300, 24_576, 30_000] {
            let mut client = RawClient::connect(&plane).await?;
            client.send_block(1, &request_block("POST", PATH), false).await?;
            client.send(Frame::new(DATA, 0, 1, b"hello")).await?;
            client.send_block(1, &distinct_fields(count), true).await?;
            assert_eq!(client.read(1).await?.status()?, 431, "{count} to {alpn}");
        }
        assert!(plane.signals.try_recv().is_err(), "the backend is blamed");
        assert_eq!(plane.get(PATH).await?.status, 200);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_beyond_the_limit_is_refused() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["http/1.1"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let path = |len: usize| format!("{PATH}?a={}", "x".repeat(len - PATH.len() - 3));
    for len in [64_001, 65_534, 65_535, 70_000, 300_000] {
        let mut client = RawClient::connect(&plane).await?;
        client.send_block(1, &request_block("GET", &path(len)), true).await?;
        assert_eq!(client.read(1).await?.status()?, 414, "{len} by HTTP/2");
        let lines =
            [format!("GET {} HTTP/1.1", path(len)), "Host: x".to_owned(), "Connection: close".to_owned()];
        let answer = super::heads::ask_raw(&plane, &lines).await?;
        assert!(
            answer.starts_with("HTTP/1.1 414") && answer.contains("\"kind\":\"Status\""),
            "{len}: {answer}"
        );
    }
    assert_eq!(backend.requests(), 0);
    for alpn in ["h2", "http/1.1"] {
        let answer = plane.ask(alpn, Request::get(path(64_000)).body(empty())?).await?;
        assert_eq!(answer.lines()[0], format!("GET {}", path(64_000)), "{alpn}");
    }
    Ok(())
}

/// A backend that answers each request with this header block.
async fn backend_with(ca: &Authority, block: Vec<u8>) -> Result<RawBackend> {
    RawBackend::start(ca, "h2", move |mut stream| {
        let block = block.clone();
        Box::pin(async move {
            begin_http2(&mut stream).await?;
            loop {
                let id = read_request(&mut stream).await?;
                let count = block.chunks(16_384).count();
                for (number, fragment) in block.chunks(16_384).enumerate() {
                    let kind = if number == 0 { HEADERS } else { CONTINUATION };
                    let end = if number == 0 { END_STREAM } else { 0 };
                    let flags = end | if number + 1 == count { END_HEADERS } else { 0 };
                    Frame::new(kind, flags, id, fragment).write(&mut stream).await?;
                }
            }
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_with_too_many_header_fields_is_refused() -> Result<()> {
    let ca = Authority::new("backends")?;
    for (what, fields) in oversized() {
        let backend = backend_with(&ca, [vec![0x88], fields].concat()).await?;
        let plane = Plane::before(backend.port, &ca)?;
        for alpn in ["h2", "http/1.1"] {
            let answer = plane.ask(alpn, Request::get(PATH).body(empty())?).await?;
            assert_eq!((answer.status, &answer.status_object()?["code"]), (502, &502.into()), "{what}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_is_refused_and_not_forwarded() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let token = field("authorization", "Bearer admin-token");
    let connect = [field(":method", "CONNECT"), field(":authority", "a.example:443"), token.clone()].concat();
    let mut client = RawClient::connect(&plane).await?;
    client.send_block(1, &connect, false).await?;
    assert_eq!(client.read(1).await?.status()?, 405);
    // The gateway does not offer the extension, so the codec rejects it.
    let start =
        [field(":method", "CONNECT"), field(":protocol", "websocket"), field(":scheme", "https")].concat();
    let rest = [field(":path", PATH), field(":authority", "a.example"), token].concat();
    client.send_block(3, &[start, rest].concat(), false).await?;
    assert_eq!(client.read(3).await?.reset, Some(1));
    for target in [PATH, "a.example:443", "/version"] {
        let lines = [format!("CONNECT {target} HTTP/1.1"), "Host: a.example:443".to_owned()];
        let answer = super::heads::ask_raw(&plane, &lines).await?;
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("\"kind\":\"Status\""), "{answer}");
    }
    client.send_block(5, &request_block("GET", PATH), true).await?;
    assert!(String::from_utf8(client.read(5).await?.body)?.starts_with("GET "));
    assert_eq!(backend.requests(), 1);
    Ok(())
}
