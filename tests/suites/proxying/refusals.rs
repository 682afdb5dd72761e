//! Answers that come before the body of their request is read.

use super::backend::{Backend, echo};
use super::pki::Authority;
use super::plane::{Answer, LIMIT, Plane, whole};
use anyhow::{Context, Result};
use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATH: &str = "/apis/g.example/v1/things";
/// More than lies in the sockets between a client and the plane.
const LARGE: usize = 50_000_000;

/// A client that reads nothing before it has sent everything, as many libraries do.
#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_of_a_large_upload_arrives() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for (token, path, status) in [
        ("jo-token", PATH, "403"),
        ("nobody", PATH, "401"),
        ("admin-token", "/apis/none.example/v1/things", "404"),
    ] {
        let mut stream = plane.dial(None, "http/1.1").await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {LARGE}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let upload = async {
            for _ in 0..LARGE / 100_000 {
                stream.write_all(&[b'x'; 100_000]).await?;
            }
            stream.flush().await
        };
        tokio::time::timeout(LIMIT, upload).await.context("nobody takes the upload")??;
        let mut answer = Vec::new();
        tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.context("no end")??;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("\"kind\":\"Status\""), "{answer}");
    }
    assert_eq!(backend.requests(), 0);
    Ok(())
}

/// By HTTP/2 the refusal ends the stream, not the connection.
#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_of_a_large_http2_upload_arrives() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for (token, status) in [("jo-token", 403), ("nobody", 401)] {
        let mut client = plane.client("h2").await?;
        let request = Request::post(PATH).header("authorization", format!("Bearer {token}"));
        let body = whole(Bytes::from(vec![b'x'; LARGE]));
        let answer = Answer::read(client.send(request.body(body)?).await?).await?;
        assert_eq!((answer.status, &answer.status_object()?["kind"]), (status, &"Status".into()));
    }
    Ok(())
}
