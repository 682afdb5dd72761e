//! The folder `pki/`: made whole on first start, loaded and looked after later.

use super::authority::{Authority, Purpose};
use super::credentials::{Credentials, Identity};
use super::kit::{FRONT_PROXY_NAME, Kit};
use super::kubeconfig::Entry;
use super::leaf::{Leaf, Place};
use super::names::serving_names;
use super::{PkiError, disk, inspect};
use crate::model::identity::MASTERS;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const CA: (&str, &str) = ("ca", "umbel-ca");
const CLIENT_CA: (&str, &str) = ("client-ca", "umbel-client-ca");
const FRONT_PROXY_CA: (&str, &str) = ("front-proxy-ca", "umbel-front-proxy-ca");
/// The group of backends that call Umbel. It may do nothing yet.
pub(super) const BACKENDS: &str = "umbel:backends";
/// What a data directory may hold; one of these marks it as Umbel's.
const OWN_ENTRIES: [&str; 6] = ["pki", "backend", "admin.kubeconfig", "plugins", "manifests", "store"];

/// What certificates are asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `--data-dir`.
    pub data_dir: &'a Path,
    /// The address of `--listen`.
    pub listen: IpAddr,
    /// `--advertise-host`.
    pub advertise_hosts: &'a [String],
    /// This machine's name, see [`super::host_name`].
    pub host_name: Option<String>,
    /// `--tls-cert-file` and `--tls-private-key-file`.
    pub tls_files: Option<(&'a Path, &'a Path)>,
    /// The time.
    pub now: SystemTime,
}

/// The three authorities of a data directory.
pub(super) struct Authorities {
    pub(super) ca: Authority,
    pub(super) client_ca: Authority,
    pub(super) front_proxy_ca: Authority,
}

/// Makes all certificates on first start; later loads them and changes nothing that is still good.
///
/// Safe to call again at any time: leaf certificates close to expiry are renewed.
///
/// # Errors
/// When the disk refuses or a file is damaged; a damaged file is left as it is.
pub fn ensure(request: &Request<'_>) -> Result<Credentials, PkiError> {
    let mut notices = Vec::new();
    let authorities = ensure_authorities(request.data_dir, request.now, &mut notices)?;
    let pki = request.data_dir.join("pki");
    let mut leaf = |authority: &Authority, stem: &str, name: &str, purpose: Purpose| {
        Place::new(&pki, stem).ensure_leaf(authority, name, &purpose, request.now, &mut notices)
    };
    let names = serving_names(request.listen, request.host_name.as_deref(), request.advertise_hosts);
    let serving = leaf(&authorities.ca, "serving", "umbel", Purpose::Serve(names))?;
    let admin = leaf(&authorities.client_ca, "admin", "umbel-admin", Purpose::Call(vec![MASTERS]))?;
    let backend =
        leaf(&authorities.client_ca, "backend-client", "umbel:backend", Purpose::Call(vec![BACKENDS]))?;
    let front_proxy =
        leaf(&authorities.front_proxy_ca, "front-proxy-client", FRONT_PROXY_NAME, Purpose::Call(Vec::new()))?;
    let (serving, ca_pem, tls_server_name) = match request.tls_files {
        None => (serving.identity, authorities.ca.certificate_pem.clone(), None),
        Some(files) => given_identity(files, request.listen, &authorities.ca.certificate_pem)?,
    };
    let entry = |leaf: Leaf| Entry {
        ca_pem: ca_pem.clone(),
        tls_server_name: tls_server_name.clone(),
        certificate_pem: leaf.certificate_pem,
        key_pem: leaf.key_pem,
    };
    Ok(Credentials {
        serving,
        front_proxy: front_proxy.identity,
        admin: entry(admin),
        kit: Kit {
            client_ca_pem: authorities.client_ca.certificate_pem.clone(),
            front_proxy_ca_pem: authorities.front_proxy_ca.certificate_pem,
            entry: entry(backend),
        },
        client_ca_pem: authorities.client_ca.certificate_pem,
        ca_pem: authorities.ca.certificate_pem,
        notices,
        data_dir: request.data_dir.to_owned(),
        advertised: request.advertise_hosts.first().cloned(),
    })
}

