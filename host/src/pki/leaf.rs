//! Certificates with their keys on disk: loaded, checked, renewed.

use super::authority::{Authority, CA_RENEWAL, LEAF_RENEWAL, Purpose, new_key};
use super::inspect::{CertificateFacts, inspect};
use super::{Identity, PkiError, disk};
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How to mend a CA. Nothing of it can be made again without ending every credential that it signed.
const MEND_CA: &str = "restore the folder pki from a backup, or, to start over with new credentials, move \
                       pki, backend and admin.kubeconfig away";

/// Where a certificate and its key lie.
pub(super) struct Place<'a> {
    directory: &'a Path,
    stem: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn new(directory: &'a Path, stem: &'a str) -> Self {
        Self { directory, stem }
    }

    fn certificate(&self) -> PathBuf {
        self.directory.join(format!("{}.crt", self.stem))
    }

    fn key(&self) -> PathBuf {
        self.directory.join(format!("{}.key", self.stem))
    }

    fn mend_leaf(&self) -> String {
        format!("remove {0}.crt and {0}.key, then both are made again from the same CA", self.stem)
    }

    /// Makes an authority where there is none.
    pub(super) fn create_authority(&self, name: &str, now: SystemTime) -> Result<Authority, PkiError> {
        let key = new_key(name)?;
        let certificate = Authority::certificate(name, &key, now)?;
        disk::write(&self.key(), key.serialize_pem().as_bytes())?;
        disk::write(&self.certificate(), certificate.pem().as_bytes())?;
        Authority::new(certificate.pem(), certificate.der().to_vec(), key)
    }

    /// Loads an authority; renews its certificate when it comes close to expiry.
    pub(super) fn load_authority(
        &self,
        name: &str,
        now: SystemTime,
        notices: &mut Vec<String>,
    ) -> Result<Authority, PkiError> {
        let Some(found) = self.load(MEND_CA, notices)? else {
            return Err(damaged(self.certificate(), "is missing, and so is its key", MEND_CA));
        };
        if !found.facts.is_ca {
            return Err(damaged(self.certificate(), "is no CA certificate", MEND_CA));
        }
        let Some(why) = reason_to_renew(&found.facts, now, CA_RENEWAL) else {
            return Authority::new(found.pem, found.der, found.key);
        };
        // With the same name and key, certificates that it signed are valid under the new certificate as well, and a
        // peer that has the old one verifies new leaves with it.
        let renewed = Authority::certificate(name, &found.key, now)?;
        disk::write(&self.certificate(), renewed.pem().as_bytes())?;
        notices.push(format!(
            "{} {why} and is renewed with the same key; copies of the old one should be replaced",
            self.certificate().display()
        ));
        Authority::new(renewed.pem(), renewed.der().to_vec(), found.key)
    }

    /// Loads a leaf certificate, or makes it; renews it when it comes close to expiry or its names changed.
    pub(super) fn ensure_leaf(
        &self,
        authority: &Authority,
        name: &str,
        purpose: &Purpose,
        now: SystemTime,
        notices: &mut Vec<String>,
    ) -> Result<Leaf, PkiError> {
        let Some(found) = self.load_leaf(notices)? else {
            let key = self.unfinished_key(name)?;
            return self.sign(authority, name, purpose, &key, now);
        };
        let authority_id = inspect(&authority.certificate_der).ok().and_then(|facts| facts.key_id);
        if found.facts.signer_id != authority_id {
            return Err(damaged(self.certificate(), "was signed by another CA", &self.mend_leaf()));
        }
        let changed = match purpose {
            Purpose::Serve(names) => *names != found.facts.names,
            Purpose::Call(_) => false,
        };
        let why = match (changed, reason_to_renew(&found.facts, now, LEAF_RENEWAL)) {
            (false, None) => return Leaf::new(found.pem, &found.key, self),
            (true, _) => "its names changed".to_owned(),
            (false, Some(why)) => format!("it {why}"),
        };
        notices.push(format!("{} is issued again: {why}", self.certificate().display()));
        self.sign(authority, name, purpose, &found.key, now)
    }

    /// `None` when there is no certificate yet.
    fn load_leaf(&self, notices: &mut Vec<String>) -> Result<Option<Found>, PkiError> {
        if !self.certificate().exists() {
            return Ok(None);
        }
        self.load(&self.mend_leaf(), notices)
    }

    /// The key that waits for its certificate: a new one, or the one that was written when the process ended
    /// before it wrote the certificate.
    fn unfinished_key(&self, name: &str) -> Result<KeyPair, PkiError> {
        if let Some(found) = disk::read(&self.key())? {
            disk::tighten(&self.key(), disk::FILE_MODE)?;
            return self.parse_key(&found, &self.mend_leaf());
        }
        let key = new_key(name)?;
        disk::write(&self.key(), key.serialize_pem().as_bytes())?;
        Ok(key)
    }

    fn parse_key(&self, pem: &str, mend: &str) -> Result<KeyPair, PkiError> {
        let unusable = |error| damaged(self.key(), format!("holds no usable private key ({error})"), mend);
        KeyPair::from_pem(pem).map_err(unusable)
    }

    fn sign(
        &self,
        authority: &Authority,
        name: &str,
        purpose: &Purpose,
        key: &KeyPair,
        now: SystemTime,
    ) -> Result<Leaf, PkiError> {
        let certificate = authority.sign(name, purpose, key, now)?;
        disk::write(&self.certificate(), certificate.pem().as_bytes())?;
        Leaf::new(certificate.pem(), key, self)
    }

    /// `None` when neither file is there.
    fn load(&self, mend: &str, notices: &mut Vec<String>) -> Result<Option<Found>, PkiError> {
        let (certificate_path, key_path) = (self.certificate(), self.key());
        let (pem, key) = match (disk::read(&certificate_path)?, disk::read(&key_path)?) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return Err(damaged(key_path, "is missing while its certificate is there", mend));
            }
            (None, Some(_)) => {
                return Err(damaged(certificate_path, "is missing while its key is there", mend));
            }
        };
        for path in [&certificate_path, &key_path] {
            notices.extend(disk::tighten(path, disk::FILE_MODE)?);
        }
        let key = self.parse_key(&key, mend)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| damaged(&certificate_path, format!("holds no certificate ({error})"), mend))?;
        let facts = inspect(&der).map_err(|what| damaged(&certificate_path, what, mend))?;
        if facts.public_key != key.der_bytes() {
            return Err(damaged(certificate_path, "does not belong to the key beside it", mend));
        }
        Ok(Some(Found { der: der.to_vec(), pem, key, facts }))
    }
}

