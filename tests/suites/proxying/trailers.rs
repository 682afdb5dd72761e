//! Trailers of requests: a backend may treat them as headers.

use super::backend::{Backend, Handler, handler, whole};
use super::frames::{DATA, Frame};
use super::pki::Authority;
use super::plane::{LIMIT, Plane};
use super::raw::{RawClient, field, request_block};
use anyhow::{Context, Result};
use http::Response;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATH: &str = "/apis/g.example/v1/things";
const FORGED: [&str; 10] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "impersonate-user",
    "impersonate-group",
    "impersonate-extra-scopes",
    "x-remote-user",
    "x-remote-group",
    "x-remote-extra-scopes",
    "x_remote_user",
];

/// Answers with the names of the trailers that came.
fn trailer_names() -> Handler {
    handler(|request| async move {
        let body = request.into_body().collect().await.ok();
        let trailers = body.as_ref().and_then(|body| body.trailers());
        let names = trailers.into_iter().flat_map(|trailers| trailers.keys()).map(|name| name.as_str());
        Response::new(whole(format!("trailers: {}", names.collect::<Vec<_>>().join(" "))))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_about_identity_passes_as_a_trailer() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], trailer_names()).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let lines: String = FORGED.iter().map(|name| format!("{name}: root\r\n")).collect();
        let request = format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\nConnection: close\r\n\
             Trailer: x-sum, {}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n{lines}\r\n",
            FORGED.join(", ")
        );
        let mut stream = plane.dial(None, "http/1.1").await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer)).await.context("no end")??;
        assert!(answer.ends_with("trailers: x-sum"), "HTTP/1.1 to {alpn}: {answer}");

        let mut client = RawClient::connect(&plane).await?;
        let start = [request_block("POST", PATH), field("trailer", &format!("x-sum, {}", FORGED.join(", ")))];
        client.send_block(1, &start.concat(), false).await?;
        client.send(Frame::new(DATA, 0, 1, b"hello")).await?;
        let forged: Vec<u8> = FORGED.iter().flat_map(|name| field(name, "root")).collect();
        client.send_block(1, &[field("x-sum", "1"), forged].concat(), true).await?;
        let answer = String::from_utf8(client.read(1).await?.body)?;
        assert_eq!(answer, "trailers: x-sum", "HTTP/2 to {alpn}");
    }
    Ok(())
}
