//! `umbel backend init`: everything that one backend needs, in one folder.

use super::authority::Purpose;
use super::folder::{BACKENDS, ensure_authorities};
use super::kit::{absolute, flags};
use super::kubeconfig::{self, Entry};
use super::leaf::Place;
use super::{PkiError, disk};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where a kubeconfig points before Umbel was ever started.
const DEFAULT_SERVER: &str = "https://127.0.0.1:6443";

/// A backend to prepare.
#[derive(Clone, Debug)]
pub struct BackendRequest<'a> {
    /// Umbel's data directory; made when it is not there.
    pub data_dir: &'a Path,
    /// Namespace of the service.
    pub namespace: &'a str,
    /// Name of the service.
    pub name: &'a str,
    /// The API group.
    pub group: &'a str,
    /// Its versions, the preferred one first.
    pub versions: &'a [String],
    /// DNS name or IP under which Umbel reaches the backend.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The folder to write.
    pub out: &'a Path,
    /// The time.
    pub now: SystemTime,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendFiles {
    /// The folder, as an absolute path.
    pub directory: PathBuf,
    /// Words for the user: what was renewed, replaced or tightened.
    pub notices: Vec<String>,
}

/// Writes the folder. Running it again keeps what is good; what it replaces is kept under `<name>.old`.
///
/// # Errors
/// When the disk refuses or a certificate is damaged.
pub fn prepare_backend(request: &BackendRequest<'_>) -> Result<BackendFiles, PkiError> {
    let mut notices = Vec::new();
    let authorities = ensure_authorities(request.data_dir, request.now, &mut notices)?;
    disk::make_directory(request.out)?;
    let directory = absolute(request.out)?;
    let mut names =
        vec![format!("{}.{}.svc", request.name, request.namespace), "localhost".into(), request.host.into()];
    names.sort();
    names.dedup();
    let place = Place::new(&directory, "tls");
    place.ensure_leaf(
        &authorities.ca,
        &format!("{}.{}.svc", request.name, request.namespace),
        &Purpose::Serve(names),
        request.now,
        &mut notices,
    )?;
    let caller = format!("umbel:backend:{}:{}", request.namespace, request.name);
    let client = Place::new(&directory, "client").ensure_leaf(
        &authorities.client_ca,
        &caller,
        &Purpose::Call(vec![BACKENDS]),
        request.now,
        &mut notices,
    )?;
    let entry = Entry {
        ca_pem: authorities.ca.certificate_pem.clone(),
        tls_server_name: None,
        certificate_pem: client.certificate_pem,
        key_pem: client.key_pem,
    };
    let server = disk::read(&request.data_dir.join("admin.kubeconfig"))?
        .and_then(|text| kubeconfig::server(&text))
        .unwrap_or_else(|| DEFAULT_SERVER.to_owned());
    kubeconfig::write(&directory.join("kubeconfig"), &entry, &server)?;
    let bind = if is_loopback(request.host) { "127.0.0.1" } else { "0.0.0.0" };
    let files = [
        ("ca.crt", authorities.ca.certificate_pem),
        ("client-ca.crt", authorities.client_ca.certificate_pem),
        ("front-proxy-ca.crt", authorities.front_proxy_ca.certificate_pem),
        ("flags.txt", flags(&directory, Some((bind, request.port)))),
        ("register.yaml", registration(request)),
    ];
    for (name, content) in files {
        replace(&directory.join(name), &content, &mut notices)?;
    }
    Ok(BackendFiles { directory, notices })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Writes a file; what was there and differs is kept beside it.
fn replace(path: &Path, content: &str, notices: &mut Vec<String>) -> Result<(), PkiError> {
    if let Some(old) = disk::read(path)?.filter(|old| old != content) {
        let kept = path.with_added_extension("old");
        disk::write(&kept, old.as_bytes())?;
        notices.push(format!("{} differed; the old one is kept as {}", path.display(), kept.display()));
    }
    disk::write_if_changed(path, content.as_bytes()).map(|_| ())
}

/// ExternalName and APIServices, ready for `kubectl apply -f`.
fn registration(request: &BackendRequest<'_>) -> String {
    let BackendRequest { namespace, name, group, host, port, .. } = request;
    let mut text = format!(
        "# Where the backend is.\napiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata:\n  \
         name: {name}\n  namespace: {namespace}\nspec:\n  host: {host:?}\n"
    );
    for (index, version) in request.versions.iter().enumerate() {
        let priority = 100usize.saturating_sub(index).max(1);
        text.push_str(&format!(
            "---\n# What it serves. Without a caBundle it is verified against Umbel's own CA.\n\
             apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata:\n  name: {version}.{group}\n\
             spec:\n  group: {group}\n  version: {version}\n  groupPriorityMinimum: 1000\n  \
             versionPriority: {priority}\n  service:\n    name: {name}\n    namespace: {namespace}\n    \
             port: {port}\n"
        ));
    }
    text
}
