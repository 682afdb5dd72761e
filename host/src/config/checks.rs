//! The rules for each setting.

use super::merge::{Files, Given, Settings};
use super::problem::Problem;
use super::settings::{LogFormat, ServeConfig, manifests_below};
use super::tokens::parse_tokens;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEFAULT_DATA_DIR: &str = "./umbel-data";
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
const DEFAULT_DRAIN: Duration = Duration::from_secs(10);
const MAX_DRAIN: Duration = Duration::from_secs(3600);
const DNS_PORT: u16 = 53;
const MAX_WORKERS: usize = 1024;

/// Turns merged settings into a configuration and collects what is wrong.
pub(super) struct Checker<'a> {
    pub(super) settings: Settings,
    pub(super) files: &'a dyn Files,
    pub(super) problems: Vec<Problem>,
}

impl Checker<'_> {
    /// The configuration; to be used only when no problem was found.
    pub(super) fn config(&mut self, cores: usize) -> ServeConfig {
        let data_dir = self.directory("data-dir").unwrap_or_else(|| DEFAULT_DATA_DIR.into());
        let plugin_dir = self.directory("plugin-dir").unwrap_or_else(|| data_dir.join("plugins"));
        let manifest_dir = self.directory("manifest-dir").unwrap_or_else(|| manifests_below(&data_dir));
        let log_format = self.checked("log-format", |value| match value {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("is neither text nor json".to_owned()),
        });
        ServeConfig {
            allow_empty_store: false,
            listen: self.checked("listen", parse_listen).unwrap_or(DEFAULT_LISTEN),
            advertise_hosts: self.advertise_hosts(),
            plugin_dns_servers: self.plugin_dns_servers(),
            plugins_insecure_permissions: self
                .checked("plugins-insecure-permissions", parse_switch)
                .unwrap_or(false),
            tls_files: self.tls_files(),
            client_ca_file: self.client_ca(),
            token_auth_file: self.token_file(),
            worker_threads: self.checked("worker-threads", parse_workers).unwrap_or(cores.max(1)),
            drain_timeout: self.checked("drain-timeout", parse_drain).unwrap_or(DEFAULT_DRAIN),
            verbosity: self.checked("verbose", parse_verbosity).unwrap_or(0),
            log_format: log_format.unwrap_or_default(),
            data_dir,
            plugin_dir,
            manifest_dir,
        }
    }

    fn refuse(&mut self, key: &str, given: &Given, value: Option<&str>, text: impl Into<String>) {
        self.problems.push(Problem {
            origin: given.origin.clone(),
            key: key.to_owned(),
            value: value.map(str::to_owned),
            text: text.into(),
        });
    }

    fn given(&self, key: &str) -> Option<(Given, String)> {
        let given = self.settings.get(key)?.clone();
        let value = given.values.first().cloned().unwrap_or_default();
        Some((given, value))
    }

    fn checked<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (given, value) = self.given(key)?;
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(text) => {
                self.refuse(key, &given, Some(&value), text);
                None
            }
        }
    }

    fn directory(&mut self, key: &str) -> Option<PathBuf> {
        let files = self.files;
        self.checked(key, |value| match value {
            "" => Err("is empty; name a directory".to_owned()),
            path if files.is_other_than_directory(Path::new(path)) => {
                Err("is there already and is no directory; name another one or move it away".to_owned())
            }
            path => Ok(PathBuf::from(path)),
        })
    }

    fn advertise_hosts(&mut self) -> Vec<String> {
        let Some(given) = self.settings.get("advertise-host").cloned() else { return Vec::new() };
        for host in given.values.iter().filter(|host| !is_host(host)) {
            let text = "is neither a DNS name nor an IP; write it without scheme, port or path";
            self.refuse("advertise-host", &given, Some(host), text);
        }
        given.values
    }

    fn plugin_dns_servers(&mut self) -> Vec<SocketAddr> {
        let Some(given) = self.settings.get("plugin-dns-servers").cloned() else { return Vec::new() };
        let mut servers = Vec::new();
        for value in &given.values {
            match parse_dns_server(value) {
                Some(server) => servers.push(server),
                None => {
                    let text = "is no address of a DNS server; write IP or IP:PORT, for example 10.0.0.53, \
                                127.0.0.1:5353 or [2001:db8::53]:53";
                    self.refuse("plugin-dns-servers", &given, Some(value), text);
                }
            }
        }
        servers
    }

    /// The content of a file that a setting names.
    fn content(&mut self, key: &str) -> Option<(Given, String, Vec<u8>)> {
        let (given, value) = self.given(key)?;
        match self.files.read(Path::new(&value)) {
            Ok(content) => Some((given, value, content)),
            Err(error) => {
                self.refuse(key, &given, Some(&value), format!("cannot be read: {error}"));
                None
            }
        }
    }

    fn tls_files(&mut self) -> Option<(PathBuf, PathBuf)> {
        match (self.given("tls-cert-file"), self.given("tls-private-key-file")) {
            (None, None) => return None,
            (Some((given, value)), None) => {
                let text = "needs --tls-private-key-file as well: the key that belongs to this certificate";
                self.refuse("tls-cert-file", &given, Some(&value), text);
            }
            (None, Some((given, value))) => {
                let text = "needs --tls-cert-file as well: the certificate that belongs to this key";
                self.refuse("tls-private-key-file", &given, Some(&value), text);
            }
            (Some(_), Some(_)) => {}
        }
        let chain = self.certificates("tls-cert-file");
        let key = self.private_key("tls-private-key-file");
        let ((cert_given, cert_file, chain), (key_file, key)) = (chain?, key?);
        match CertifiedKey::from_der(chain, key, &default_provider()) {
            Ok(_) => Some((cert_file.into(), key_file.into())),
            Err(error) => {
                let text = format!("does not fit --tls-private-key-file {key_file:?}: {error}");
                self.refuse("tls-cert-file", &cert_given, Some(&cert_file), text);
                None
            }
        }
    }

    fn certificates(&mut self, key: &str) -> Option<(Given, String, Vec<CertificateDer<'static>>)> {
        let (given, value, content) = self.content(key)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
        let text = match chain {
            Ok(chain) if !chain.is_empty() => return Some((given, value, chain)),
            Ok(_) => "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned(),
            Err(error) => format!("is no PEM: {error}"),
        };
        self.refuse(key, &given, Some(&value), text);
        None
    }

    fn private_key(&mut self, key: &str) -> Option<(String, PrivateKeyDer<'static>)> {
        let (given, value, content) = self.content(key)?;
        match PrivateKeyDer::from_pem_slice(&content) {
            Ok(parsed) => Some((value, parsed)),
            Err(error) => {
                self.refuse(key, &given, Some(&value), format!("holds no private key in PEM: {error}"));
                None
            }
        }
    }

    fn client_ca(&mut self) -> Option<PathBuf> {
        let (given, value, certificates) = self.certificates("client-ca-file")?;
        let mut roots = rustls::RootCertStore::empty();
        for (index, certificate) in certificates.into_iter().enumerate() {
            if let Err(error) = roots.add(certificate) {
                let text = format!("certificate {} cannot be used as a CA: {error}", index + 1);
                self.refuse("client-ca-file", &given, Some(&value), text);
            }
        }
        Some(value.into())
    }

    fn token_file(&mut self) -> Option<PathBuf> {
        let (given, value, content) = self.content("token-auth-file")?;
        let told = match String::from_utf8(content).map(|text| parse_tokens(&text)) {
            Err(_) => vec!["is not UTF-8 text".to_owned()],
            Ok(Err(problems)) => problems.iter().map(ToString::to_string).collect(),
            Ok(Ok(_)) => Vec::new(),
        };
        for text in told {
            self.refuse("token-auth-file", &given, Some(&value), text);
        }
        Some(value.into())
    }
}

