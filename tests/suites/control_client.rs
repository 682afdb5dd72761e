//! How the control plane's own requests share connections.

use crate::control_kit::{ALPN, BOUND, always};
use crate::proxying::backend::Backend as Server;
use crate::proxying::interim::hinting;
use crate::proxying::pki::{Authority, Leaf};
use anyhow::{Context, Result};
use http::{HeaderValue, Method, StatusCode};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use umbel::control::{ControlClient, Question};
use umbel::decision::resolver::Endpoint;
use umbel::route::{Backend, BackendId};
use umbel::upstream::{BackendTls, FrontProxy, TlsSource};

fn backend(ca: &Authority, port: u16) -> Result<Arc<Backend>> {
    let Leaf { chain, key } = ca.client("front-proxy", &[])?;
    let tls = BackendTls::new(FrontProxy { chain, key }, ca.pem.as_bytes())?;
    let (tls, tls_http1) = tls.configs(&TlsSource::CaBundle(ca.pem.as_bytes().to_vec()))?;
    Ok(Arc::new(Backend {
        id: BackendId(1),
        service: format!("default/backend:{port}"),
        endpoints: vec![Endpoint { host: "127.0.0.1".to_owned(), port, weight: 1 }],
        authorities: vec![HeaderValue::try_from(format!("127.0.0.1:{port}"))?],
        server_name: "backend.default.svc".try_into()?,
        tls,
        tls_http1,
    }))
}

#[tokio::test]
async fn nobody_waits_for_another_one_that_is_connecting() -> Result<()> {
    let ca = Authority::new("umbel")?;
    let server = Server::start(&ca, &ALPN, always(StatusCode::OK)).await?;
    // The first connection is accepted and stays silent, every other one leads to the server.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let (came, first) = oneshot::channel();
    let way = tokio::spawn(async move {
        let silent = listener.accept().await?;
        came.send(()).ok();
        let (mut inner, mut outer) =
            (listener.accept().await?.0, TcpStream::connect(("127.0.0.1", server.port)).await?);
        tokio::io::copy_bidirectional(&mut inner, &mut outer).await?;
        drop(silent);
        Ok::<_, anyhow::Error>(())
    });
    let client = Arc::new(ControlClient::new(backend(&ca, port)?));
    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.open(0, BOUND).await }
    });
    first.await?;
    client.open(0, BOUND).await?;
    assert!(!waiting.is_finished(), "the other one still waits for its own connection");
    waiting.abort();
    way.abort();
    Ok(())
}

/// A backend that sends interim responses without an end neither fills the memory nor uses up the time limit.
#[tokio::test]
async fn too_many_interim_responses_are_an_error() -> Result<()> {
    let ca = Authority::new("umbel")?;
    for alpn in ALPN {
        for (count, is_fault) in [(32, false), (33, true), (usize::MAX, true)] {
            let server = hinting(&ca, alpn, count).await?;
            let client = ControlClient::new(backend(&ca, server.port)?);
            let question = Question {
                endpoint: 0,
                method: Method::GET,
                path: "/",
                headers: Vec::new(),
                limit: 10 * BOUND,
                body_max: 1000,
            };
            let answer = tokio::time::timeout(BOUND, client.ask(&question)).await;
            let answer = answer.with_context(|| format!("{count} by {alpn}: no end"))?;
            let told = answer.as_ref().map_or_else(ToString::to_string, |answer| answer.status.to_string());
            assert_eq!(answer.is_err(), is_fault, "{count} by {alpn}: {told}");
            assert!(told == "200" || told.contains("interim responses"), "{count} by {alpn}: {told}");
        }
    }
    Ok(())
}
