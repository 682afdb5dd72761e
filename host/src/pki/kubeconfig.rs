//! Kubeconfigs with everything embedded.

use super::{PkiError, disk};
use crate::model::yaml;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::path::Path;

const SERVER_NAME: &str = "tls-server-name";

/// What a kubeconfig holds beside the server's URL.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Certificates in PEM against which the server is verified.
    pub(super) ca_pem: String,
    /// The name that the server's certificate has, when it is not the address called.
    pub(super) tls_server_name: Option<String>,
    /// Client certificate in PEM.
    pub(super) certificate_pem: String,
    /// Its key in PEM.
    pub(super) key_pem: String,
}

/// Writes a kubeconfig with the entries `default-cluster`, `default-context` and `default`.
///
/// What else stands in the file stays. Nothing is written when nothing differs.
pub(super) fn write(path: &Path, entry: &Entry, server: &str) -> Result<(), PkiError> {
    let text = match disk::read(path)? {
        None => Some(render(entry, server)),
        Some(found) => update(&found, entry, server).map_err(|what| PkiError::Damaged {
            path: path.into(),
            what,
            mend: "remove the file, then it is written again".to_owned(),
        })?,
    };
    match text {
        Some(text) => disk::write(path, text.as_bytes()),
        None => disk::tighten(path, disk::FILE_MODE).map(|_| ()),
    }
}

/// How a server is reached and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) server: String,
    pub(super) ca_pem: Option<String>,
    pub(super) tls_server_name: Option<String>,
}

/// The cluster of a kubeconfig that Umbel wrote; `None` when there is none.
pub(super) fn cluster(text: &str) -> Option<Cluster> {
    let document: Value = yaml::read(text).ok()?;
    let clusters = document.get("clusters")?.as_array()?;
    let ours = clusters.iter().find(|item| is_named(item, "default-cluster"))?.get("cluster")?;
    let text = |key: &str| ours.get(key).and_then(Value::as_str).map(str::to_owned);
    let ca = text("certificate-authority-data").and_then(|data| STANDARD.decode(data).ok());
    Some(Cluster {
        server: text("server")?,
        ca_pem: ca.and_then(|pem| String::from_utf8(pem).ok()),
        tls_server_name: text(SERVER_NAME),
    })
}

/// The server's URL in a kubeconfig that Umbel wrote; `None` when there is none.
pub fn server(text: &str) -> Option<String> {
    cluster(text).map(|cluster| cluster.server)
}

fn render(entry: &Entry, server: &str) -> String {
    let server_name = match &entry.tls_server_name {
        Some(name) => format!("    {SERVER_NAME}: {}\n", quoted(name)),
        None => String::new(),
    };
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: default-cluster\n  cluster:\n    \
         certificate-authority-data: {}\n    server: {}\n{server_name}contexts:\n- name: default-context\n  \
         context:\n    cluster: default-cluster\n    user: default\ncurrent-context: default-context\nusers:\n\
         - name: default\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
        STANDARD.encode(&entry.ca_pem),
        quoted(server),
        STANDARD.encode(&entry.certificate_pem),
        STANDARD.encode(&entry.key_pem),
    )
}

/// A text as a YAML scalar that is nothing but a text, whatever it holds.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// `None` when nothing differs.
fn update(found: &str, entry: &Entry, server: &str) -> Result<Option<String>, String> {
    let old: Map<String, Value> = yaml::read(found).map_err(|error| format!("is no kubeconfig ({error})"))?;
    let wanted: Map<String, Value> = yaml::read(&render(entry, server)).map_err(|e| e.to_string())?;
    let mut new = old.clone();
    for (list, inner) in [("clusters", "cluster"), ("contexts", "context"), ("users", "user")] {
        let Some(ours) = wanted.get(list).and_then(|items| items.get(0)) else { continue };
        let slot = new.entry(list).or_insert_with(|| Value::Array(Vec::new()));
        if slot.is_null() {
            *slot = Value::Array(Vec::new());
        }
        let items = slot.as_array_mut().ok_or_else(|| format!("is no kubeconfig ({list} is no list)"))?;
        put(items, ours, inner);
    }
    for key in ["apiVersion", "kind", "current-context"] {
        if let Some(value) = wanted.get(key) {
            new.entry(key).or_insert_with(|| value.clone());
        }
    }
    if new == old { Ok(None) } else { Ok(Some(yaml::write(&Value::Object(new)))) }
}

/// Lays the values of `ours` over the item of the same name, or adds it. A name to verify that is no longer needed
/// goes: the server's certificate does not have it any more.
fn put(items: &mut Vec<Value>, ours: &Value, inner: &str) {
    let name = ours.get("name").and_then(Value::as_str).unwrap_or_default();
    let Some(item) = items.iter_mut().find(|item| is_named(item, name)) else {
        items.push(ours.clone());
        return;
    };
    match (item.get_mut(inner).and_then(Value::as_object_mut), ours.get(inner).and_then(Value::as_object)) {
        (Some(old), Some(new)) => {
            for (key, value) in new {
                old.insert(key.clone(), value.clone());
            }
            if !new.contains_key(SERVER_NAME) {
                old.remove(SERVER_NAME);
            }
        }
        _ => *item = ours.clone(),
    }
}

fn is_named(item: &Value, name: &str) -> bool {
    item.get("name").and_then(Value::as_str) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            ca_pem: "ca".into(),
            tls_server_name: None,
            certificate_pem: "cert".into(),
            key_pem: "key".into(),
        }
    }

    #[test]
    fn the_same_entry_changes_nothing() {
        let text = render(&entry(), "https://127.0.0.1:1");
        assert_eq!(update(&text, &entry(), "https://127.0.0.1:1"), Ok(None));
        assert_eq!(server(&text).unwrap(), "https://127.0.0.1:1");
    }

    #[test]
    fn a_new_port_keeps_what_somebody_added() {
        let text = render(&entry(), "https://127.0.0.1:1")
            .replace("    user: default\n", "    user: default\n    namespace: mine\n");
        let new = update(&text, &entry(), "https://127.0.0.1:2").unwrap().unwrap();
        assert!(new.contains("namespace: mine"), "{new}");
        assert_eq!(server(&new).unwrap(), "https://127.0.0.1:2");
    }

    #[test]
    fn a_name_to_verify_comes_and_goes_whatever_it_holds() {
        let plain = render(&entry(), "https://127.0.0.1:1");
        for name in ["umbel.example.com", "*.example.com", "no", "12"] {
            let named = Entry { tls_server_name: Some(name.to_owned()), ..entry() };
            let text = render(&named, "https://127.0.0.1:1");
            assert_eq!(cluster(&text).unwrap().tls_server_name.as_deref(), Some(name), "{text}");
            assert_eq!(update(&text, &named, "https://127.0.0.1:1"), Ok(None));
            let added = update(&plain, &named, "https://127.0.0.1:1").unwrap().unwrap();
            assert_eq!(cluster(&added).unwrap().tls_server_name.as_deref(), Some(name), "{added}");
            let removed = update(&text, &entry(), "https://127.0.0.1:1").unwrap().unwrap();
            assert_eq!(cluster(&removed), cluster(&plain), "{removed}");
        }
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused() {
        assert!(update("clusters: 7", &entry(), "https://a").unwrap_err().contains("clusters is no list"));
        assert!(update("apiVer", &entry(), "https://a").unwrap_err().contains("is no kubeconfig"));
    }
}
