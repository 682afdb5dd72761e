//! Verifying that a peer holds the key of its certificate, regardless of the certificate's other contents.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use webpki::RawPublicKeyEntity;
use x509_parser::asn1_rs::{Any, Class, FromDer};

/// Verifies a signature of TLS 1.2. As rustls does it for certificates: the algorithm of a scheme is the first
/// that fits the key.
///
/// # Errors
/// When the certificate has no readable key, or the signature does not fit it.
pub fn verify_tls12(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = public_key(cert).ok_or(CertificateError::BadEncoding)?;
    let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
    let known = algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
    let (_, fitting) = known.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let holds = fitting.iter().any(|one| key.verify_signature(*one, message, dss.signature()).is_ok());
    if holds { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
}

/// Verifies a signature of TLS 1.3.
///
/// # Errors
/// When the certificate has no readable key, or the signature does not fit it.
pub fn verify_tls13(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = public_key(cert).ok_or(CertificateError::BadEncoding)?;
    verify_tls13_signature_with_raw_key(message, &key, dss, algorithms)
}

/// The `SubjectPublicKeyInfo` of a certificate of any version. Reads nothing else of it, so that a certificate
/// whose names, dates or extensions are malformed has a key all the same.
fn public_key<'a>(cert: &'a CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'a>> {
    let (_, certificate) = Any::from_der(cert).ok()?;
    let (_, to_be_signed) = Any::from_der(certificate.data).ok()?;
    let mut rest = to_be_signed.data;
    let (after, first) = Any::from_der(rest).ok()?;
    if first.class() == Class::ContextSpecific {
        // The version, which version 1 leaves out.
        rest = after;
    }
    for _serial_algorithm_issuer_validity_subject in 0..5 {
        (rest, _) = Any::from_der(rest).ok()?;
    }
    let (after, _) = Any::from_der(rest).ok()?;
    rest.get(..rest.len() - after.len()).map(SubjectPublicKeyInfoDer::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_what_is_otherwise_unreadable() {
        let made = rcgen::generate_simple_self_signed(["a.b".to_owned()]).unwrap();
        let der = made.cert.der();
        let key = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
        assert_eq!(public_key(der).unwrap().as_ref(), key);
        // A validity whose dates cannot be parsed.
        let mut broken = der.to_vec();
        let date = broken.windows(2).position(|w| w == [0x17, 0x0d]).unwrap();
        broken[date + 2..date + 6].copy_from_slice(b"abcd");
        let broken = CertificateDer::from(broken);
        assert!(webpki::EndEntityCert::try_from(&broken).is_ok() || public_key(&broken).is_some());
        assert_eq!(public_key(&broken).unwrap().as_ref(), key);
        assert!(public_key(&CertificateDer::from(b"no certificate".to_vec())).is_none());
        assert!(public_key(&CertificateDer::from(der[..der.len() / 4].to_vec())).is_none());
    }
}
