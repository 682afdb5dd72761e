//! The checked settings.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything `umbel serve` needs to know, after flags and file are merged and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// `--data-dir`.
    pub data_dir: PathBuf,
    /// `--allow-empty-store`: start with an empty store if the previous one was lost.
    pub allow_empty_store: bool,
    /// `--listen`; port 0 picks a free one.
    pub listen: SocketAddr,
    /// `--advertise-host`: further names of the serving certificate.
    pub advertise_hosts: Vec<String>,
    /// `--plugin-dir`.
    pub plugin_dir: PathBuf,
    /// `--plugin-dns-servers`; none means those of the system.
    pub plugin_dns_servers: Vec<SocketAddr>,
    /// `--plugins-insecure-permissions`: components are loaded that others may write.
    pub plugins_insecure_permissions: bool,
    /// `--manifest-dir`.
    pub manifest_dir: PathBuf,
    /// `--tls-cert-file` and `--tls-private-key-file`.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// `--client-ca-file`: trusted beside Umbel's own client CA.
    pub client_ca_file: Option<PathBuf>,
    /// `--token-auth-file`.
    pub token_auth_file: Option<PathBuf>,
    /// `--worker-threads`.
    pub worker_threads: usize,
    /// `--log-format`.
    pub log_format: LogFormat,
    /// `-v`, counted.
    pub verbosity: u8,
    /// `--drain-timeout`: how long requests in flight may take after SIGTERM.
    pub drain_timeout: Duration,
}

impl ServeConfig {
    /// Where manifests lie when nobody says where.
    pub fn default_manifest_dir(&self) -> PathBuf {
        manifests_below(&self.data_dir)
    }
}

/// The default of `--manifest-dir` for a data directory.
pub(super) fn manifests_below(data_dir: &Path) -> PathBuf {
    data_dir.join("manifests")
}
