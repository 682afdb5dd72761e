//! Certificates for one test.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;

/// A certificate authority that signs anything.
pub struct Authority {
    pub pem: String,
    pub der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Leaf {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    pub fn new(name: &str) -> Result<Self> {
        Self::with_params(name, CertificateParams::default())
    }

    /// One whose certificate says twice that it is a CA: readable, and of no use for verifying.
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

    /// A serving certificate for these names, over `days` ago when `days` is negative.
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

    /// A client certificate.
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

    fn sign(&self, params: &CertificateParams) -> Result<Leaf> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        Ok(Leaf { chain: vec![certificate.der().clone()], key: der })
    }

    /// What a backend listens with.
    pub fn serve(&self, leaf: Leaf, alpn: &[&str]) -> Result<Arc<ServerConfig>> {
        let mut config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(leaf.chain, leaf.key)?;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// What a client calls with.
    pub fn call(&self, leaf: Option<Leaf>, alpn: &str) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match leaf {
            Some(leaf) => builder.with_client_auth_cert(leaf.chain, leaf.key)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Ok(Arc::new(config))
    }
}
