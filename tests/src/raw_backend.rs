//! A backend that writes its own bytes.

use super::authority::Authority;
use super::tls_backend::NAME;
use anyhow::Result;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, server};

/// The backend's side of a connection.
pub type Far = server::TlsStream<TcpStream>;

/// A backend that serves each connection by a closure; stops when it is dropped.
pub struct RawBackend {
    /// On loopback.
    pub port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl RawBackend {
    /// Serves each connection by `serve`, with a good certificate and one protocol.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start<F>(ca: &Authority, alpn: &str, serve: F) -> Result<Self>
    where
        F: Fn(Far) -> BoxFuture<'static, Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(ca.serve(ca.server(&[NAME], false)?, &[alpn])?);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    // The tests check how the gateway handles a broken connection, so errors here do not matter.
                    let served = serve(stream);
                    serving.spawn(async move { drop(served.await) });
                }
            }
        });
        Ok(Self { port, task })
    }

    /// A backend that answers each HTTP/1.1 request without a body with these bytes, and then closes if `closes` is
    /// true.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn respond(ca: &Authority, response: &str, closes: bool) -> Result<Self> {
        let response = response.to_owned();
        Self::start(ca, "http/1.1", move |mut stream| {
            let response = response.clone();
            Box::pin(async move {
                loop {
                    read_head(&mut stream).await?;
                    stream.write_all(response.as_bytes()).await?;
                    stream.flush().await?;
                    if closes {
                        return Ok(stream.shutdown().await?);
                    }
                }
            })
        })
        .await
    }
}

impl Drop for RawBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads to the end of an HTTP/1.1 head.
///
/// # Errors
/// When the connection ends before.
pub async fn read_head(stream: &mut Far) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}
