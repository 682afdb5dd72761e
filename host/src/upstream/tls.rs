//! TLS settings towards backends: trust, our certificate, and what is shared between backends.

use super::pinned::PinnedOr;
use super::verify::{AcceptAny, Chains};
use arc_swap::ArcSwap;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// How a backend's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TlsSource {
    /// Against these PEM certificates (`spec.caBundle`, decoded).
    CaBundle(Vec<u8>),
    /// Not at all (`spec.insecureSkipTLSVerify`).
    Insecure,
    /// Against the system roots and Umbel's own CA (neither is given).
    Default,
}

/// The certificate that we show to backends.
#[derive(Debug)]
pub struct FrontProxy {
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl FrontProxy {
    fn certified(self) -> Result<CertifiedKey, TlsError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Ok(CertifiedKey::from_der(self.chain, self.key, &provider)?)
    }
}

/// The cell from which each handshake takes the certificate to show.
#[derive(Debug)]
struct ShownCertificate(ArcSwap<CertifiedKey>);

impl ResolvesClientCert for ShownCertificate {
    fn resolve(&self, _root_hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.load_full();
        shown.key.choose_scheme(schemes).is_some().then_some(shown)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Why TLS settings are unusable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `caBundle` holds no certificate.
    #[error("unable to load root certificates: unable to parse bytes as PEM block")]
    NoCertificate,
    /// `caBundle` holds something that is no certificate.
    #[error("unable to load root certificates: {0}")]
    BadCertificate(String),
    /// rustls refuses the combination.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

/// Builds TLS settings for backends.
#[derive(Debug)]
pub struct BackendTls {
    front_proxy: Arc<ShownCertificate>,
    default_roots: Arc<RootCertStore>,
}

impl BackendTls {
    /// `own_ca` is Umbel's CA in PEM; it is trusted beside the system roots.
    ///
    /// # Errors
    /// When `own_ca` is no PEM, or the key does not fit the certificate. Unreadable system roots are left out.
    pub fn new(front_proxy: FrontProxy, own_ca: &[u8]) -> Result<Self, TlsError> {
        let mut roots = collect_roots(&parse_certificates(own_ca)?)?;
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        let shown = ShownCertificate(ArcSwap::from_pointee(front_proxy.certified()?));
        Ok(Self { front_proxy: Arc::new(shown), default_roots: Arc::new(roots) })
    }

    /// Shows another certificate from now on, also under settings that were given out before: connections that
    /// are there stay, new ones see it.
    ///
    /// # Errors
    /// When the key does not fit the certificate; the old one stays then.
    pub fn renew_front_proxy(&self, front_proxy: FrontProxy) -> Result<(), TlsError> {
        self.front_proxy.0.store(Arc::new(front_proxy.certified()?));
        Ok(())
    }

    /// Settings with ALPN `h2`, `http/1.1` and, for upgrades, the same with `http/1.1` only.
    ///
    /// # Errors
    /// When the source holds no usable certificate.
    pub fn configs(&self, source: &TlsSource) -> Result<(Arc<ClientConfig>, Arc<ClientConfig>), TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let verifier: Arc<dyn ServerCertVerifier> = match source {
            TlsSource::Insecure => Arc::new(AcceptAny(provider.signature_verification_algorithms)),
            TlsSource::Default => Arc::new(build_verifier(Arc::clone(&self.default_roots), provider)?),
            TlsSource::CaBundle(pem) => {
                let certificates = parse_certificates(pem)?;
                let roots = Arc::new(collect_roots(&certificates)?);
                Arc::new(PinnedOr::new(certificates, build_verifier(roots, provider)?))
            }
        };
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::<ShownCertificate>::clone(&self.front_proxy));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut http1 = config.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Arc::new(config), Arc::new(http1)))
    }
}

fn build_verifier(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<Chains, TlsError> {
    let algorithms = provider.signature_verification_algorithms;
    let strict = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider)
        .build()
        .map_err(|error| TlsError::BadCertificate(error.to_string()))?;
    Ok(Chains { roots, algorithms, strict })
}

fn parse_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::BadCertificate(error.to_string()))?;
    if certificates.is_empty() { Err(TlsError::NoCertificate) } else { Ok(certificates) }
}

fn collect_roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(|error| TlsError::BadCertificate(error.to_string()))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front_proxy(name: &str) -> (FrontProxy, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        (FrontProxy { chain: vec![made.cert.der().clone()], key }, made.cert.pem())
    }

    fn shown(config: &ClientConfig) -> CertificateDer<'static> {
        let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
        config.client_auth_cert_resolver.resolve(&[], &schemes).unwrap().cert[0].clone()
    }

    #[test]
    fn settings_given_out_before_show_the_renewed_certificate() {
        let ((first, ca), (second, _)) = (front_proxy("one"), front_proxy("two"));
        let (old, new) = (first.chain[0].clone(), second.chain[0].clone());
        let tls = BackendTls::new(first, ca.as_bytes()).unwrap();
        let (config, http1) = tls.configs(&TlsSource::Default).unwrap();
        assert_eq!((shown(&config), shown(&http1)), (old.clone(), old));
        tls.renew_front_proxy(second).unwrap();
        assert_eq!((shown(&config), shown(&http1)), (new.clone(), new.clone()));

        let mixed = FrontProxy { chain: front_proxy("three").0.chain, key: front_proxy("four").0.key };
        assert!(tls.renew_front_proxy(mixed).is_err());
        assert_eq!(shown(&config), new);
    }
}
