//! SPDY and WebSocket upgrades.

use super::backend::{Backend, handler, whole as whole_answer};
use super::pki::Authority;
use super::plane::{Answer, LIMIT, Plane, authorised, empty};
use anyhow::{Context, Result};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATH: &str = "/apis/g.example/v1/namespaces/n/things/x/exec?command=ls";

async fn switch(mut request: Request<Incoming>) -> Response<super::backend::Body> {
    let wanted = request.uri().query().unwrap_or_default().to_owned();
    if wanted != "command=ls" {
        let status: u16 = wanted.parse().unwrap_or(500);
        return Response::builder().status(status).body(whole_answer("no")).expect("a response");
    }
    let protocol = request.headers()["upgrade"].clone();
    let user = request.headers()["x-remote-user"].clone();
    let offered = request.headers().get_all("sec-websocket-protocol").iter();
    let offered: Vec<String> =
        offered.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect();
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(&mut request).await.expect("an upgrade");
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        drop(tokio::io::copy(&mut read, &mut write).await);
    });
    Response::builder()
        .status(101)
        .header("connection", "Upgrade")
        .header("upgrade", protocol)
        .header("x-user", user)
        .header("x-offered", offered.join("; "))
        .body(whole_answer(""))
        .expect("a response")
}

fn upgrade(path: &str) -> Result<Request<super::plane::Body>> {
    authorised(
        Request::get(path).header("connection", "Upgrade").header("upgrade", "SPDY/3.1").body(empty())?,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_echo() -> Result<()> {
    let ca = Authority::new("backends")?;
    // The backend prefers HTTP/2; the upgrade has to ask for HTTP/1.1 by itself.
    let backend = Backend::start(&ca, &["h2", "http/1.1"], handler(switch)).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let mut client = plane.client("http/1.1").await?;
    let mut answer = client.send(upgrade(PATH)?).await?;
    assert_eq!(answer.status(), 101);
    assert_eq!(
        (&answer.headers()["upgrade"], &answer.headers()["x-user"]),
        (&"SPDY/3.1".parse()?, &"ann".parse()?)
    );
    let upgraded = tokio::time::timeout(LIMIT, hyper::upgrade::on(&mut answer)).await??;
    let mut stream = TokioIo::new(upgraded);
    for text in ["hello", "world"] {
        stream.write_all(text.as_bytes()).await?;
        let mut echoed = [0; 5];
        tokio::time::timeout(LIMIT, stream.read_exact(&mut echoed)).await.context("no echo")??;
        assert_eq!(echoed, text.as_bytes());
    }
    stream.shutdown().await?;
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.context("no end")??;
    assert!(rest.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_upgrades_are_answers() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["http/1.1"], handler(switch)).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for (status, seen) in [(200, 503), (400, 400), (500, 500)] {
        let mut client = plane.client("http/1.1").await?;
        let path = format!("/apis/g.example/v1/things/x/exec?{status}");
        let answer = Answer::read(client.send(upgrade(&path)?).await?).await?;
        assert_eq!(answer.status, seen);
        if seen == 503 {
            assert_eq!(answer.status_object()?["message"], "invalid upgrade response: status code 200");
        } else {
            assert_eq!(answer.text(), "no");
        }
    }
    drop(backend);
    let mut client = plane.client("http/1.1").await?;
    let answer = Answer::read(client.send(upgrade(PATH)?).await?).await?;
    assert_eq!(
        answer.status_object()?["message"],
        "error trying to reach service: the backend refused the connection"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_clients_are_told_to_use_http1() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2", "http/1.1"], handler(switch)).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let request = Request::get(PATH).header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").body(empty())?;
    let answer = plane.ask("h2", request).await?;
    let message = answer.status_object()?["message"].to_string();
    assert!(answer.status == 400 && message.contains("HTTP/1.1"), "{message}");
    assert_eq!(backend.requests(), 0);
    Ok(())
}

/// Browsers cannot set `Authorization` on a WebSocket, so the token comes as one of the protocols.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_among_websocket_protocols_authenticates() -> Result<()> {
    const ADMIN: &str = "base64url.bearer.authorization.k8s.io.YWRtaW4tdG9rZW4";
    const JO: &str = "base64url.bearer.authorization.k8s.io.am8tdG9rZW4";
    const WRONG: &str = "base64url.bearer.authorization.k8s.io.d3Jvbmc";
    const PADDED: &str = "base64url.bearer.authorization.k8s.io.YWRtaW4tdG9rZW4=";
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2", "http/1.1"], handler(switch)).await?;
    let plane = Plane::before(backend.port, &ca)?;
    let ask = async |protocol: &str, lines: &[&str], bearer: Option<&str>| -> Result<(u16, String)> {
        let mut request =
            Request::get(PATH).header("connection", "keep-alive, Upgrade").header("upgrade", protocol);
        for line in lines {
            request = request.header("sec-websocket-protocol", *line);
        }
        if let Some(token) = bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut client = plane.client("http/1.1").await?;
        let answer = client.send(request.body(empty())?).await?;
        if answer.status() == 101 {
            assert_eq!(answer.headers()["x-user"], "ann");
            return Ok((101, answer.headers()["x-offered"].to_str()?.to_owned()));
        }
        let answer = Answer::read(answer).await?;
        answer.status_object()?;
        Ok((answer.status, String::new()))
    };
    let both = format!("v5.channel.k8s.io, {ADMIN},v4.channel.k8s.io");
    let kept = "v5.channel.k8s.io, v4.channel.k8s.io".to_owned();
    assert_eq!(ask("websocket", &[&both], None).await?, (101, kept.clone()));
    assert_eq!(
        ask("WebSocket", &[ADMIN, "v4.channel.k8s.io"], None).await?,
        (101, "v4.channel.k8s.io".into())
    );
    assert_eq!(
        ask("websocket", &[&both], Some("wrong")).await?,
        (101, kept),
        "one credential that holds is enough"
    );
    for (lines, status) in [
        (&[ADMIN][..], 401),
        (&["v4.channel.k8s.io"], 401),
        (&[ADMIN, ADMIN, "v4.channel.k8s.io"], 401),
        (&[WRONG, "v4.channel.k8s.io"], 401),
        (&[PADDED, "v4.channel.k8s.io"], 401),
        (&[JO, "v4.channel.k8s.io"], 403),
    ] {
        assert_eq!(ask("websocket", lines, None).await?.0, status, "{lines:?}");
    }
    assert_eq!(ask("SPDY/3.1", &[&both], None).await?.0, 401, "only a WebSocket brings its token so");
    Ok(())
}
