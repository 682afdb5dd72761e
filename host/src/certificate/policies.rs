//! Certificates whose policies are marked critical.

use rustls::pki_types::CertificateDer;
use x509_parser::oid_registry::OID_X509_EXT_CERTIFICATE_POLICIES;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A DER `BOOLEAN TRUE`.
const TRUE: [u8; 3] = [1, 1, 0xff];

/// Returns the certificate with its policies marked as not critical; `None` if they are not critical. The result is
/// as long as the original: one byte differs, so its signature no longer matches, and the verifier of the signature
/// has to restore the original.
///
/// webpki rejects every critical extension that it does not process. Policies are safe to ignore, as Go does without
/// `VerifyOptions.CertificatePolicies`: they only describe the rules under which the certificate was issued. The
/// related constraints (`policyConstraints`, `inhibitAnyPolicy`, `policyMappings`) are not ignored, because they
/// limit the use of a chain.
pub fn without_critical_policies(der: &CertificateDer<'_>) -> Option<CertificateDer<'static>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let policies = certificate
        .extensions()
        .iter()
        .find(|extension| extension.critical && extension.oid == OID_X509_EXT_CERTIFICATE_POLICIES)?;
    // `critical` comes before the header of the octet string that holds the value.
    let value = (policies.value.as_ptr() as usize).checked_sub(der.as_ptr() as usize)?;
    let end = value.checked_sub(header_length(policies.value.len())?)?;
    let start = end.checked_sub(TRUE.len())?;
    if der.get(start..end)? != TRUE {
        return None;
    }
    let mut relaxed = der.to_vec();
    *relaxed.get_mut(end - 1)? = 0;
    Some(relaxed.into())
}

/// The length of the header of a DER value whose content has this length.
fn header_length(content: usize) -> Option<usize> {
    match content {
        0..0x80 => Some(2),
        0x80..0x100 => Some(3),
        0x100..0x1_0000 => Some(4),
        _ => None,
    }
}
