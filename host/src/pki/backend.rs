//! `umbel backend init`: everything that one backend needs, in one folder.

use super::authority::Purpose;
use super::folder::{BACKEND_USER, BACKENDS, ensure_authorities, lock};
use super::kit::{absolute, flags};
use super::kubeconfig::{self, Cluster, Entry, quoted};
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

impl BackendRequest<'_> {
    /// The host as it stands in certificates.
    fn host_name(&self) -> String {
        self.host.parse::<IpAddr>().map_or_else(|_| self.host.to_owned(), |address| address.to_string())
    }

    /// The address to listen on, so that Umbel reaches the backend under its host, and nobody else does when that
    /// is a loopback address.
    fn bind_address(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(address) if address.is_loopback() => address.to_string(),
            Ok(IpAddr::V6(_)) => "::".to_owned(),
            Err(_) if self.host == "localhost" => "127.0.0.1".to_owned(),
            _ => "0.0.0.0".to_owned(),
        }
    }
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
    let _locked = lock(request.data_dir, &mut notices)?;
    let authorities = ensure_authorities(request.data_dir, request.now, &mut notices)?;
    disk::make_directory(request.out)?;
    let directory = absolute(request.out)?;
    let mut names =
        vec![format!("{}.{}.svc", request.name, request.namespace), "localhost".into(), request.host_name()];
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
    // What verifies Umbel for people, a --tls-cert-file too, verifies it for the backend.
    let served = disk::read(&request.data_dir.join("admin.kubeconfig"))?
        .and_then(|text| kubeconfig::cluster(&text))
        .unwrap_or_else(|| Cluster {
            server: DEFAULT_SERVER.to_owned(),
            ca_pem: None,
            tls_server_name: None,
        });
    let entry = Entry {
        user: BACKEND_USER,
        ca_pem: served.ca_pem.unwrap_or_else(|| authorities.ca.certificate_pem.clone()),
        tls_server_name: served.tls_server_name,
        certificate_pem: client.certificate_pem,
        key_pem: client.key_pem,
    };
    kubeconfig::write(&directory.join("kubeconfig"), &entry, &served.server)?;
    let files = [
        ("ca.crt", authorities.ca.certificate_pem),
        ("client-ca.crt", authorities.client_ca.certificate_pem),
        ("front-proxy-ca.crt", authorities.front_proxy_ca.certificate_pem),
        ("flags.txt", flags(&directory, Some((&request.bind_address(), request.port)))),
        ("register.yaml", registration(request)),
    ];
    for (name, content) in files {
        replace(&directory.join(name), &content, &mut notices)?;
    }
    Ok(BackendFiles { directory, notices })
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
    let (namespace, name) = (quoted(request.namespace), quoted(request.name));
    let (group, host, port) = (quoted(request.group), quoted(&request.host_name()), request.port);
    let mut text = format!(
        "# Where the backend is.\napiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata:\n  \
         name: {name}\n  namespace: {namespace}\nspec:\n  host: {host}\n"
    );
    for (index, version) in request.versions.iter().enumerate() {
        let priority = 100usize.saturating_sub(index).max(1);
        let own_name = quoted(&format!("{version}.{}", request.group));
        let version = quoted(version);
        text.push_str(&format!(
            "---\n# What it serves. Without a caBundle it is verified against Umbel's own CA.\n\
             apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata:\n  name: {own_name}\n\
             spec:\n  group: {group}\n  version: {version}\n  groupPriorityMinimum: 1000\n  \
             versionPriority: {priority}\n  service:\n    name: {name}\n    namespace: {namespace}\n    \
             port: {port}\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;
    use tempfile::TempDir;

    fn request<'a>(
        home: &'a Path,
        [data_dir, out]: &'a [PathBuf; 2],
        versions: &'a [String],
    ) -> BackendRequest<'a> {
        assert!(data_dir.starts_with(home) && out.starts_with(home));
        BackendRequest {
            data_dir,
            namespace: "default",
            name: "flunders",
            group: "wardle.example.com",
            versions,
            host: "127.0.0.1",
            port: 9443,
            out,
            now: SystemTime::now(),
        }
    }

    fn prepare(home: &Path, port: u16) -> BackendFiles {
        let places = [home.join("data"), home.join("out")];
        let versions = ["v1alpha1".to_owned(), "v1beta1".to_owned()];
        prepare_backend(&BackendRequest { port, ..request(home, &places, &versions) }).unwrap()
    }

    fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    #[test]
    fn running_it_again_changes_nothing() {
        let home = TempDir::new().unwrap();
        let files = prepare(home.path(), 9443);
        let before = content(&files.directory);
        assert_eq!(before.len(), 10);
        assert_eq!(prepare(home.path(), 9443).notices, [""; 0]);
        assert_eq!(before, content(&files.directory));
    }

    #[test]
    fn another_port_keeps_the_old_files_and_the_certificate() {
        let home = TempDir::new().unwrap();
        let files = prepare(home.path(), 9443);
        let before = content(&files.directory);
        let notices = prepare(home.path(), 9444).notices;
        assert_eq!(notices.len(), 2, "{notices:?}");
        let after = content(&files.directory);
        let path = |name: &str| files.directory.join(name);
        assert_eq!(before[&path("tls.crt")], after[&path("tls.crt")]);
        assert_eq!(before[&path("register.yaml")], after[&path("register.yaml.old")]);
        assert!(String::from_utf8_lossy(&after[&path("flags.txt")]).contains("--secure-port=9444\n"));
    }

    #[test]
    fn every_version_is_registered_in_order() {
        let home = TempDir::new().unwrap();
        let text = fs::read_to_string(prepare(home.path(), 9443).directory.join("register.yaml")).unwrap();
        let documents: Vec<serde_json::Value> = text
            .split(
                "---
",
            )
            .map(|document| crate::model::yaml::read(document).unwrap())
            .collect();
        assert_eq!(documents.len(), 3);
        assert_eq!(documents[0]["spec"]["host"], "127.0.0.1");
        assert_eq!(documents[1]["metadata"]["name"], "v1alpha1.wardle.example.com");
        assert_eq!(documents[1]["spec"]["versionPriority"], 100);
        assert_eq!(documents[2]["spec"]["versionPriority"], 99);
        assert_eq!(documents[2]["spec"]["service"]["port"], 9443);
    }

    #[test]
    fn names_that_look_like_numbers_stay_texts() {
        let home = TempDir::new().unwrap();
        let (places, versions) = ([home.path().join("data"), home.path().join("out")], ["v1".to_owned()]);
        let plain = request(home.path(), &places, &versions);
        let text = registration(&BackendRequest { namespace: "123", name: "null", group: "1.2", ..plain });
        let documents: Vec<serde_json::Value> = text
            .split(
                "---
",
            )
            .map(|document| crate::model::yaml::read(document).unwrap())
            .collect();
        assert_eq!(documents[0]["metadata"]["namespace"].as_str(), Some("123"), "{text}");
        assert_eq!(documents[0]["metadata"]["name"].as_str(), Some("null"), "{text}");
        assert_eq!(documents[1]["spec"]["group"].as_str(), Some("1.2"), "{text}");
        assert_eq!(documents[1]["spec"]["service"]["name"].as_str(), Some("null"), "{text}");
    }

    #[test]
    fn the_backend_listens_where_umbel_calls_it() {
        let home = TempDir::new().unwrap();
        let (places, versions) = ([home.path().join("data"), home.path().join("out")], ["v1".to_owned()]);
        let cases = [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.5", "127.0.0.5"),
            ("0:0::1", "::1"),
            ("localhost", "127.0.0.1"),
            ("10.0.0.7", "0.0.0.0"),
            ("2001:db8::1", "::"),
            ("flunders.example.com", "0.0.0.0"),
        ];
        for (host, expected) in cases {
            let request = BackendRequest { host, ..request(home.path(), &places, &versions) };
            assert_eq!(request.bind_address(), expected, "{host}");
        }
    }

    #[test]
    fn the_backend_verifies_umbel_as_the_administrator_does() {
        let home = TempDir::new().unwrap();
        let admin = Entry {
            user: "umbel-admin",
            ca_pem: "a CA of its own".into(),
            tls_server_name: Some("umbel.example.com".into()),
            certificate_pem: String::new(),
            key_pem: String::new(),
        };
        prepare(home.path(), 9443);
        kubeconfig::write(&home.path().join("data/admin.kubeconfig"), &admin, "https://127.0.0.1:7").unwrap();
        let files = prepare(home.path(), 9443);
        let cluster = kubeconfig::cluster(&fs::read_to_string(files.directory.join("kubeconfig")).unwrap());
        let expected = Cluster {
            server: "https://127.0.0.1:7".into(),
            ca_pem: Some(admin.ca_pem),
            tls_server_name: admin.tls_server_name,
        };
        assert_eq!(cluster, Some(expected));
    }
}
