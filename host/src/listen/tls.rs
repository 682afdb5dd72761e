//! TLS towards clients (contract §7.12).

use super::client_certificate::{AskOnly, CertificateJudge, ClientChains, PeerCertificate};
use super::refusal_log::RefusalLog;
use crate::transport::BulkRead;
use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CipherSuite, RootCertStore, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// An accepted connection after its handshake.
pub type TlsStream = tokio_rustls::server::TlsStream<BulkRead<TcpStream>>;

/// Why TLS towards clients cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ListenTlsError {
    /// A client CA is no certificate.
    #[error("client CA: {0}")]
    ClientCa(String),
    /// The serving certificate and its key do not fit, or cannot be read.
    #[error("serving certificate: {0}")]
    Serving(rustls::Error),
}

/// The serving certificate and the client CAs.
#[derive(Debug)]
pub struct ListenTls {
    config: Arc<ServerConfig>,
    judge: CertificateJudge,
    refusals: RefusalLog,
}

/// The cell from which each new connection takes its settings; replaced when a certificate is renewed.
pub type SharedListenTls = Arc<ArcSwap<ListenTls>>;

impl ListenTls {
    /// `chain` leads with the leaf. Client certificates are asked for, never demanded, and count when one of
    /// `client_roots` signed them.
    ///
    /// # Errors
    /// When the key does not fit the certificate, or a client CA is no certificate.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        client_roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, ListenTlsError> {
        let provider = Arc::new(aes_128_first());
        let verifier = build_verifier(client_roots, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(ListenTlsError::Serving)?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(AskOnly {
                verifier: Arc::clone(verifier),
                algorithms: provider.signature_verification_algorithms,
            })),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(ListenTlsError::Serving)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ignore_client_order = true;
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(ListenTlsError::Serving)?;
        // Each ticket is a system call; a client that reconnects gets another one then.
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            judge: CertificateJudge::new(verifier),
            refusals: RefusalLog::default(),
        })
    }

    /// Logs that the certificate of a client was rejected, at most once an hour for each cause.
    pub fn log_refused_certificate(&self, remote: SocketAddr, cause: &str) {
        self.refusals.warn(remote, cause);
    }
}

/// SHA-384 in software is a fifth of a handshake, and OpenSSL clients ask for it first.
fn aes_128_first() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 1,
        _ => 2,
    });
    provider
}

fn build_verifier(
    client_roots: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, ListenTlsError> {
    if client_roots.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for root in client_roots {
        roots.add(root).map_err(|error| ListenTlsError::ClientCa(error.to_string()))?;
    }
    let (roots, algorithms) = (Arc::new(roots), provider.signature_verification_algorithms);
    let strict = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
        .build()
        .map_err(|error| ListenTlsError::ClientCa(error.to_string()))?;
    Ok(Some(Arc::new(ClientChains { roots, algorithms, strict })))
}

/// Completes the handshake and judges the client's certificate.
///
/// # Errors
/// Those of the socket and of TLS.
pub async fn handshake(
    stream: BulkRead<TcpStream>,
    tls: &ListenTls,
) -> io::Result<(TlsStream, PeerCertificate)> {
    let stream = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await?;
    let peer = tls.judge.judge(stream.get_ref().1.peer_certificates(), UnixTime::now());
    Ok((stream, peer))
}
