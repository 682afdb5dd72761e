//! A client's connection that carries many requests.

use super::tls_backend::Body;
use anyhow::{Context, Result};
use futures_util::future::Either;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

/// No answer of a test may take longer to begin.
const LIMIT: Duration = Duration::from_secs(20);

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A request that waits for its answer.
pub type Asking = JoinHandle<hyper::Result<Response<Incoming>>>;

/// One connection; dropping it closes the connection.
pub struct Connection {
    sender: Sender,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Begins HTTP on a TLS connection.
    ///
    /// # Errors
    /// When the peer does not speak the protocol.
    pub async fn new(stream: TlsStream<TcpStream>, alpn: &str) -> Result<Self> {
        if alpn == "h2" {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            let driver = tokio::spawn(async move { drop(driver.await) });
            return Ok(Self { sender: Sender::Http2(sender), driver });
        }
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move { drop(driver.with_upgrades().await) });
        Ok(Self { sender: Sender::Http1(sender), driver })
    }

    /// Sends a request; the answer's head is awaited, its body is not.
    ///
    /// # Errors
    /// When no answer begins in time.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>> {
        if let Sender::Http1(sender) = &mut self.sender {
            // A connection that was just used takes a moment.
            sender.ready().await?;
        }
        let answer = tokio::time::timeout(LIMIT, self.ask(request)?).await;
        Ok(answer.context("no answer in time")??)
    }

    /// Sends a request and waits for nothing. HTTP/1.1 takes one at a time.
    ///
    /// # Errors
    /// When the request has no path.
    pub fn begin(&mut self, request: Request<Body>) -> Result<Asking> {
        Ok(tokio::spawn(self.ask(request)?))
    }

    fn ask(
        &mut self,
        mut request: Request<Body>,
    ) -> Result<impl Future<Output = hyper::Result<Response<Incoming>>> + use<>> {
        Ok(match &mut self.sender {
            Sender::Http1(sender) => {
                let host = HeaderValue::from_static("umbel.example");
                request.headers_mut().entry("host").or_insert(host);
                Either::Left(sender.send_request(request))
            }
            Sender::Http2(sender) => {
                let target = request.uri().path_and_query().context("a path")?;
                *request.uri_mut() = format!("https://umbel.example{target}").parse()?;
                Either::Right(sender.send_request(request))
            }
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
