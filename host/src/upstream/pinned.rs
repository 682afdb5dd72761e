//! Backends that serve with a certificate that is itself pinned.

use super::verify::{Chains, verify_name};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Accepts a backend whose certificate is, byte for byte, one of `spec.caBundle`, as kube-aggregator does (contract
/// §2.8): what `openssl req -x509` makes is a CA and a server in one, which the rules for chains forbid. Its time, its
/// name and its purpose count all the same. Every other certificate is verified by the rules for chains.
#[derive(Debug)]
pub(super) struct PinnedOr {
    pinned: Vec<CertificateDer<'static>>,
    chains: Chains,
}

impl PinnedOr {
    pub(super) fn new(pinned: Vec<CertificateDer<'static>>, chains: Chains) -> Self {
        Self { pinned, chains }
    }
}

impl ServerCertVerifier for PinnedOr {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.pinned.iter().any(|pinned| pinned == end_entity) {
            return self.chains.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        check_time_and_purpose(end_entity, now)?;
        verify_name(end_entity, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

fn check_time_and_purpose(der: &[u8], now: UnixTime) -> Result<(), CertificateError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.validity();
    let (not_before, not_after) =
        (moment(validity.not_before.timestamp()), moment(validity.not_after.timestamp()));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before });
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after });
    }
    let usage = certificate.extended_key_usage().map_err(|_| CertificateError::BadEncoding)?;
    match usage {
        Some(usage) if !usage.value.server_auth && !usage.value.any => Err(CertificateError::InvalidPurpose),
        _ => Ok(()),
    }
}

/// Times before 1970 are as good as 1970.
fn moment(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::super::{BackendTls, FrontProxy, TlsSource, UpstreamFault};
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConnection, ServerConfig, ServerConnection};
    use std::io;
    use std::sync::Arc;

    const NAME: &str = "api.default.svc";

    /// As `openssl req -x509 -addext subjectAltName=DNS:api.default.svc` makes it.
    fn openssl_like() -> CertificateParams {
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn key_of(key: &KeyPair) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(key.serialize_der()).unwrap()
    }

    /// Whether a backend that shows `shown`, with `key`, is accepted under this `caBundle`.
    fn shake(bundle: &str, shown: &CertificateDer<'static>, key: &KeyPair) -> Result<(), String> {
        let front = rcgen::generate_simple_self_signed(["front".to_owned()]).unwrap();
        let front_proxy =
            FrontProxy { chain: vec![front.cert.der().clone()], key: key_of(&front.signing_key) };
        let tls = BackendTls::new(front_proxy, front.cert.pem().as_bytes()).unwrap();
        let (config, _) = tls.configs(&TlsSource::CaBundle(bundle.as_bytes().to_vec())).unwrap();
        // A key that does not belong to the certificate is a case to be tried, so rustls may not look.
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key_of(key)).unwrap();
        let certified = Arc::new(rustls::sign::CertifiedKey::new(vec![shown.clone()], signing));
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        let mut client = ClientConnection::new(config, ServerName::try_from(NAME).unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() {
            let mut sent = Vec::new();
            client.write_tls(&mut sent).unwrap();
            server.read_tls(&mut sent.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut answered = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut answered).unwrap();
            }
            client.read_tls(&mut answered.as_slice()).unwrap();
            client.process_new_packets().map_err(|error| {
                UpstreamFault::from_handshake(&io::Error::new(io::ErrorKind::InvalidData, error), NAME)
                    .to_string()
            })?;
        }
        Ok(())
    }

    fn self_signed(params: &CertificateParams) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap(), key)
    }

    #[test]
    fn a_pinned_certificate_that_is_a_ca_may_serve() {
        let (shown, key) = self_signed(&openssl_like());
        assert_eq!(shake(&shown.pem(), shown.der(), &key), Ok(()));
        // Among others, too.
        let (other, _) = self_signed(&openssl_like());
        assert_eq!(shake(&format!("{}{}", other.pem(), shown.pem()), shown.der(), &key), Ok(()));
    }

    #[test]
    fn its_time_name_purpose_and_key_count_all_the_same() {
        let refused = |params: &CertificateParams| {
            let (shown, key) = self_signed(params);
            shake(&shown.pem(), shown.der(), &key).unwrap_err()
        };
        let mut expired = openssl_like();
        expired.not_before = rcgen::date_time_ymd(2001, 1, 1);
        expired.not_after = rcgen::date_time_ymd(2002, 1, 1);
        assert!(refused(&expired).contains("it was valid until 2002-01-01T00:00:00Z"));
        let mut early = openssl_like();
        early.not_before = rcgen::date_time_ymd(4000, 1, 1);
        early.not_after = rcgen::date_time_ymd(4001, 1, 1);
        assert!(refused(&early).contains("it is valid from 4000-01-01T00:00:00Z"));
        let mut other_name = openssl_like();
        other_name.subject_alt_names =
            CertificateParams::new(["x.y.svc".to_owned()]).unwrap().subject_alt_names;
        assert!(refused(&other_name).contains("certificate is valid for x.y.svc, not api.default.svc"));
        let mut for_clients = openssl_like();
        for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        assert!(refused(&for_clients).contains("incompatible key usage"));

        let (shown, _) = self_signed(&openssl_like());
        let another_key = KeyPair::generate().unwrap();
        let refusal = shake(&shown.pem(), shown.der(), &another_key).unwrap_err();
        assert!(refusal.contains("a signature does not fit"), "{refusal}");
    }

    #[test]
    fn what_is_not_pinned_itself_goes_by_the_rules_for_chains() {
        let (pinned, pinned_key) = self_signed(&openssl_like());
        // The same name and the same key, and yet another certificate.
        let mut twin = openssl_like();
        twin.serial_number = Some(7.into());
        let twin = twin.self_signed(&pinned_key).unwrap();
        let refusal = shake(&pinned.pem(), twin.der(), &pinned_key).unwrap_err();
        assert!(refusal.contains("certificate is that of a CA"), "{refusal}");

        let (stranger, stranger_key) = self_signed(&CertificateParams::new([NAME.to_owned()]).unwrap());
        let refusal = shake(&pinned.pem(), stranger.der(), &stranger_key).unwrap_err();
        assert!(refusal.contains("signed by unknown authority"), "{refusal}");

        // A CA still signs for others.
        let issuer = Issuer::new(openssl_like(), &pinned_key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([NAME.to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
        assert_eq!(shake(&pinned.pem(), leaf.der(), &leaf_key), Ok(()));
    }

    #[test]
    fn a_certificate_is_valid_from_its_first_to_its_last_second() {
        let mut params = openssl_like();
        params.not_before = rcgen::date_time_ymd(2024, 1, 2);
        params.not_after = rcgen::date_time_ymd(2024, 1, 3);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let (first, last) = (params.not_before.unix_timestamp(), params.not_after.unix_timestamp());
        let check = |at: i64| check_time_and_purpose(certificate.der(), moment(at));
        assert!(matches!(check(first - 1), Err(CertificateError::NotValidYetContext { .. })));
        assert_eq!((check(first), check(last)), (Ok(()), Ok(())));
        assert!(matches!(check(last + 1), Err(CertificateError::ExpiredContext { .. })));
    }
}