/// Makes the authorities where there is no folder `pki` yet, else loads them.
pub(super) fn ensure_authorities(
    data_dir: &Path,
    now: SystemTime,
    notices: &mut Vec<String>,
) -> Result<Authorities, PkiError> {
    prepare_data_dir(data_dir, notices)?;
    let pki = data_dir.join("pki");
    if !pki.exists() {
        create(data_dir, &pki, now)?;
    }
    notices.extend(disk::tighten(&pki, disk::DIRECTORY_MODE)?);
    let mut load = |(stem, name)| Place::new(&pki, stem).load_authority(name, now, notices);
    Ok(Authorities { ca: load(CA)?, client_ca: load(CLIENT_CA)?, front_proxy_ca: load(FRONT_PROXY_CA)? })
}

/// Makes `pki` beside its place and renames it, so that a crash leaves all of it or nothing.
fn create(data_dir: &Path, pki: &Path, now: SystemTime) -> Result<(), PkiError> {
    for made_from_it in ["admin.kubeconfig", "backend"] {
        if data_dir.join(made_from_it).exists() {
            return Err(PkiError::Damaged {
                path: pki.to_owned(),
                what: format!("is missing while {made_from_it}, which was made from it, is there"),
                mend: "restore the folder pki from a backup, or, to start over with new credentials, move \
                       backend and admin.kubeconfig away"
                    .to_owned(),
            });
        }
    }
    let unfinished = tempfile::Builder::new()
        .prefix(".pki-")
        .tempdir_in(data_dir)
        .map_err(PkiError::io("cannot make a directory in", data_dir))?;
    for (stem, name) in [CA, CLIENT_CA, FRONT_PROXY_CA] {
        Place::new(unfinished.path(), stem).create_authority(name, now)?;
    }
    match fs::rename(unfinished.path(), pki) {
        Ok(()) => disk::sync_directory(data_dir).map_err(PkiError::io("cannot write", data_dir)),
        // Another process was faster; its folder is as good, and it is complete.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) => Err(PkiError::io("cannot make", pki)(error)),
    }
}

fn prepare_data_dir(data_dir: &Path, notices: &mut Vec<String>) -> Result<(), PkiError> {
    disk::make_directory(data_dir)?;
    let entries = fs::read_dir(data_dir).map_err(PkiError::io("cannot read", data_dir))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(PkiError::io("cannot read", data_dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    let is_own = |name: &String| {
        OWN_ENTRIES.contains(&name.as_str()) || name.starts_with(".pki-") || name.ends_with(".redb")
    };
    if !names.is_empty() && !names.iter().any(is_own) {
        return Err(PkiError::ForeignDirectory(data_dir.to_owned()));
    }
    notices.extend(disk::tighten(data_dir, disk::DIRECTORY_MODE)?);
    Ok(())
}

/// The identity of `--tls-cert-file`, the certificates that clients verify it against, and the name to verify
/// when it does not have the address.
fn given_identity(
    (certificate, key): (&Path, &Path),
    listen: IpAddr,
    own_ca: &str,
) -> Result<(Identity, String, Option<String>), PkiError> {
    let damaged = |path: &Path, what: String| PkiError::Damaged {
        path: PathBuf::from(path),
        what,
        mend: "give --tls-cert-file and --tls-private-key-file a PEM certificate chain and its key"
            .to_owned(),
    };
    let pem = fs::read_to_string(certificate).map_err(PkiError::io("cannot read", certificate))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| damaged(certificate, error.to_string()))?;
    let leaf = chain.first().ok_or_else(|| damaged(certificate, "holds no certificate".to_owned()))?;
    let names = inspect::inspect(leaf).map_err(|what| damaged(certificate, what))?.names;
    let server_name = if names.contains(&listen.to_string()) { None } else { names.first().cloned() };
    let key_pem = fs::read(key).map_err(PkiError::io("cannot read", key))?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| damaged(key, error.to_string()))?;
    Ok((Identity { chain, key }, format!("{pem}\n{own_ca}"), server_name))
}
