//! Heads of HTTP/1.1 messages: how many headers they may have, and whom they are for.

use super::backend::{Backend, echo, handler, whole as whole_answer};
use super::pki::Authority;
use super::plane::{LIMIT, Plane, empty};
use anyhow::{Context, Result};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATH: &str = "/apis/g.example/v1/things";

/// Sends these lines as the administrator and reads until the connection ends.
pub async fn ask_raw(plane: &Plane, lines: &[String]) -> Result<String> {
    let mut stream = plane.dial(None, "http/1.1").await?;
    let head = format!("{}\r\nAuthorization: Bearer admin-token\r\n\r\n", lines.join("\r\n"));
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.context("no end")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn with_headers(count: usize) -> Vec<String> {
    let start = [format!("GET {PATH} HTTP/1.1"), "Host: x".to_owned(), "Connection: close".to_owned()];
    start.into_iter().chain((0..count).map(|number| format!("X-H{number}: {number}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_have_many_headers() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let answer = ask_raw(&plane, &with_headers(200)).await?;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-h199: 199"), "{answer}");
    let answer = ask_raw(&plane, &with_headers(300)).await?;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("\"kind\":\"Status\""), "{answer}");
    assert_eq!(backend.requests(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_have_many_headers() -> Result<()> {
    let ca = Authority::new("backends")?;
    let many = handler(|request| async move {
        let mut answer = Response::new(whole_answer("all of them"));
        let count = if request.uri().path() == PATH { 150 } else { 300 };
        for number in 0..count {
            let name = http::HeaderName::try_from(format!("x-h{number}")).expect("a name");
            answer.headers_mut().insert(name, number.into());
        }
        answer
    });
    let backend = Backend::start(&ca, &["http/1.1"], many).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let answer = plane.ask("h2", Request::get(PATH).body(empty())?).await?;
    assert_eq!((answer.status, answer.text()), (200, "all of them".to_owned()));
    assert_eq!(answer.headers.get("x-h149").context("the last header")?, "149");
    let answer = plane.ask("h2", Request::get(format!("{PATH}/more")).body(empty())?).await?;
    let message = &answer.status_object()?["message"];
    assert_eq!(
        (answer.status, message.as_str().unwrap_or_default().contains("too many header fields")),
        (502, true),
        "{message}"
    );
    Ok(())
}

/// RFC 9112 §3.2.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let start = |version: &str| format!("GET {PATH} HTTP/{version}");
    for (lines, told) in [
        (vec![start("1.1")], "missing required Host header"),
        (vec![start("1.1"), "Host: a".into(), "Host: a".into()], "too many Host headers"),
        (vec![start("1.0"), "Host: a".into(), "Host: b".into()], "too many Host headers"),
        (vec![start("1.1"), "Host: a/b".into()], "malformed Host header"),
    ] {
        let answer = ask_raw(&plane, &lines).await?;
        assert!(
            answer.starts_with(&format!("{} 400", &lines[0][lines[0].len() - 8..])),
            "{lines:?}: {answer}"
        );
        assert!(answer.contains("\"kind\":\"Status\"") && answer.contains(told), "{lines:?}: {answer}");
    }
    assert_eq!(backend.requests(), 0);
    for lines in
        [vec![start("1.0")], vec![start("1.1"), "Host: [::1]:6443".into(), "Connection: close".into()]]
    {
        let answer = ask_raw(&plane, &lines).await?;
        assert!(answer.contains(" 200 OK\r\n"), "{lines:?}: {answer}");
    }
    Ok(())
}
