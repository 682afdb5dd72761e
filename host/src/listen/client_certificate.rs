//! Who a client certificate stands for (contract §7.6).
//!
//! The handshake asks for a certificate and accepts any whose key the client holds. Whether it is trusted is
//! judged afterwards, so that a client with a stale certificate reads a 401 and not a TLS alert.

use crate::model::identity::Caller;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a client showed.
#[derive(Clone, Debug)]
pub enum PeerCertificate {
    /// No certificate.
    Absent,
    /// One that stands for this caller.
    Trusted(Arc<Caller>),
    /// One that stands for nobody, and why.
    Refused(String),
}

/// Tells callers from certificates. `None` as the verifier: no client CA, no certificate counts.
#[derive(Clone, Debug)]
pub struct CertificateJudge(Option<Arc<dyn ClientCertVerifier>>);

impl CertificateJudge {
    /// Certificates count when `verifier` accepts them.
    pub fn new(verifier: Option<Arc<dyn ClientCertVerifier>>) -> Self {
        Self(verifier)
    }

    /// Judges a chain, leaf first.
    pub fn judge(&self, chain: Option<&[CertificateDer<'_>]>, now: UnixTime) -> PeerCertificate {
        let (Some(verifier), Some([leaf, intermediates @ ..])) = (&self.0, chain) else {
            return PeerCertificate::Absent;
        };
        if let Err(error) = verifier.verify_client_cert(leaf, intermediates, now) {
            return PeerCertificate::Refused(error.to_string());
        }
        match read_caller(leaf) {
            Ok(caller) => PeerCertificate::Trusted(Arc::new(caller)),
            Err(cause) => PeerCertificate::Refused(cause),
        }
    }
}

fn read_caller(leaf: &CertificateDer<'_>) -> Result<Caller, String> {
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    if user.is_empty() {
        return Err("the certificate's subject has no common name".to_owned());
    }
    let groups: Vec<String> =
        subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    if groups.iter().map(String::as_str).chain([user]).any(|name| name.contains(char::is_control)) {
        return Err("a name in the certificate's subject has control characters, which no header can carry"
            .to_owned());
    }
    let fingerprint: String = Sha256::digest(leaf).iter().map(|byte| format!("{byte:02x}")).collect();
    let extra =
        ("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={fingerprint}")]);
    Ok(Caller::authenticated(user, "", groups, vec![extra]))
}

/// Asks for a certificate, names the client CAs as hints, and lets every certificate pass whose key the
/// client proves to hold.
#[derive(Debug)]
pub(super) struct AskOnly(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
