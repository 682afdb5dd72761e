//! The folder `pki/`: made whole on first start, loaded and looked after later.

use super::authority::{Authority, Purpose};
use super::credentials::{Credentials, Identity, called_host};
use super::kit::Kit;
use super::kubeconfig::Entry;
use super::leaf::{Leaf, Place};
use super::names::{name_to_verify, serving_names};
use super::{PkiError, disk, inspect};
use crate::model::identity::{FRONT_PROXY_NAME, MASTERS};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const CA: (&str, &str) = ("ca", "umbel-ca");
const CLIENT_CA: (&str, &str) = ("client-ca", "umbel-client-ca");
const FRONT_PROXY_CA: (&str, &str) = ("front-proxy-ca", "umbel-front-proxy-ca");
/// The administrator: the common name of the certificate and the user in the kubeconfig.
const ADMIN: &str = "umbel-admin";
/// The user in the kubeconfig of a backend.
pub(super) const BACKEND_USER: &str = "umbel-backend";
/// The group of backends that call Umbel. It may do nothing yet.
pub(super) const BACKENDS: &str = "umbel:backends";
/// One of these marks a data directory as Umbel's.
const MARKS: [&str; 3] = ["pki", "store", "admin.kubeconfig"];
/// What an unmarked directory may hold: a new volume's folder, and what is laid there for the first start.
const NO_STRANGERS: [&str; 7] =
    ["lost+found", "plugins", "plugin-cache", "plugin-state", "manifests", "backend", LOCK_FILE];
/// Held while anything in `pki` may be made or renewed.
const LOCK_FILE: &str = "pki.lock";

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
    let _locked = lock(request.data_dir, &mut notices)?;
    let authorities = ensure_authorities(request.data_dir, request.now, &mut notices)?;
    let pki = request.data_dir.join("pki");
    let mut leaf = |authority: &Authority, stem: &str, name: &str, purpose: Purpose| {
        Place::new(&pki, stem).ensure_leaf(authority, name, &purpose, request.now, &mut notices)
    };
    let names = serving_names(request.listen, request.host_name.as_deref(), request.advertise_hosts);
    let serving = leaf(&authorities.ca, "serving", "umbel", Purpose::Serve(names))?;
    let admin = leaf(&authorities.client_ca, "admin", ADMIN, Purpose::Call(vec![MASTERS]))?;
    let backend =
        leaf(&authorities.client_ca, "backend-client", "umbel:backend", Purpose::Call(vec![BACKENDS]))?;
    let front_proxy =
        leaf(&authorities.front_proxy_ca, "front-proxy-client", FRONT_PROXY_NAME, Purpose::Call(Vec::new()))?;
    let (serving, ca_pem, tls_server_name) = match request.tls_files {
        None => (serving.identity, authorities.ca.certificate_pem.clone(), None),
        Some(files) => {
            let host = called_host(request.listen, request.advertise_hosts.first().map(String::as_str));
            given_identity(files, &host, &authorities.ca.certificate_pem)?
        }
    };
    let entry = |user: &'static str, leaf: Leaf| Entry {
        user,
        ca_pem: ca_pem.clone(),
        tls_server_name: tls_server_name.clone(),
        certificate_pem: leaf.certificate_pem,
        key_pem: leaf.key_pem,
    };
    Ok(Credentials {
        serving,
        front_proxy: front_proxy.identity,
        admin: entry(ADMIN, admin),
        kit: Kit {
            client_ca_pem: authorities.client_ca.certificate_pem.clone(),
            front_proxy_ca_pem: authorities.front_proxy_ca.certificate_pem,
            entry: entry(BACKEND_USER, backend),
        },
        client_ca_pem: authorities.client_ca.certificate_pem,
        ca_pem: authorities.ca.certificate_pem,
        notices,
        data_dir: request.data_dir.to_owned(),
        advertised: request.advertise_hosts.first().cloned(),
    })
}

