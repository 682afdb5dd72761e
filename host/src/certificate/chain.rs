//! Verifying a certificate chain as Go does in the cases in which webpki is stricter.

use super::policies::without_critical_policies;
use rustls::RootCertStore;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime,
};
use std::borrow::Cow;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};
use x509_parser::asn1_rs::{Any, FromDer};

/// The role of the peer that presents a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// By a server.
    Server,
    /// By a client.
    Client,
}

impl Purpose {
    fn key_usage(self) -> webpki::KeyUsage {
        match self {
            Self::Server => webpki::KeyUsage::server_auth(),
            Self::Client => webpki::KeyUsage::client_auth(),
        }
    }
}

/// `anyExtendedKeyUsage`, 2.5.29.37.0.
const ANY_USAGE: &[usize] = &[2, 5, 29, 37, 0];

impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let wanted: Vec<usize> = self.key_usage().oid_values().collect();
        let mut is_limited = false;
        for purpose in purposes {
            is_limited = true;
            let purpose = purpose?.to_decoded_oid();
            if purpose == wanted || purpose == ANY_USAGE {
                return Ok(());
            }
        }
        if is_limited {
            let required = self.key_usage();
            let context = webpki::RequiredEkuNotFoundContext { required, present: Vec::new() };
            return Err(webpki::Error::RequiredEkuNotFoundContext(context));
        }
        Ok(())
    }
}

/// Verifies that `leaf` may be used for `purpose` under one of `roots`. webpki verifies signatures, times,
/// constraints and usages; in addition, any extended key usage counts as the required one, and critical policies are
/// ignored.
///
/// # Errors
/// The error of webpki.
pub fn verify_chain(
    roots: &RootCertStore,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    purpose: Purpose,
) -> Result<(), webpki::Error> {
    let leaf = Relaxed::new(leaf);
    let intermediates: Vec<Relaxed<'_>> = intermediates.iter().map(Relaxed::new).collect();
    let originals: Vec<Original<'_>> =
        intermediates.iter().chain([&leaf]).filter_map(Relaxed::original).collect();
    let restoring: Vec<Restoring<'_>> = algorithms
        .iter()
        .map(|algorithm| Restoring { algorithm: *algorithm, originals: &originals })
        .collect();
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> =
        restoring.iter().map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm).collect();
    let shown: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|one| CertificateDer::from(one.shown.as_ref())).collect();
    let leaf = CertificateDer::from(leaf.shown.as_ref());
    let leaf = EndEntityCert::try_from(&leaf)?;
    leaf.verify_for_usage(&algorithms, &roots.roots, &shown, now, purpose, None, None).map(drop)
}

/// A certificate in the form that webpki reads.
struct Relaxed<'a> {
    original: &'a [u8],
    shown: Cow<'a, [u8]>,
}

impl<'a> Relaxed<'a> {
    fn new(original: &'a CertificateDer<'_>) -> Self {
        let shown = without_critical_policies(original)
            .map_or(Cow::Borrowed(original.as_ref()), |relaxed| Cow::Owned(relaxed.to_vec()));
        Self { original, shown }
    }

    /// The signed original of a certificate that was modified for webpki.
    fn original(&self) -> Option<Original<'_>> {
        let Cow::Owned(shown) = &self.shown else { return None };
        Some(Original { shown: to_be_signed(shown)?, signed: to_be_signed(self.original)? })
    }
}

/// The part of a certificate that is signed.
fn to_be_signed(der: &[u8]) -> Option<&[u8]> {
    let (_, certificate) = Any::from_der(der).ok()?;
    let (rest, _) = Any::from_der(certificate.data).ok()?;
    certificate.data.get(..certificate.data.len() - rest.len())
}

#[derive(Debug)]
struct Original<'a> {
    shown: &'a [u8],
    signed: &'a [u8],
}

/// Verifies signatures over the original certificate, not over the modified one that webpki reads.
#[derive(Debug)]
struct Restoring<'a> {
    algorithm: &'a dyn SignatureVerificationAlgorithm,
    originals: &'a [Original<'a>],
}

