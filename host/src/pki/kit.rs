//! The folder `backend/`: what any backend is started with.

use super::kubeconfig::{self, Entry};
use super::{PkiError, disk};
use crate::model::identity::FRONT_PROXY_NAME;
use std::path::Path;

/// Content of the folder.
#[derive(Clone, Debug)]
pub(super) struct Kit {
    pub(super) client_ca_pem: String,
    pub(super) front_proxy_ca_pem: String,
    /// For calls from a backend to Umbel.
    pub(super) entry: Entry,
}

/// Writes the folder; nothing that is as it should be is touched.
pub(super) fn write(directory: &Path, kit: &Kit, server: &str) -> Result<(), PkiError> {
    disk::make_directory(directory)?;
    disk::write_if_changed(&directory.join("client-ca.crt"), kit.client_ca_pem.as_bytes())?;
    disk::write_if_changed(&directory.join("front-proxy-ca.crt"), kit.front_proxy_ca_pem.as_bytes())?;
    kubeconfig::write(&directory.join("kubeconfig"), &kit.entry, server)?;
    let directory = absolute(directory)?;
    disk::write_if_changed(&directory.join("flags.txt"), flags(&directory, None).as_bytes())?;
    Ok(())
}

/// A path that holds wherever the backend is started, and that can stand in `flags.txt`.
pub(super) fn absolute(path: &Path) -> Result<std::path::PathBuf, PkiError> {
    let path = path.canonicalize().map_err(PkiError::io("cannot find", path))?;
    let is_usable = path.to_str().is_some_and(|text| !text.contains(['\n', '\r', '\0']));
    if is_usable { Ok(path) } else { Err(PkiError::UnusablePath(path)) }
}

/// The flags of an API server built on `k8s.io/apiserver` that runs behind Umbel without a Kubernetes, one a
/// line. With `serving` also its address and certificate.
///
/// Calls to a core API are switched off: there is none.
pub(super) fn flags(directory: &Path, serving: Option<(&str, u16)>) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    let kubeconfig = file("kubeconfig");
    let mut flags = Vec::new();
    if let Some((address, port)) = serving {
        flags.extend([
            format!("--bind-address={address}"),
            format!("--secure-port={port}"),
            format!("--tls-cert-file={}", file("tls.crt")),
            format!("--tls-private-key-file={}", file("tls.key")),
        ]);
    }
    flags.extend([
        format!("--client-ca-file={}", file("client-ca.crt")),
        format!("--requestheader-client-ca-file={}", file("front-proxy-ca.crt")),
        format!("--requestheader-allowed-names={FRONT_PROXY_NAME}"),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--authentication-skip-lookup".to_owned(),
        "--disable-admission-plugins=NamespaceLifecycle,MutatingAdmissionPolicy,MutatingAdmissionWebhook,\
         ValidatingAdmissionPolicy,ValidatingAdmissionWebhook"
            .to_owned(),
        "--enable-priority-and-fairness=false".to_owned(),
    ]);
    flags.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_a_line_of_its_own_whatever_the_path() {
        let home = tempfile::TempDir::new().unwrap();
        let spaced = home.path().join("my $(data) 'dir' *");
        let broken = home.path().join("two\nlines");
        for directory in [&spaced, &broken] {
            std::fs::create_dir(directory).unwrap();
        }
        let text = flags(&absolute(&spaced).unwrap(), Some(("127.0.0.1", 9443)));
        assert!(text.ends_with('\n') && text.lines().all(|line| line.starts_with("--")), "{text}");
        let wanted = format!("--tls-cert-file={}/tls.crt", spaced.canonicalize().unwrap().display());
        assert!(text.lines().any(|line| line == wanted), "{text}");
        let refused = absolute(&broken).unwrap_err().to_string();
        assert!(refused.contains("line break"), "{refused}");
    }
}