/// Under [`lock`], makes the authorities where there is no folder `pki` yet, else loads them.
pub(super) fn ensure_authorities(
    data_dir: &Path,
    now: SystemTime,
    notices: &mut Vec<String>,
) -> Result<Authorities, PkiError> {
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
        .permissions(fs::Permissions::from_mode(disk::DIRECTORY_MODE))
        .tempdir_in(data_dir)
        .map_err(PkiError::io("cannot make a directory in", data_dir))?;
    for (stem, name) in [CA, CLIENT_CA, FRONT_PROXY_CA] {
        Place::new(unfinished.path(), stem).create_authority(name, now)?;
    }
    match fs::rename(unfinished.path(), pki) {
        Ok(()) => disk::sync_directory(data_dir).map_err(PkiError::io("cannot write", data_dir)),
        Err(error) => Err(PkiError::io("cannot make", pki)(error)),
    }
}

/// Takes the folder `pki` for this process, after all checks of the data directory around it; waits while another
/// process makes or renews certificates. It is free again when the file is dropped.
pub(super) fn lock(data_dir: &Path, notices: &mut Vec<String>) -> Result<File, PkiError> {
    refuse_foreign_directory(data_dir)?;
    disk::make_directory(data_dir)?;
    let mut entries = fs::read_dir(data_dir).map_err(PkiError::io("cannot read", data_dir))?;
    if entries.next().is_none() || MARKS.iter().any(|name| data_dir.join(name).exists()) {
        notices.extend(disk::tighten(data_dir, disk::DIRECTORY_MODE)?);
    }
    let path = data_dir.join(LOCK_FILE);
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).mode(disk::FILE_MODE).open(&path);
    let file = file.map_err(PkiError::io("cannot open", &path))?;
    file.lock().map_err(PkiError::io("cannot lock", &path))?;
    Ok(file)
}

/// Refuses a directory that holds something and nothing of Umbel's. Writes nothing; a directory that is not there
/// is fine.
///
/// # Errors
/// [`PkiError::ForeignDirectory`], or when the directory cannot be read.
pub fn refuse_foreign_directory(data_dir: &Path) -> Result<(), PkiError> {
    let unreadable = || PkiError::io("cannot read", data_dir);
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable()(error)),
    };
    let mut has_stranger = false;
    for entry in entries {
        let name = entry.map_err(unreadable())?.file_name().to_string_lossy().into_owned();
        if MARKS.contains(&name.as_str()) {
            return Ok(());
        }
        has_stranger |= !NO_STRANGERS.contains(&name.as_str()) && !name.starts_with(".pki-");
    }
    if has_stranger { Err(PkiError::ForeignDirectory(data_dir.to_owned())) } else { Ok(()) }
}

