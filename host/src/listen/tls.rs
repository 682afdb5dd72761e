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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

    fn key_of(key: &KeyPair) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(key.serialize_der()).unwrap()
    }

    /// A CA and a client that it signed.
    fn authority(user: &str) -> (CertificateDer<'static>, Identity) {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_certificate = ca.self_signed(&ca_key).unwrap().der().clone();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().der().clone();
        (ca_certificate, (certificate, key_of(&key)))
    }

    /// Who a client is that shows this certificate to a server with these client CAs.
    async fn seen(roots: Vec<CertificateDer<'static>>, shown: Option<Identity>) -> PeerCertificate {
        let made = rcgen::generate_simple_self_signed(["umbel.example".to_owned()]).unwrap();
        let serving = made.cert.der().clone();
        let server = ListenTls::new(vec![serving.clone()], key_of(&made.signing_key), roots).unwrap();
        let mut trusted = RootCertStore::empty();
        trusted.add(serving).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted);
        let config = match shown {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = listener.accept().await.unwrap().0;
        let name = ServerName::try_from("umbel.example").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let (client, server) =
            tokio::join!(connector.connect(name, dialled), handshake(BulkRead::new(accepted), &server));
        client.unwrap();
        server.unwrap().1
    }

    #[tokio::test]
    async fn a_client_is_who_a_known_authority_says_and_needs_no_certificate() {
        let (ca, ann) = authority("ann");
        let (_, stranger) = authority("ann");
        assert!(matches!(seen(vec![ca.clone()], None).await, PeerCertificate::Absent));
        assert!(matches!(seen(vec![ca.clone()], Some(stranger)).await, PeerCertificate::Refused(_)));
        match seen(vec![ca], Some(ann)).await {
            PeerCertificate::Trusted(caller) => assert_eq!(caller.user, "ann"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn without_a_client_authority_none_is_asked_for_a_certificate() {
        let (_, ann) = authority("ann");
        assert!(matches!(seen(Vec::new(), Some(ann)).await, PeerCertificate::Absent));
    }
}
