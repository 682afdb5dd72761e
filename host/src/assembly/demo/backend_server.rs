//! `umbel demo-backend`: a small aggregated API server with objects in memory.
//!
//! It is what a backend of one's own is: TLS with a certificate from Umbel's CA, callers told by the front proxy's
//! certificate and headers, one kind with every verb, discovery and OpenAPI.

use super::documents::Documents;
use super::front_proxy;
use super::kinds::Sample;
use crate::api::{Api, ApiConfig, Readiness};
use crate::assembly::CommandError;
use crate::listen::{ListenTls, PeerCertificate, handshake};
use crate::model::failure::Failure;
use crate::model::identity::Caller;
use crate::observe::Metrics;
use crate::registry::Registry;
use crate::route::{LocalBody, LocalError, Shared};
use crate::store::{HistoryBound, MemoryStore};
use crate::transport::BulkRead;
use bytes::Bytes;
use clap::{Args, ValueHint};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// Flags of `umbel demo-backend`.
#[derive(Args, Debug)]
pub struct BackendFlags {
    /// Which kind to serve
    #[arg(long, value_enum)]
    sample: Sample,
    /// The folder that `umbel backend init` wrote
    #[arg(long, value_hint = ValueHint::DirPath)]
    directory: PathBuf,
    /// The port to serve on
    #[arg(long)]
    port: u16,
    /// End when standard input ends, which is when the demo ends
    #[arg(long, hide = true)]
    pub(in crate::assembly) until_stdin_ends: bool,
}

struct Server {
    api: Arc<Api>,
    documents: Documents,
    tls: ListenTls,
}

/// Serves until the process is killed.
///
/// # Errors
/// When the certificates cannot be used or the port cannot be had.
pub fn run(flags: &BackendFlags) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(CommandError::failed)?;
    let server = Arc::new(Server {
        api: api(flags.sample, runtime.handle().clone())?,
        documents: Documents::new(flags.sample.kind()),
        tls: tls(&flags.directory)?,
    });
    runtime.block_on(async {
        let address = (Ipv4Addr::LOCALHOST, flags.port);
        let cannot =
            |error| CommandError::Failed(format!("cannot listen on 127.0.0.1:{}: {error}", flags.port));
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        loop {
            let (stream, _) = listener.accept().await.map_err(cannot)?;
            tokio::spawn(serve_connection(Arc::clone(&server), stream));
        }
    })
}

fn api(sample: Sample, runtime: tokio::runtime::Handle) -> Result<Arc<Api>, CommandError> {
    Ok(Api::new(ApiConfig {
        plugins: None,
        kinds: sample.kinds(),
        registry: Registry::new(Arc::new(MemoryStore::new(HistoryBound::default()))),
        shared: Arc::new(Shared::default()),
        readiness: Readiness::new(&[]),
        metrics: Metrics::new().map_err(CommandError::failed)?,
        runtime,
    }))
}

/// The serving certificate, and the CA of the front proxy's certificate.
fn tls(directory: &Path) -> Result<ListenTls, CommandError> {
    let certificates = |name: &str| {
        let path = directory.join(name);
        CertificateDer::pem_file_iter(&path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| CommandError::Failed(format!("{}: {error}", path.display())))
    };
    let key = PrivateKeyDer::from_pem_file(directory.join("tls.key"))
        .map_err(|error| CommandError::Failed(format!("{}: {error}", directory.join("tls.key").display())))?;
    let roots = certificates("front-proxy-ca.crt")?;
    ListenTls::new(certificates("tls.crt")?, key, roots).map_err(CommandError::failed)
}

async fn serve_connection(server: Arc<Server>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let (stream, certificate) = match handshake(BulkRead::new(stream), &server.tls).await {
        Ok(accepted) => accepted,
        Err(error) => return tracing::debug!(%error, "handshake failed"),
    };
    let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let certificate = Arc::new(certificate);
    let service = service_fn(move |request| answer(Arc::clone(&server), Arc::clone(&certificate), request));
    let io = TokioIo::new(stream);
    let served = if speaks_http2 {
        http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        http1::Builder::new().serve_connection(io, service).await
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(
    server: Arc<Server>,
    certificate: Arc<PeerCertificate>,
    request: Request<Incoming>,
) -> Result<Response<LocalBody>, Infallible> {
    let path = request.uri().path();
    let caller = if is_health(path) {
        Caller::anonymous()
    } else {
        match admit(&certificate, request.headers(), path) {
            Ok(caller) => caller,
            Err(refused) => return Ok(refuse(&refused)),
        }
    };
    let accept =
        request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some((content_type, body)) =
        server.documents.find(path, request.uri().query().unwrap_or_default(), accept)
    {
        return Ok(whole(StatusCode::OK, content_type, body));
    }
    Ok(Arc::clone(&server.api).answer(request, Arc::new(caller)).await)
}

fn is_health(path: &str) -> bool {
    matches!(path, "/healthz" | "/livez" | "/readyz")
}

/// Everybody whom Umbel names may read documents; only `system:masters` may touch objects.
fn admit(certificate: &PeerCertificate, headers: &HeaderMap, path: &str) -> Result<Caller, Failure> {
    let caller = front_proxy::caller(certificate, headers)?;
    let is_document = path.starts_with("/openapi") || path == "/version" || path.split('/').count() <= 4;
    if caller.is_master() || is_document {
        return Ok(caller);
    }
    let text = format!("forbidden: User {:?} cannot use path {path:?}", caller.user);
    Err(Failure::new(403, "Forbidden", text))
}

fn refuse(failure: &Failure) -> Response<LocalBody> {
    let status = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(status, HeaderValue::from_static("application/json"), failure.to_json())
}

fn whole(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response<LocalBody> {
    let body = Full::new(body).map_err(|never| -> LocalError { match never {} }).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