/// The identity of `--tls-cert-file`, the certificates that clients verify it against, and the name to verify
/// when it does not have the host that they call.
fn given_identity(
    (certificate, key): (&Path, &Path),
    host: &str,
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
    let server_name = name_to_verify(&names, host);
    let key_pem = fs::read(key).map_err(PkiError::io("cannot read", key))?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| damaged(key, error.to_string()))?;
    Ok((Identity { chain, key }, format!("{pem}\n{own_ca}"), server_name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::authority::{CA_LIFETIME, LEAF_LIFETIME};
    use crate::pki::kubeconfig;
    use std::collections::BTreeMap;
    use std::time::Duration;
    use tempfile::TempDir;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn request(data_dir: &Path, now: SystemTime) -> Request<'_> {
        Request {
            data_dir,
            listen: "127.0.0.1".parse().unwrap(),
            advertise_hosts: &[],
            host_name: Some("box".to_owned()),
            tls_files: None,
            now,
        }
    }

    fn start(data_dir: &Path, now: SystemTime) -> Credentials {
        let credentials = ensure(&request(data_dir, now)).unwrap();
        credentials.publish("127.0.0.1:6443".parse().unwrap()).unwrap();
        credentials
    }

    /// Every file below a directory with its content; every mode is checked on the way.
    fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            if path.is_dir() {
                assert_eq!(mode, 0o700, "{}", path.display());
                found.extend(content(&path));
            } else {
                assert_eq!(mode, 0o600, "{}", path.display());
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
        found
    }

    fn changed(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
        let names = after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes));
        names.map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_later_start_changes_no_byte() {
        let home = TempDir::new().unwrap();
        let data_dir = home.path().join("deep/data");
        let now = SystemTime::now();
        let first = start(&data_dir, now);
        let before = content(&data_dir);
        assert!(first.notices.is_empty(), "{:?}", first.notices);
        assert_eq!(before.len(), 14 + 1 + 1 + 4, "{:?}", before.keys());
        let second = start(&data_dir, now + 30 * DAY);
        assert!(second.notices.is_empty(), "{:?}", second.notices);
        assert_eq!(before, content(&data_dir));
    }

    #[test]
    fn leaves_close_to_expiry_are_renewed_from_the_same_ca() {
        let home = TempDir::new().unwrap();
        let now = SystemTime::now();
        start(home.path(), now);
        let before = content(home.path());
        let later = start(home.path(), now + LEAF_LIFETIME - 60 * DAY);
        let expected = [
            "admin.kubeconfig",
            "kubeconfig",
            "admin.crt",
            "backend-client.crt",
            "front-proxy-client.crt",
            "serving.crt",
        ];
        assert_eq!(changed(&before, &content(home.path())), expected);
        assert_eq!(later.notices.len(), 4, "{:?}", later.notices);
        let shown = inspect::inspect(&later.front_proxy.chain[0]).unwrap();
        assert!(shown.not_after > now + LEAF_LIFETIME, "backends are shown the old certificate");
        let leaf = inspect::inspect(&later.serving.chain[0]).unwrap();
        let old = CertificateDer::from_pem_slice(&before[&home.path().join("pki/serving.crt")]).unwrap();
        let old = inspect::inspect(&old).unwrap();
        assert_eq!((leaf.signer_id, leaf.public_key), (old.signer_id, old.public_key));
        assert!(leaf.not_after > old.not_after);
    }

    #[test]
    fn a_ca_close_to_expiry_keeps_its_key_so_that_old_leaves_stay_good() {
        let home = TempDir::new().unwrap();
        let now = SystemTime::now();
        start(home.path(), now);
        let before = content(home.path());
        start(home.path(), now + CA_LIFETIME - 300 * DAY);
        let after = content(home.path());
        let names = changed(&before, &after);
        assert!(names.contains(&"ca.crt".to_owned()) && !names.contains(&"ca.key".to_owned()), "{names:?}");
    }

    #[test]
    fn what_was_made_while_the_clock_was_ahead_is_renewed_with_the_same_keys() {
        let home = TempDir::new().unwrap();
        let now = SystemTime::now();
        start(home.path(), now + 365 * DAY);
        let before = content(home.path());
        let later = start(home.path(), now);
        let expected = [
            "admin.kubeconfig",
            "client-ca.crt",
            "front-proxy-ca.crt",
            "kubeconfig",
            "admin.crt",
            "backend-client.crt",
            "ca.crt",
            "client-ca.crt",
            "front-proxy-ca.crt",
            "front-proxy-client.crt",
            "serving.crt",
        ];
        let after = content(home.path());
        assert_eq!(changed(&before, &after), expected);
        assert_eq!(later.notices.len(), 7, "{:?}", later.notices);
        for path in after.keys().filter(|path| path.extension().is_some_and(|e| e == "crt")) {
            let facts = inspect::inspect(&CertificateDer::from_pem_slice(&after[path]).unwrap()).unwrap();
            assert!(facts.not_before < now && now < facts.not_after, "{}: {facts:?}", path.display());
            let old = inspect::inspect(&CertificateDer::from_pem_slice(&before[path]).unwrap()).unwrap();
            assert_eq!((facts.public_key, facts.signer_id), (old.public_key, old.signer_id));
        }
        assert_eq!(start(home.path(), now).notices, [""; 0]);
    }

    #[test]
    fn a_clock_that_was_a_little_ahead_changes_nothing() {
        let home = TempDir::new().unwrap();
        let now = SystemTime::now();
        start(home.path(), now + DAY / 2);
        assert_eq!(start(home.path(), now).notices, [""; 0]);
    }

    #[test]
    fn a_clock_that_was_never_set_changes_nothing() {
        let home = TempDir::new().unwrap();
        start(home.path(), SystemTime::now());
        let before = content(home.path());
        assert_eq!(start(home.path(), SystemTime::UNIX_EPOCH + 10 * DAY).notices, [""; 0]);
        assert_eq!(before, content(home.path()));
    }

    #[test]
    fn a_new_name_reissues_the_serving_certificate_only() {
        let home = TempDir::new().unwrap();
        let now = SystemTime::now();
        start(home.path(), now);
        let before = content(home.path());
        let hosts = ["umbel.example".to_owned(), "10.0.0.7".to_owned()];
        let credentials = ensure(&Request { advertise_hosts: &hosts, ..request(home.path(), now) }).unwrap();
        assert_eq!(changed(&before, &content(home.path())), ["serving.crt"]);
        let names = inspect::inspect(&credentials.serving.chain[0]).unwrap().names;
        assert_eq!(names, ["10.0.0.7", "127.0.0.1", "::1", "box", "localhost", "umbel.example"]);
    }

    #[test]
    fn damaged_files_are_named_and_left_alone() {
        let cases = [
            (
                "ca.key",
                Some(""),
                "ca.key: holds no usable private key",
                "restore the folder pki from a backup",
            ),
            ("ca.crt", Some("-----BEGIN CERT"), "ca.crt: holds no certificate", "restore the folder pki"),
            ("client-ca.crt", None, "client-ca.crt: is missing while its key is there", "restore the folder"),
            (
                "serving.key",
                None,
                "serving.key: is missing while its certificate",
                "remove serving.crt and serving.key",
            ),
            ("admin.crt", Some("x"), "admin.crt: holds no certificate", "remove admin.crt and admin.key"),
        ];
        for (file, damage, what, mend) in cases {
            let home = TempDir::new().unwrap();
            start(home.path(), SystemTime::now());
            let path = home.path().join("pki").join(file);
            match damage {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let before = content(home.path());
            let told = ensure(&request(home.path(), SystemTime::now())).unwrap_err().to_string();
            assert!(told.contains(what) && told.contains(mend), "{file}: {told}");
            assert_eq!(before, content(home.path()), "{file}");
        }
    }

    #[test]
    fn a_leaf_key_whose_certificate_was_never_written_is_signed_for() {
        let home = TempDir::new().unwrap();
        start(home.path(), SystemTime::now());
        let certificate = home.path().join("pki/serving.crt");
        fs::remove_file(&certificate).unwrap();
        let before = content(home.path());
        start(home.path(), SystemTime::now());
        assert_eq!(changed(&before, &content(home.path())), ["serving.crt"]);

        fs::remove_file(&certificate).unwrap();
        fs::write(home.path().join("pki/serving.key"), "half").unwrap();
        let told = ensure(&request(home.path(), SystemTime::now())).unwrap_err().to_string();
        assert!(told.contains("serving.key: holds no usable private key"), "{told}");
        assert!(!certificate.exists());
    }

    #[test]
    fn files_that_do_not_belong_together_are_told() {
        let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        start(one.path(), SystemTime::now());
        start(other.path(), SystemTime::now());
        let copy =
            |file: &str| fs::copy(other.path().join("pki").join(file), one.path().join("pki").join(file));
        copy("serving.crt").unwrap();
        let told = ensure(&request(one.path(), SystemTime::now())).unwrap_err().to_string();
        assert!(told.contains("serving.crt: does not belong to the key beside it"), "{told}");
        copy("serving.key").unwrap();
        let told = ensure(&request(one.path(), SystemTime::now())).unwrap_err().to_string();
        assert!(told.contains("serving.crt: was signed by another CA"), "{told}");
        for file in ["serving.crt", "serving.key"] {
            fs::remove_file(one.path().join("pki").join(file)).unwrap();
        }
        start(one.path(), SystemTime::now());
    }

    #[test]
    fn a_given_certificate_is_verified_by_a_name_that_it_has() {
        let home = TempDir::new().unwrap();
        let names = ["*.example.com".to_owned()];
        let given = rcgen::generate_simple_self_signed(names).unwrap();
        let (certificate, key) = (home.path().join("own.crt"), home.path().join("own.key"));
        fs::write(&certificate, given.cert.pem()).unwrap();
        fs::write(&key, given.signing_key.serialize_pem()).unwrap();
        let data_dir = home.path().join("data");
        let plain = request(&data_dir, SystemTime::now());
        let with = Request { tls_files: Some((&certificate, &key)), ..plain.clone() };
        let wanted = [(&with, Some("umbel.example.com")), (&with, Some("umbel.example.com")), (&plain, None)];
        for (request, name) in wanted {
            ensure(request).unwrap().publish("127.0.0.1:6443".parse().unwrap()).unwrap();
            let text = fs::read_to_string(data_dir.join("admin.kubeconfig")).unwrap();
            let cluster = kubeconfig::cluster(&text).unwrap();
            assert_eq!(cluster.tls_server_name.as_deref(), name, "{text}");
            assert_eq!(cluster.ca_pem.unwrap().contains(&given.cert.pem()), name.is_some());
        }
    }

    #[test]
    fn a_lost_pki_is_never_silently_replaced() {
        let home = TempDir::new().unwrap();
        start(home.path(), SystemTime::now());
        fs::remove_dir_all(home.path().join("pki")).unwrap();
        let told = ensure(&request(home.path(), SystemTime::now())).unwrap_err().to_string();
        assert!(told.contains("pki: is missing while admin.kubeconfig"), "{told}");
    }

    #[test]
    fn what_an_interrupted_first_start_left_is_in_nobodys_way() {
        let home = TempDir::new().unwrap();
        let unfinished = home.path().join(".pki-abc");
        fs::create_dir(&unfinished).unwrap();
        fs::write(unfinished.join("ca.key"), "half").unwrap();
        start(home.path(), SystemTime::now());
        assert!(home.path().join("pki/ca.crt").exists());
    }

    #[test]
    fn open_modes_are_tightened_with_a_word() {
        let home = TempDir::new().unwrap();
        start(home.path(), SystemTime::now());
        for (file, mode) in [("pki/ca.key", 0o644), ("pki", 0o755)] {
            fs::set_permissions(home.path().join(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        let notices = start(home.path(), SystemTime::now()).notices;
        assert_eq!(notices.len(), 2, "{notices:?}");
        assert!(notices[1].contains("ca.key was open to others (mode 0644), now 0600"), "{notices:?}");
        content(home.path());
    }

    #[test]
    fn somebody_elses_directory_is_left_alone() {
        let home = TempDir::new().unwrap();
        fs::write(home.path().join("thesis.tex"), "").unwrap();
        let told = ensure(&request(home.path(), SystemTime::now())).unwrap_err().to_string();
        assert!(told.contains("choose an empty directory with --data-dir"), "{told}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_a_mark_makes_a_directory_ours_and_its_mode_private() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let home = TempDir::new().unwrap();
        fs::create_dir(home.path().join("lost+found")).unwrap();
        fs::create_dir(home.path().join("plugins")).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        refuse_foreign_directory(home.path()).unwrap();
        fs::write(home.path().join("Cargo.toml"), "").unwrap();
        refuse_foreign_directory(home.path()).unwrap_err();
        ensure(&request(home.path(), SystemTime::now())).unwrap_err();
        assert_eq!(mode(home.path()), 0o755);
        fs::remove_file(home.path().join("Cargo.toml")).unwrap();
        start(home.path(), SystemTime::now());
        start(home.path(), SystemTime::now());
        assert_eq!(mode(home.path()), 0o700);
        refuse_foreign_directory(&home.path().join("not/there")).unwrap();
    }

    #[test]
    fn first_starts_at_the_same_time_agree() {
        let home = TempDir::new().unwrap();
        let all = std::thread::scope(|scope| {
            let starts = [0; 4].map(|_| scope.spawn(|| start(home.path(), SystemTime::now())));
            starts.map(|start| start.join().unwrap())
        });
        for other in &all {
            assert_eq!(other.serving.chain, all[0].serving.chain);
            assert_eq!(other.front_proxy.chain, all[0].front_proxy.chain);
        }
    }
}