fn parse_listen(value: &str) -> Result<SocketAddr, String> {
    let text = match value.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None if value.starts_with(':') => format!("0.0.0.0{value}"),
        None => value.to_owned(),
    };
    text.parse().map_err(|_| {
        "is no address; write IP:PORT, for example 127.0.0.1:6443, [::1]:6443, or :0 for every \
         interface and a free port"
            .to_owned()
    })
}

fn parse_dns_server(value: &str) -> Option<SocketAddr> {
    let bare = value.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(value);
    let server = match bare.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, DNS_PORT),
        Err(_) => value.parse().ok()?,
    };
    (server.port() != 0).then_some(server)
}

fn parse_switch(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| "is neither true nor false".to_owned())
}

fn parse_workers(value: &str) -> Result<usize, String> {
    match value.parse::<usize>() {
        Ok(count @ 1..=MAX_WORKERS) => Ok(count),
        _ => Err(format!("must be a whole number from 1 to {MAX_WORKERS}")),
    }
}

fn parse_verbosity(value: &str) -> Result<u8, String> {
    value.parse().map_err(|_| "must be a whole number from 0 to 255".to_owned())
}

fn parse_drain(value: &str) -> Result<Duration, String> {
    let mend = || "must be a duration from 0s to 1h, for example 10s, 500ms or 2m".to_owned();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..digits].parse().map_err(|_| mend())?;
    let duration = match &value[digits..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        "h" => Duration::from_secs(number.saturating_mul(3600)),
        _ => return Err(mend()),
    };
    if duration > MAX_DRAIN { Err(mend()) } else { Ok(duration) }
}

/// Whether a text is a DNS name (RFC 1123) or an IP literal.
fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
