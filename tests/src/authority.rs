//! Certificates for one test.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, SigningKey as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

/// A certificate authority that signs anything.
pub struct Authority {
    /// Its certificate, for configuration files.
    pub pem: String,
    /// The same.
    pub der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Leaf {
    /// Nothing but itself.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When there can be no key.
    pub fn new(name: &str) -> Result<Self> {
        Self::with_params(name, CertificateParams::default())
    }

    /// One whose certificate says twice that it is a CA: readable, and of no use for verifying.
    ///
    /// # Errors
    /// When there can be no key.
    pub fn contradictory(name: &str) -> Result<Self> {
        let basic_constraints = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 3, 1, 1, 0xff]);
        let mut params = CertificateParams::default();
        params.custom_extensions = vec![basic_constraints];
        Self::with_params(name, params)
    }

    fn with_params(name: &str, mut params: CertificateParams) -> Result<Self> {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Ok(Self { pem, der, issuer: Issuer::new(params, key) })
    }

    /// A serving certificate for these names, one that is long over when `is_expired`.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn server(&self, names: &[&str], is_expired: bool) -> Result<Leaf> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if is_expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        self.sign(&params)
    }

    /// The same certificate as `openssl x509 -req` makes it without `-extfile`: of version 1, without extensions.
    pub fn to_version_1(&self, leaf: Leaf) -> Result<Leaf> {
        let der = leaf.chain.first().context("a certificate")?;
        let certificate = DerValue::read(der)?;
        let tbs = DerValue::read(certificate.content)?;
        let algorithm = DerValue::read(tbs.rest)?;
        let (mut fields, mut rest) = (Vec::new(), tbs.content);
        while !rest.is_empty() {
            let field = DerValue::read(rest)?;
            // `[0]` is the version, which is 1 where it is left out, `[3]` the extensions.
            if !matches!(field.whole[0], 0xa0 | 0xa3) {
                fields.extend_from_slice(field.whole);
            }
            rest = field.rest;
        }
        let tbs = der_value(0x30, &fields)?;
        let signature = [vec![0], self.issuer.key().sign(&tbs)?].concat();
        let parts = [tbs, algorithm.whole.to_vec(), der_value(0x03, &signature)?].concat();
        Ok(Leaf { chain: vec![der_value(0x30, &parts)?.into()], key: leaf.key })
    }

    /// A client certificate.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Leaf> {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        self.sign(&params)
    }

    /// A certificate for anything.
    ///
    /// # Errors
    /// When there can be no key.
    pub fn sign(&self, params: &CertificateParams) -> Result<Leaf> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        Ok(Leaf { chain: vec![certificate.der().clone()], key: der })
    }

    /// What a backend listens with.
    ///
    /// # Errors
    /// When key and certificate do not fit.
    pub fn serve(&self, leaf: Leaf, alpn: &[&str]) -> Result<Arc<ServerConfig>> {
        // Verifies nothing in the certificate, because tests try invalid ones, too.
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&leaf.key)?;
        let shown = SingleCertAndKey::from(CertifiedKey::new(leaf.chain, key));
        let builder = ServerConfig::builder().with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// What a client calls with.
    ///
    /// # Errors
    /// When key and certificate do not fit.
    pub fn call(&self, leaf: Option<Leaf>, alpn: &str) -> Result<Arc<ClientConfig>> {
        self.call_by(rustls::ALL_VERSIONS, leaf, alpn)
    }

    /// The same with these versions of TLS.
    pub fn call_by(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        leaf: Option<Leaf>,
        alpn: &str,
    ) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let builder = ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots);
        let mut config = match leaf {
            Some(Leaf { chain, key }) => {
                // Looks at nothing in the certificate: bad ones are to be tried too.
                let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)?;
                let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Ok(Arc::new(config))
    }
}

/// One value of DER and what follows it.
struct DerValue<'a> {
    whole: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> DerValue<'a> {
    fn read(der: &'a [u8]) -> Result<Self> {
        let first = usize::from(*der.get(1).context("a length")?);
        let further = if first < 0x80 { 0 } else { first & 0x7f };
        let start = 2 + further;
        let bytes = der.get(2..start).context("a long length")?;
        let long = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        let end = start + if further == 0 { first } else { long };
        let whole = der.get(..end).context("a whole value")?;
        Ok(Self { whole, content: &whole[start..], rest: &der[end..] })
    }
}

/// A value of DER.
fn der_value(tag: u8, content: &[u8]) -> Result<Vec<u8>> {
    let length = match content.len() {
        short @ 0..0x80 => vec![u8::try_from(short)?],
        middle @ 0x80..0x100 => vec![0x81, u8::try_from(middle)?],
        long => [vec![0x82], u16::try_from(long)?.to_be_bytes().to_vec()].concat(),
    };
    Ok([vec![tag], length, content.to_vec()].concat())
}
