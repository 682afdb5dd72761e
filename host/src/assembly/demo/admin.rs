//! A small client for the administrator: how the demo registers its backends and looks at them.

use super::DemoError;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest wait for an answer to begin, and for one that is no watch to end.
const LIMIT: Duration = Duration::from_secs(30);

/// Calls the gateway through its public address, one connection a request.
#[derive(Clone)]
pub(super) struct Admin {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Admin {
    /// Shows the administrator's certificate of a data directory.
    pub(super) fn new(address: SocketAddr, data_dir: &Path) -> Result<Self, DemoError> {
        let pki = data_dir.join("pki");
        let bad = |error: &dyn std::fmt::Display| DemoError(format!("{}: {error}", pki.display()));
        let certificate = |name: &str| CertificateDer::from_pem_file(pki.join(name)).map_err(|e| bad(&e));
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca.crt")?).map_err(|e| bad(&e))?;
        let key = PrivateKeyDer::from_pem_file(pki.join("admin.key")).map_err(|e| bad(&e))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| bad(&e))?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate("admin.crt")?], key)
            .map_err(|e| bad(&e))?;
        Ok(Self { address, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// One request; its answer as JSON (`null` when it is none) and its status.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), DemoError> {
        let what = format!("{method} {path}");
        let call = async {
            let response = self.begin(method, path, content_type, body).await?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(DemoError::new)?.to_bytes();
            Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        match tokio::time::timeout(LIMIT, call).await {
            Ok(answered) => answered.map_err(|error: DemoError| DemoError(format!("{what}: {error}"))),
            Err(_) => Err(DemoError(format!("{what}: no answer within {LIMIT:?}"))),
        }
    }

    /// GET that must succeed.
    pub(super) async fn get(&self, path: &str) -> Result<Value, DemoError> {
        let (status, value) = self.call(Method::GET, path, "", None).await?;
        if status.is_success() { Ok(value) } else { Err(refused("GET", path, status, &value)) }
    }

    /// POST that must create; an object that is there already is as good.
    pub(super) async fn create(&self, path: &str, object: &Value) -> Result<(), DemoError> {
        let (status, value) = self.call(Method::POST, path, "application/json", Some(object)).await?;
        let is_there = status.is_success() || status == StatusCode::CONFLICT;
        if is_there { Ok(()) } else { Err(refused("POST", path, status, &value)) }
    }

    /// Opens a watch; its body is a stream of JSON lines.
    pub(super) async fn watch(&self, path: &str) -> Result<Incoming, DemoError> {
        let response = tokio::time::timeout(LIMIT, self.begin(Method::GET, path, "", None)).await;
        let response =
            response.map_err(|_| DemoError(format!("GET {path}: no answer within {LIMIT:?}")))??;
        if response.status().is_success() {
            Ok(response.into_body())
        } else {
            Err(refused("GET", path, response.status(), &Value::Null))
        }
    }

    async fn begin(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<http::Response<Incoming>, DemoError> {
        let stream = TcpStream::connect(self.address).await.map_err(DemoError::new)?;
        let name = ServerName::from(self.address.ip());
        let stream = self.tls.connect(name, stream).await.map_err(DemoError::new)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(DemoError::new)?;
        tokio::spawn(connection);
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let body = body.map_or_else(Bytes::new, |value| value.to_string().into());
        let request = request.body(Full::new(body)).map_err(DemoError::new)?;
        sender.send_request(request).await.map_err(DemoError::new)
    }
}

fn refused(method: &str, path: &str, status: StatusCode, answer: &Value) -> DemoError {
    let message = answer.get("message").and_then(Value::as_str).unwrap_or_default();
    DemoError(format!("{method} {path}: {status} {message}"))
}
