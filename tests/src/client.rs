//! A small HTTPS client: one connection a request, so that every test sees what a new caller sees.

use super::authority::Leaf;
use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
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
use tokio_rustls::client::TlsStream;

/// No answer in a suite may take longer to begin, or to end when it is no watch.
const LIMIT: Duration = Duration::from_secs(30);

/// Calls one Umbel.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    headers: HeaderMap,
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{} {}", self.status, self.text()))
    }

    /// The body as JSON when the status is the expected one.
    ///
    /// # Errors
    /// When the status is another one.
    pub fn expect(&self, status: u16) -> Result<Value> {
        ensure!(self.status == status, "expected {status}, got {}: {}", self.status, self.text());
        self.json()
    }
}

impl Client {
    /// Shows a certificate of a folder `pki`, for example `admin`.
    ///
    /// # Errors
    /// When the files cannot be used.
    pub fn with_certificate(address: SocketAddr, pki: &Path, name: &str) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(pki.join(format!("{name}.crt")))?;
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(pki.join(format!("{name}.key")))?;
        let tls = builder(pki)?.with_client_auth_cert(chain, key)?;
        Ok(Self { address, tls: Arc::new(tls), headers: HeaderMap::new() })
    }

    /// Presents a client certificate of another CA. `pki` has the CA that signed the server's.
    ///
    /// # Errors
    /// When the files cannot be used.
    pub fn with_leaf(address: SocketAddr, pki: &Path, leaf: Leaf) -> Result<Self> {
        let tls = builder(pki)?.with_client_auth_cert(leaf.chain, leaf.key)?;
        Ok(Self { address, tls: Arc::new(tls), headers: HeaderMap::new() })
    }

    /// Shows no certificate.
    ///
    /// # Errors
    /// When the CA cannot be used.
    pub fn anonymous(address: SocketAddr, pki: &Path) -> Result<Self> {
        let tls = builder(pki)?.with_no_client_auth();
        Ok(Self { address, tls: Arc::new(tls), headers: HeaderMap::new() })
    }

    /// The same client with a header on every request.
    ///
    /// # Errors
    /// When name or value cannot be a header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self> {
        self.headers.append(http::HeaderName::try_from(name)?, value.try_into()?);
        Ok(self)
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, "", Bytes::new()).await
    }

    /// POST of a JSON object.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(Method::POST, path, "application/json", body.to_string()).await
    }

    /// PUT of a JSON object.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(Method::PUT, path, "application/json", body.to_string()).await
    }

    /// PATCH; `kind` is `json`, `merge` or `strategic-merge`.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn patch(&self, path: &str, kind: &str, body: &Value) -> Result<Answer> {
        let content_type = format!("application/{kind}-patch+json");
        self.send(Method::PATCH, path, &content_type, body.to_string()).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send(Method::DELETE, path, "", Bytes::new()).await
    }

    /// Any request, with the whole answer.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        self.send_body(method, path, content_type, Full::new(body.into())).await
    }

    /// The same with any body.
    ///
    /// # Errors
    /// When the response is not complete.
    pub async fn send_body<B>(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: B,
    ) -> Result<Answer>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let what = format!("{method} {path}");
        let call = async {
            let response = self.begin(method, path, content_type, body).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        tokio::time::timeout(LIMIT, call).await.with_context(|| format!("{what} hangs"))?
    }

    /// Opens a stream of JSON lines (a watch).
    ///
    /// # Errors
    /// When the answer is not 200.
    pub async fn watch(&self, path: &str) -> Result<Lines> {
        let begin = self.begin(Method::GET, path, "", Full::new(Bytes::new()));
        let response =
            tokio::time::timeout(LIMIT, begin).await.with_context(|| format!("GET {path} hangs"))??;
        if response.status() != 200 {
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            bail!("GET {path}: {status} {}", String::from_utf8_lossy(&body));
        }
        Ok(Lines { body: response.into_body(), buffer: BytesMut::new() })
    }

    /// Opens a connection for this protocol, with a full handshake.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn dial(&self, alpn: &str) -> Result<TlsStream<TcpStream>> {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        tls.resumption = Resumption::disabled();
        self.connect(Arc::new(tls)).await
    }

    async fn connect(&self, tls: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.address.ip());
        Ok(TlsConnector::from(tls).connect(name, stream).await?)
    }

    async fn begin<B>(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: B,
    ) -> Result<http::Response<Incoming>>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = self.connect(Arc::clone(&self.tls)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(sender.send_request(request.body(body)?).await?)
    }
}

fn builder(pki: &Path) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.join("ca.crt"))?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}

/// JSON lines of an open answer.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
}

impl Lines {
    /// The next line; `None` when the stream has ended. Fails when nothing comes within `bound`.
    ///
    /// # Errors
    /// When nothing comes in time, the stream breaks, or a line is no JSON.
    pub async fn next(&mut self, bound: Duration) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            let frame = tokio::time::timeout(bound, self.body.frame()).await;
            match frame.with_context(|| format!("no event within {bound:?}"))? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
