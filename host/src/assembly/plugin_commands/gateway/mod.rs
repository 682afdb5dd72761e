//! A running gateway, asked by a command.

mod kubeconfig;

use clap::{Args, ValueHint};
use http::header::{AUTHORIZATION, HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use kubeconfig::Access;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// From the connection to the end of an answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const ANSWER_MAX: usize = 64 << 20;

/// Which gateway is asked.
#[derive(Args, Clone, Debug)]
pub(super) struct GatewayFlags {
    /// Kubeconfig of the gateway [default: $KUBECONFIG, else ./umbel-data/admin.kubeconfig]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) kubeconfig: Option<PathBuf>,
}

/// A gateway that can be asked.
pub(super) struct Gateway {
    access: Access,
    url: Url,
    tls: Arc<ClientConfig>,
}

impl Gateway {
    /// Reads the kubeconfig; asks nothing yet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn open(flags: &GatewayFlags) -> Result<Self, String> {
        let named = flags.kubeconfig.clone();
        let path = named
            .or_else(|| std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()).map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("./umbel-data/admin.kubeconfig"));
        let access = kubeconfig::read(&path)?;
        let told = |cause: String| format!("{}: {cause}", path.display());
        let url = Url::parse(&access.server).map_err(|error| told(format!("{}: {error}", access.server)))?;
        if url.scheme() != "https" {
            return Err(told(format!("{}: a gateway is asked over https", access.server)));
        }
        let tls = tls(&access).map_err(told)?;
        Ok(Self { access, url, tls: Arc::new(tls) })
    }

    /// The URL of the gateway.
    pub(super) fn server(&self) -> &str {
        self.access.server.trim_end_matches('/')
    }

    /// GET of a path, the answer as JSON; `None` when the gateway does not know the path.
    ///
    /// # Errors
    /// When there is no answer, or one that is neither 200 nor 404.
    pub(super) fn get(&self, path: &str) -> Result<Option<Value>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let told = |cause: String| format!("{}{path}: {cause}", self.server());
        let answer = runtime.block_on(async { tokio::time::timeout(LIMIT, self.ask(path)).await });
        let (status, body) =
            answer.map_err(|_| told(format!("no answer within {} s", LIMIT.as_secs())))?.map_err(told)?;
        let text = String::from_utf8_lossy(&body);
        match status.as_u16() {
            200 => serde_json::from_slice(&body).map(Some).map_err(|error| told(error.to_string())),
            404 => Ok(None),
            _ => Err(told(format!("{status}: {}", message(&text)))),
        }
    }

    async fn ask(&self, path: &str) -> Result<(http::StatusCode, Bytes), String> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = self.url.port_or_known_default().unwrap_or(443);
        let name = self.access.server_name.clone().unwrap_or_else(|| host.clone());
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        // It ends with the sender; what goes wrong before is told by the sender.
        tokio::spawn(connection);
        let mut request = http::Request::get(path).header(HOST, format!("{host}:{port}"));
        if let Some(token) = &self.access.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    }
}

/// The message of a `Status`, or the beginning of whatever else was sent.
fn message(text: &str) -> String {
    let status: Option<Value> = serde_json::from_str(text).ok();
    let message = status.as_ref().and_then(|status| status["message"].as_str());
    message.map_or_else(|| text.chars().take(200).collect(), str::to_owned)
}

fn tls(access: &Access) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &access.ca_pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| format!("certificate authority: {error}"))?;
                roots.add(certificate).map_err(|error| format!("certificate authority: {error}"))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &access.certificate else { return Ok(config.with_no_client_auth()) };
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("client certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("client key: {error}"))?;
    config.with_client_auth_cert(chain, key).map_err(|error| format!("client certificate: {error}"))
}
