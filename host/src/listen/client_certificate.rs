//! Who a client certificate stands for (contract §7.6).
//!
//! The handshake asks for a certificate and accepts any whose key the client holds. Whether it is trusted is
//! judged afterwards, so that a client with a stale certificate reads a 401 and not a TLS alert. So does one with a
//! certificate of X.509 version 1, which `openssl x509 -req` makes without `-extfile`.

use crate::certificate::{Purpose, verify_chain, verify_tls12, verify_tls13};
use crate::model::identity::Caller;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Version};

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

/// The error without the times of this check and of this certificate, so that the same cause always has the same
/// text.
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

/// The values, in their order. A value that cannot be read is an error: without it the identity would be a different
/// one.
fn read_names<'a>(
    attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>,
) -> Result<Vec<String>, String> {
    attributes
        .map(|name| {
            name.as_str().map(str::to_owned).map_err(|_| {
                "a name in the certificate's subject has an encoding other than UTF8String or PrintableString"
                    .to_owned()
            })
        })
        .collect()
}

fn read_caller(leaf: &CertificateDer<'_>) -> Result<Caller, String> {
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let subject = certificate.subject();
    let names = read_names(subject.iter_common_name())?;
    let user = match names.as_slice() {
        [user] if !user.is_empty() => user.as_str(),
        [] | [_] => return Err("the certificate's subject has no common name".to_owned()),
        // Go uses the last common name and other readers the first, so gateway and backend could disagree on the
        // user.
        many => {
            let count = many.len();
            return Err(format!(
                "the certificate's subject has {count} common names, so the user is ambiguous; sign one with one CN"
            ));
        }
    };
    let groups = read_names(subject.iter_organization())?;
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
    /// For signatures by keys of certificates of any form.
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
        verify_tls12(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Accepts chains as Go does: those that webpki accepts, and those with any extended key usage or critical policies.
#[derive(Debug)]
pub(super) struct ClientChains {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) strict: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for ClientChains {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let refusal = match self.strict.verify_client_cert(end_entity, intermediates, now) {
            Err(refusal @ rustls::Error::InvalidCertificate(_)) => refusal,
            outcome => return outcome,
        };
        let algorithms = self.algorithms.all;
        verify_chain(&self.roots, algorithms, end_entity, intermediates, now, Purpose::Client)
            .map(|()| ClientCertVerified::assertion())
            .map_err(|_| refusal)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName as Subject, DnType, DnValue, KeyPair};

    fn caller(names: &[(DnType, DnValue)]) -> Result<Caller, String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = Subject::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        read_caller(certificate.der())
    }

    fn text(value: &str) -> DnValue {
        DnValue::Utf8String(value.to_owned())
    }

    #[test]
    fn the_common_name_is_the_user_and_organizations_are_groups_in_their_order() {
        let known = caller(&[(DnType::CommonName, text("ann")), (DnType::OrganizationName, text("b"))]);
        let known = known.unwrap();
        assert_eq!((known.user.as_str(), &known.groups[..1]), ("ann", &["b".to_owned()][..]));
    }

    #[test]
    fn a_subject_without_a_user_is_refused() {
        assert!(caller(&[(DnType::OrganizationName, text("b"))]).unwrap_err().contains("no common name"));
        assert!(caller(&[(DnType::CommonName, text(""))]).unwrap_err().contains("no common name"));
    }

    #[test]
    fn a_name_that_cannot_be_read_is_refused_and_not_left_out() {
        let strange = DnValue::BmpString("staff".try_into().unwrap());
        let names = [(DnType::CommonName, text("ann")), (DnType::OrganizationName, strange.clone())];
        assert!(caller(&names).unwrap_err().contains("encoding"));
        assert!(caller(&[(DnType::CommonName, strange)]).unwrap_err().contains("encoding"));
    }

    /// rcgen writes each kind of name once, so the test replaces the type of another attribute.
    fn with_two(kind: DnType, other: &[u8], known: &[u8]) -> Result<Caller, String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = Subject::new();
        params.distinguished_name.push(DnType::CommonName, "ann");
        params.distinguished_name.push(kind, "eve");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let mut der = certificate.der().to_vec();
        let places: Vec<usize> =
            (0..der.len() - other.len()).filter(|index| der[*index..].starts_with(other)).collect();
        for place in places {
            der[place..place + known.len()].copy_from_slice(known);
        }
        read_caller(&der.into())
    }

    #[test]
    fn two_common_names_are_refused() {
        // `localityName` is 2.5.4.7, `commonName` 2.5.4.3.
        let refused = with_two(DnType::LocalityName, &[6, 3, 0x55, 4, 7], &[6, 3, 0x55, 4, 3]);
        assert!(refused.unwrap_err().contains("2 common names"));
        assert!(with_two(DnType::LocalityName, &[6, 3, 0x55, 4, 7], &[6, 3, 0x55, 4, 7]).is_ok());
    }
}
