//! How to reach a gateway, out of a kubeconfig.

use crate::model::yaml;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a gateway is, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// URL of the server.
    pub(super) server: String,
    /// The name that its certificate must have, where it is not the host of the URL.
    pub(super) server_name: Option<String>,
    /// The authorities in PEM; the system's without it.
    pub(super) ca_pem: Option<Vec<u8>>,
    /// Certificate and key of the caller, in PEM.
    pub(super) certificate: Option<(Vec<u8>, Vec<u8>)>,
    /// Token of the caller.
    pub(super) token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    current_context: Option<String>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    tls_server_name: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

/// Reads the current context of a kubeconfig.
///
/// # Errors
/// What the file lacks.
pub(super) fn read(path: &Path) -> Result<Access, String> {
    let text = fs::read_to_string(path).map_err(|cause| {
        format!("{}: {cause}; name the gateway's kubeconfig with --kubeconfig", path.display())
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder).map_err(|cause| format!("{}: {cause}", path.display()))
}

fn parse(text: &str, folder: &Path) -> Result<Access, String> {
    let file: File = yaml::read(text).map_err(|error| error.to_string())?;
    let current = file.current_context.ok_or("has no current-context")?;
    let context = file.contexts.into_iter().find(|item| item.name == current);
    let context = context.ok_or_else(|| format!("has no context {current:?}"))?.context;
    let cluster = file.clusters.into_iter().find(|item| item.name == context.cluster);
    let cluster = cluster.ok_or_else(|| format!("has no cluster {:?}", context.cluster))?.cluster;
    let user = match context.user {
        None => User::default(),
        Some(name) => {
            let user = file.users.into_iter().find(|item| item.name == name);
            user.ok_or_else(|| format!("has no user {name:?}"))?.user
        }
    };
    let certificate = bytes(user.client_certificate_data, user.client_certificate, folder)?;
    let key = bytes(user.client_key_data, user.client_key, folder)?;
    let token = match (user.token, user.token_file) {
        (None, Some(path)) => Some(bytes(None, Some(path), folder)?.unwrap_or_default()),
        (token, _) => token.map(String::into_bytes),
    };
    Ok(Access {
        server: cluster.server,
        server_name: cluster.tls_server_name,
        ca_pem: bytes(cluster.certificate_authority_data, cluster.certificate_authority, folder)?,
        certificate: certificate.zip(key),
        token: token.map(|token| String::from_utf8_lossy(&token).trim().to_owned()),
    })
}

/// What is written in the file itself wins over what lies beside it, as with kubectl.
fn bytes(data: Option<String>, path: Option<PathBuf>, folder: &Path) -> Result<Option<Vec<u8>>, String> {
    match (data, path) {
        (Some(data), _) => {
            STANDARD.decode(data).map(Some).map_err(|error| format!("holds no base64: {error}"))
        }
        (None, Some(path)) => {
            let path = folder.join(path);
            fs::read(&path).map(Some).map_err(|cause| format!("names {}: {cause}", path.display()))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
current-context: b
contexts: [{name: a, context: {cluster: x}}, {name: b, context: {cluster: y, user: me}}]
clusters:
- {name: x, cluster: {server: 'https://x'}}
- {name: y, cluster: {server: 'https://y:1', certificate-authority-data: Y2E=, tls-server-name: z}}
users:
- {name: me, user: {client-certificate-data: Yw==, client-key: key.pem, token-file: token}}
";

    #[test]
    fn the_current_context_counts() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key.pem"), "k").unwrap();
        fs::write(folder.path().join("token"), "t\n").unwrap();
        let wanted = Access {
            server: "https://y:1".to_owned(),
            server_name: Some("z".to_owned()),
            ca_pem: Some(b"ca".to_vec()),
            certificate: Some((b"c".to_vec(), b"k".to_vec())),
            token: Some("t".to_owned()),
        };
        assert_eq!(parse(TEXT, folder.path()), Ok(wanted));
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = Path::new("/nowhere");
        for (text, says) in [
            (TEXT.to_owned(), "names /nowhere/key.pem"),
            (TEXT.replace("context: b", "context: c"), "has no context \"c\""),
            (TEXT.replace("user: me}", "user: you}"), "has no user \"you\""),
            (TEXT.replace("name: y,", "name: q,"), "has no cluster \"y\""),
            ("{}".to_owned(), "has no current-context"),
        ] {
            let error = parse(&text, folder).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
