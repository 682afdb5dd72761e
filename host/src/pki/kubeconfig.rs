//! Kubeconfigs with everything embedded.

use super::{PkiError, disk};
use crate::model::yaml;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::path::Path;

const SERVER_NAME: &str = "tls-server-name";
/// The name of the cluster and of the context.
const CLUSTER: &str = "umbel";
/// The names that earlier versions wrote: cluster, context, user.
const OLD_NAMES: (&str, &str, &str) = ("default-cluster", "default-context", "default");

/// What a kubeconfig holds beside the server's URL.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name of the user.
    pub(super) user: &'static str,
    /// Certificates in PEM against which the server is verified.
    pub(super) ca_pem: String,
    /// The name that the server's certificate has, when it is not the address called.
    pub(super) tls_server_name: Option<String>,
    /// Client certificate in PEM.
    pub(super) certificate_pem: String,
    /// Its key in PEM.
    pub(super) key_pem: String,
}

/// Writes a kubeconfig with a cluster and a context `umbel`, and the user of `entry`.
///
/// Other content of the file is kept, and entries with the names of earlier versions are renamed. The file is written
/// only if something differs.
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
    let named = |name: &str| clusters.iter().find(|item| is_named(item, name));
    let ours = named(CLUSTER).or_else(|| named(OLD_NAMES.0))?.get("cluster")?;
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
    let user = entry.user;
    let server_name = match &entry.tls_server_name {
        Some(name) => format!("    {SERVER_NAME}: {}\n", quoted(name)),
        None => String::new(),
    };
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {CLUSTER}\n  cluster:\n    \
         certificate-authority-data: {}\n    server: {}\n{server_name}contexts:\n- name: {CLUSTER}\n  \
         context:\n    cluster: {CLUSTER}\n    user: {user}\ncurrent-context: {CLUSTER}\nusers:\n\
         - name: {user}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
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
    rename_old_entries(&mut new, entry.user);
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

/// Renames the entries that an earlier version wrote, and all references to them in the file. An entry is not renamed
/// if another one already has the new name.
fn rename_old_entries(file: &mut Map<String, Value>, user: &str) {
    let (old_cluster, old_context, old_user) = OLD_NAMES;
    if rename(file, "clusters", old_cluster, CLUSTER) {
        refer(file, "cluster", old_cluster, CLUSTER);
    }
    if rename(file, "users", old_user, user) {
        refer(file, "user", old_user, user);
    }
    let is_current = file.get("current-context").and_then(Value::as_str) == Some(old_context);
    if rename(file, "contexts", old_context, CLUSTER) && is_current {
        file.insert("current-context".into(), CLUSTER.into());
    }
}

/// Renames the entry of a list; false if it does not exist or another one has the new name.
fn rename(file: &mut Map<String, Value>, list: &str, old: &str, new: &str) -> bool {
    let Some(items) = file.get_mut(list).and_then(Value::as_array_mut) else { return false };
    if items.iter().any(|item| is_named(item, new)) {
        return false;
    }
    let Some(found) = items.iter_mut().find(|item| is_named(item, old)) else { return false };
    found.as_object_mut().is_some_and(|item| item.insert("name".into(), new.into()).is_some())
}

/// Makes every context that refers to the cluster or user `old` refer to `new`.
fn refer(file: &mut Map<String, Value>, role: &str, old: &str, new: &str) {
    let contexts = file.get_mut("contexts").and_then(Value::as_array_mut);
    for item in contexts.into_iter().flatten() {
        if let Some(context) = item.get_mut("context").and_then(Value::as_object_mut)
            && context.get(role).and_then(Value::as_str) == Some(old)
        {
            context.insert(role.into(), new.into());
        }
    }
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
            user: "umbel-admin",
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
            .replace("    user: umbel-admin\n", "    user: umbel-admin\n    namespace: mine\n");
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

    /// A kubeconfig of an earlier version, with a context and a namespace that a user added.
    const OLD: &str = "apiVersion: v1
kind: Config
clusters:
- name: default-cluster
  cluster: {certificate-authority-data: Y2E=, server: 'https://127.0.0.1:1'}
- name: other
  cluster: {server: 'https://other'}
contexts:
- name: default-context
  context: {cluster: default-cluster, user: default, namespace: mine}
- name: shop
  context: {cluster: default-cluster, user: default, namespace: shop}
- name: other
  context: {cluster: other, user: eve}
current-context: default-context
users:
- name: default
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}
- name: eve
  user: {token: t}
";

    #[test]
    fn entries_of_an_earlier_version_are_renamed_with_what_refers_to_them() {
        assert_eq!(server(OLD).unwrap(), "https://127.0.0.1:1");
        let new = update(OLD, &entry(), "https://127.0.0.1:1").unwrap().unwrap();
        assert!(!new.contains("default"), "{new}");
        assert_eq!(server(&new).unwrap(), "https://127.0.0.1:1");
        let read: Value = yaml::read(&new).unwrap();
        assert_eq!(read["current-context"], Value::from("umbel"));
        let names = |list: &str| -> Vec<&str> {
            read[list].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
        };
        assert_eq!(names("clusters"), ["umbel", "other"]);
        assert_eq!(names("contexts"), ["umbel", "shop", "other"]);
        assert_eq!(names("users"), ["umbel-admin", "eve"]);
        let wanted = [("umbel", "umbel-admin", "mine"), ("umbel", "umbel-admin", "shop")];
        for (index, (cluster, user, namespace)) in wanted.into_iter().enumerate() {
            let context = &read["contexts"][index]["context"];
            assert_eq!(context["cluster"], Value::from(cluster));
            assert_eq!(context["user"], Value::from(user));
            assert_eq!(context["namespace"], Value::from(namespace));
        }
        assert_eq!(read["contexts"][2]["context"]["user"], Value::from("eve"));
        assert_eq!(update(&new, &entry(), "https://127.0.0.1:1"), Ok(None));
    }

    #[test]
    fn another_current_context_stays() {
        let text = OLD.replace("current-context: default-context", "current-context: other");
        let new = update(&text, &entry(), "https://127.0.0.1:1").unwrap().unwrap();
        let read: Value = yaml::read(&new).unwrap();
        assert_eq!(read["current-context"], Value::from("other"));
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused() {
        assert!(update("clusters: 7", &entry(), "https://a").unwrap_err().contains("clusters is no list"));
        assert!(update("apiVer", &entry(), "https://a").unwrap_err().contains("is no kubeconfig"));
    }
}
