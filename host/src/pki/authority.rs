//! A certificate authority: made once, then signing.

use super::PkiError;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a CA is valid.
pub(super) const CA_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);
/// A CA with less than this left is renewed with its own key, so that everything it signed stays valid.
pub(super) const CA_RENEWAL: Duration = Duration::from_secs(730 * 24 * 3600);
/// How long a leaf certificate is valid.
pub(super) const LEAF_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// A leaf certificate with less than this left is renewed.
pub(super) const LEAF_RENEWAL: Duration = Duration::from_secs(90 * 24 * 3600);
/// Certificates are valid from this long before they were made, for peers whose clocks are late.
const BACKDATE: Duration = DAY;

/// What a leaf certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Serving under these DNS names and IP addresses.
    Serve(Vec<String>),
    /// Showing who calls; these are the groups (`O`).
    Call(Vec<&'static str>),
}

/// A certificate authority with its key.
pub(super) struct Authority {
    pub(super) certificate_pem: String,
    pub(super) certificate_der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes the certificate of an authority, signed by its own key.
    pub(super) fn certificate(name: &str, key: &KeyPair, now: SystemTime) -> Result<Certificate, PkiError> {
        let mut params = parameters(name, &[], now, CA_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.self_signed(key).map_err(PkiError::certificate(name))
    }

    /// An authority from its PEM certificate and its key.
    pub(super) fn new(
        certificate_pem: String,
        certificate_der: Vec<u8>,
        key: KeyPair,
    ) -> Result<Self, PkiError> {
        let issuer = Issuer::from_ca_cert_der(&certificate_der.as_slice().into(), key)
            .map_err(PkiError::certificate("of the authority"))?;
        Ok(Self { certificate_pem, certificate_der, issuer })
    }

    /// Signs a leaf certificate for `key`.
    pub(super) fn sign(
        &self,
        name: &str,
        purpose: &Purpose,
        key: &KeyPair,
        now: SystemTime,
    ) -> Result<Certificate, PkiError> {
        let groups: &[&str] = if let Purpose::Call(groups) = purpose { groups } else { &[] };
        let mut params = parameters(name, groups, now, LEAF_LIFETIME);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        match purpose {
            Purpose::Serve(names) => {
                let with_names =
                    CertificateParams::new(names.clone()).map_err(PkiError::certificate(name))?;
                params.subject_alt_names = with_names.subject_alt_names;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            Purpose::Call(_) => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        }
        params.signed_by(key, &self.issuer).map_err(PkiError::certificate(name))
    }
}

/// A fresh ECDSA P-256 key.
pub(super) fn new_key(name: &str) -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::certificate(name))
}

fn parameters(name: &str, groups: &[&str], now: SystemTime, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    for group in groups {
        subject.push(DnType::OrganizationName, *group);
    }
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + lifetime).into();
    // The library's own choice follows from the key, and a renewal keeps the key: serials must differ.
    let mut serial = *uuid::Uuid::new_v4().as_bytes();
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}