/// A loaded pair.
struct Found {
    pem: String,
    der: Vec<u8>,
    key: KeyPair,
    facts: CertificateFacts,
}

/// A leaf certificate with its key, in the forms that files and TLS want.
pub(super) struct Leaf {
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
    pub(super) identity: Identity,
}

impl Leaf {
    fn new(certificate_pem: String, key: &KeyPair, place: &Place<'_>) -> Result<Self, PkiError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|error| damaged(place.certificate(), error.to_string(), &place.mend_leaf()))?;
        let key_der = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| damaged(place.key(), error, &place.mend_leaf()))?;
        let identity = Identity { chain: vec![certificate], key: key_der };
        Ok(Self { certificate_pem, key_pem: key.serialize_pem(), identity })
    }
}

/// Umbel did not exist before 2026-01-01. An earlier time means that the clock has not been set yet, as on a machine
/// without a battery. Every certificate would seem to come from the future then, so none is renewed.
const EARLIEST_CLOCK: Duration = Duration::from_secs(1_767_225_600);

/// Why a certificate must be renewed, for example because it was made while the clock was ahead; `None` when it is
/// good.
fn reason_to_renew(facts: &CertificateFacts, now: SystemTime, margin: Duration) -> Option<&'static str> {
    if now < SystemTime::UNIX_EPOCH + EARLIEST_CLOCK {
        return None;
    }
    if facts.not_before > now {
        return Some("was not valid yet, because the clock was ahead when it was made");
    }
    (now + margin >= facts.not_after).then_some("was close to expiry")
}

fn damaged(path: impl Into<PathBuf>, what: impl Into<String>, mend: &str) -> PkiError {
    PkiError::Damaged { path: path.into(), what: what.into(), mend: mend.to_owned() }
}
