//! Who a client certificate stands for (contract §7.6).
//!
//! The handshake asks for a certificate and accepts any whose key the client holds. Whether it is trusted is
//! judged afterwards, so that a client with a stale certificate reads a 401 and not a TLS alert. So does one with a
//! certificate of X.509 version 1, which `openssl x509 -req` makes without `-extfile`.

use crate::model::identity::Caller;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, PeerMisbehaved, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use webpki::{EndEntityCert, RawPublicKeyEntity};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

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
            return PeerCertificate::Refused(explain(leaf, &error));
        }
        match read_caller(leaf) {
            Ok(caller) => PeerCertificate::Trusted(Arc::new(caller)),
            Err(cause) => PeerCertificate::Refused(cause),
        }
    }
}

fn explain(leaf: &CertificateDer<'_>, error: &rustls::Error) -> String {
    match X509Certificate::from_der(leaf) {
        Ok((_, certificate)) if certificate.version() == X509Version::V1 => {
            "it is an X.509 certificate of version 1, so nothing says that it may be used by clients; sign it as \
             version 3, with extendedKeyUsage=clientAuth (openssl x509 -req -extfile)"
                .to_owned()
        }
        _ => words(error),
    }
}

/// The error without the times of this check and of this certificate, so that one cause always has one text.
fn words(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(certificate) = error else { return error.to_string() };
    let text = match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet: compare the clocks of this machine and of the one that signed it"
        }
        CertificateError::UnknownIssuer => "it is not signed by a client CA of this gateway",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it may not be used by clients: sign it with extendedKeyUsage=clientAuth"
        }
        _ => return error.to_string(),
    };
    text.to_owned()
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
pub(super) struct AskOnly {
    /// Knows the client CAs.
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// For signatures by keys of certificates that `verifier` cannot read.
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
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
        if EndEntityCert::try_from(cert).is_ok() {
            return self.verifier.verify_tls12_signature(message, cert, dss);
        }
        verify_tls12_by_key(message, &key_of(cert)?, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if EndEntityCert::try_from(cert).is_ok() {
            return self.verifier.verify_tls13_signature(message, cert, dss);
        }
        verify_tls13_signature_with_raw_key(message, &key_of(cert)?, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// The public key of a certificate of any version.
fn key_of<'a>(cert: &'a CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'a>, rustls::Error> {
    let (_, certificate) = X509Certificate::from_der(cert).map_err(|_| CertificateError::BadEncoding)?;
    Ok(certificate.tbs_certificate.subject_pki.raw.into())
}

/// As rustls does it for certificates: the algorithm of a scheme is the first that fits the key.
fn verify_tls12_by_key(
    message: &[u8],
    key: &SubjectPublicKeyInfoDer<'_>,
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let key = RawPublicKeyEntity::try_from(key).map_err(|_| CertificateError::BadEncoding)?;
    let known = algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
    let (_, fitting) = known.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let holds = fitting.iter().any(|one| key.verify_signature(*one, message, dss.signature()).is_ok());
    if holds { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
}