impl SignatureVerificationAlgorithm for Restoring<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let original = self.originals.iter().find(|original| original.shown == message);
        let message = original.map_or(message, |original| original.signed);
        self.algorithm.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, Certificate, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
        Issuer, KeyPair,
    };
    use std::time::{Duration, SystemTime};

    /// `certificatePolicies` with one policy.
    fn critical_policies() -> CustomExtension {
        let value = vec![0x30, 0x08, 0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00];
        critical(&[2, 5, 29, 32], value)
    }

    fn critical(oid: &[u64], value: Vec<u8>) -> CustomExtension {
        let mut extension = CustomExtension::from_oid_content(oid, value);
        extension.set_criticality(true);
        extension
    }

    fn ca_params(extensions: Vec<CustomExtension>) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.custom_extensions = extensions;
        params
    }

    struct Ca {
        certificate: Certificate,
        issuer: Issuer<'static, KeyPair>,
    }

    fn root() -> Ca {
        let key = KeyPair::generate().unwrap();
        let params = ca_params(Vec::new());
        Ca { certificate: params.self_signed(&key).unwrap(), issuer: Issuer::new(params, key) }
    }

    impl Ca {
        fn intermediate(&self, mut params: CertificateParams) -> Self {
            params.distinguished_name.push(rcgen::DnType::CommonName, "intermediate");
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            Self { certificate, issuer: Issuer::new(params, key) }
        }

        fn leaf(
            &self,
            usages: &[ExtendedKeyUsagePurpose],
            extensions: Vec<CustomExtension>,
        ) -> CertificateDer<'static> {
            let mut params = CertificateParams::new(["a.b".to_owned()]).unwrap();
            params.extended_key_usages = usages.to_vec();
            params.custom_extensions = extensions;
            params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
        }
    }

    fn verify(
        root: &Ca,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        purpose: Purpose,
    ) -> Result<(), webpki::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root.certificate.der().clone()).unwrap();
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
        let now = UnixTime::since_unix_epoch(now);
        verify_chain(&roots, algorithms.all, leaf, intermediates, now, purpose)
    }

    #[test]
    fn any_usage_is_every_usage() {
        use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
        let root = root();
        let cases: [(&[ExtendedKeyUsagePurpose], bool, bool); 6] = [
            (&[], true, true),
            (&[Any], true, true),
            (&[CodeSigning, Any], true, true),
            (&[ServerAuth], true, false),
            (&[ClientAuth], false, true),
            (&[CodeSigning], false, false),
        ];
        for (usages, server, client) in cases {
            let leaf = root.leaf(usages, Vec::new());
            assert_eq!(verify(&root, &leaf, &[], Purpose::Server).is_ok(), server, "{usages:?}");
            assert_eq!(verify(&root, &leaf, &[], Purpose::Client).is_ok(), client, "{usages:?}");
        }
    }

    #[test]
    fn critical_policies_are_ignored_in_leaf_and_intermediate() {
        let root = root();
        let intermediate = root.intermediate(ca_params(vec![critical_policies()]));
        let chain = [intermediate.certificate.der().clone()];
        let leaf = intermediate.leaf(&[], vec![critical_policies()]);
        assert_eq!(verify(&root, &leaf, &chain, Purpose::Server), Ok(()));
        assert_eq!(verify(&root, &leaf, &chain, Purpose::Client), Ok(()));
        assert!(verify(&root, &leaf, &[], Purpose::Server).is_err(), "without its issuer");
    }

    #[test]
    fn other_critical_extensions_still_count() {
        let root = root();
        let constraints = critical(&[2, 5, 29, 36], vec![0x30, 0x03, 0x80, 0x01, 0x00]);
        let unknown = critical(&[1, 2, 3, 4], vec![0x05, 0x00]);
        for extension in [constraints, unknown] {
            let leaf = root.leaf(&[], vec![critical_policies(), extension]);
            let refused = verify(&root, &leaf, &[], Purpose::Server).unwrap_err();
            assert_eq!(refused, webpki::Error::UnsupportedCriticalExtension);
        }
    }

    #[test]
    fn a_signature_counts_for_what_was_signed() {
        let (root, stranger) = (root(), root());
        let foreign = stranger.leaf(&[], vec![critical_policies()]);
        assert!(verify(&root, &foreign, &[], Purpose::Server).is_err());
        let leaf = root.leaf(&[], vec![critical_policies()]);
        // The modified certificate for webpki does not match its signature, so a peer must not be able to present it.
        let relaxed = without_critical_policies(&leaf).unwrap();
        assert!(verify(&root, &relaxed, &[], Purpose::Server).is_err());
        for index in (0..leaf.len()).step_by(7) {
            let mut altered = leaf.to_vec();
            altered[index] ^= 1;
            let outcome = verify(&root, &altered.into(), &[], Purpose::Server);
            assert!(outcome.is_err(), "byte {index}");
        }
    }
}
