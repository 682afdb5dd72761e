//! A backend in the test's own process: real TLS, HTTP/1.1 or HTTP/2, answers from a closure.

use super::authority::{Authority, Leaf};
use super::port::ReservedPort;
use anyhow::Result;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What a handler answers with.
pub type Body = UnsyncBoxBody<Bytes, anyhow::Error>;
/// What answers a request.
pub type Handler = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// The name under which the plane knows the backend.
pub const NAME: &str = "backend.default.svc";

/// Limits of an HTTP/2 connection.
#[derive(Clone, Copy)]
struct Streams {
    max: u32,
    window: Option<u32>,
}

/// A running backend; stops when it is dropped.
pub struct Backend {
    /// On loopback.
    pub port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Backend {
    /// Serves with a good certificate.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(ca: &Authority, alpn: &[&str], handler: Handler) -> Result<Self> {
        Self::start_with(ca, ca.server(&[NAME], false)?, alpn, 200, handler).await
    }

    /// Serves with this certificate and this limit of streams.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start_with(
        ca: &Authority,
        leaf: Leaf,
        alpn: &[&str],
        max_streams: u32,
        handler: Handler,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let streams = Streams { max: max_streams, window: None };
        Self::start_on(listener, TlsAcceptor::from(ca.serve(leaf, alpn)?), streams, handler)
    }

    /// Serves with a good certificate and takes no request body until `handler` reads it: over HTTP/2, the windows of
    /// its streams are closed.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start_closed(ca: &Authority, alpn: &[&str], handler: Handler) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let leaf = ca.server(&[NAME], false)?;
        let streams = Streams { max: 200, window: Some(0) };
        Self::start_on(listener, TlsAcceptor::from(ca.serve(leaf, alpn)?), streams, handler)
    }

    /// Serves with a good certificate at a reserved port, where another backend may have served before.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start_at(
        port: &ReservedPort,
        ca: &Authority,
        alpn: &[&str],
        handler: Handler,
    ) -> Result<Self> {
        let listener = TcpListener::bind(port.address()).await?;
        let leaf = ca.server(&[NAME], false)?;
        Self::start_on(
            listener,
            TlsAcceptor::from(ca.serve(leaf, alpn)?),
            Streams { max: 200, window: None },
            handler,
        )
    }

    fn start_on(
        listener: TcpListener,
        acceptor: TlsAcceptor,
        streams: Streams,
        handler: Handler,
    ) -> Result<Self> {
        let port = listener.local_addr()?.port();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (opened, seen) = (Arc::clone(&connections), Arc::clone(&requests));
        let open = Arc::<AtomicUsize>::default();
        let still_open = Arc::clone(&open);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                let (acceptor, handler, seen) = (acceptor.clone(), Arc::clone(&handler), Arc::clone(&seen));
                let still_open = Arc::clone(&still_open);
                still_open.fetch_add(1, Ordering::SeqCst);
                serving.spawn(async move {
                    // A test that wants a broken connection breaks it; the plane's view of that is what counts.
                    drop(serve(stream, acceptor, handler, seen, streams).await);
                    still_open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self { port, connections, requests, open, task })
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// How many requests were received so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    handler: Handler,
    seen: Arc<AtomicUsize>,
    streams: Streams,
) -> Result<()> {
    let stream = acceptor.accept(stream).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| {
        seen.fetch_add(1, Ordering::SeqCst);
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    if is_http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(streams.max).initial_stream_window_size(streams.window);
        builder.serve_connection(TokioIo::new(stream), service).await?;
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await?;
    }
    Ok(())
}

/// A handler from an async closure.
pub fn handler<F, R>(answer: F) -> Handler
where
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    Arc::new(move |request| Box::pin(answer(request)))
}

/// A body that is known whole.
pub fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Answers with the request as the backend saw it: request line, headers sorted, body.
pub fn echo() -> Handler {
    handler(|request| async move {
        let (head, body) = request.into_parts();
        let mut lines: Vec<String> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        lines.sort();
        lines.insert(0, format!("{} {}", head.method, head.uri.path_and_query().map_or("", |p| p.as_str())));
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        lines.push(format!("body: {}", String::from_utf8_lossy(&body)));
        Response::new(whole(lines.join("\n")))
    })
}
