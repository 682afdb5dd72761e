//! The flags of `umbel serve`. Values stay text here, so that all that is wrong can be said at once.

use super::merge::{Given, Settings};
use super::problem::{Origin, Problem};
use clap::{ArgAction, Args, ValueHint};
use std::path::PathBuf;

/// Flags of `umbel serve`. Every one but `--config` and `--allow-empty-store` may also stand in the file, under the same
/// name.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeFlags {
    /// YAML file with any of the settings below under the same names (`data-dir: …`); flags win
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Where certificates and objects are kept; made on first start [default: ./umbel-data]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<String>,
    /// Start without objects although this data directory had a store, which is lost (not in the file: it is meant for
    /// one start)
    #[arg(long)]
    pub allow_empty_store: bool,
    /// Address to serve on; port 0 picks a free one [default: 127.0.0.1:6443]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Further DNS name or IP for the serving certificate; may be repeated
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub advertise_host: Vec<String>,
    /// WebAssembly components to load [default: DATA-DIR/plugins]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub plugin_dir: Option<String>,
    /// DNS server that plugins ask, in place of those of the system; may be repeated
    #[arg(long = "plugin-dns-servers", value_name = "IP[:PORT]")]
    pub plugin_dns_servers: Vec<String>,
    /// Load plugins that others than root and Umbel's own user may write (in the file: `true`)
    #[arg(long)]
    pub plugins_insecure_permissions: bool,
    /// YAML objects to apply and keep applied [default: DATA-DIR/manifests]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub manifest_dir: Option<String>,
    /// Serving certificate chain in PEM, instead of one from Umbel's CA
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tls_cert_file: Option<String>,
    /// Private key in PEM that belongs to --tls-cert-file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tls_private_key_file: Option<String>,
    /// CA certificates in PEM whose client certificates are accepted, beside Umbel's own client CA
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub client_ca_file: Option<String>,
    /// Static bearer tokens, one line each: token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_auth_file: Option<String>,
    /// Threads that serve requests [default: the number of cores]
    #[arg(long, value_name = "N")]
    pub worker_threads: Option<String>,
    /// How long requests in flight may take after SIGTERM, for example 10s or 500ms [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub drain_timeout: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Log more; -vv logs even more (in the file: `verbose: 2`)
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub verbose: u8,
    /// What could not be understood on the command line.
    #[arg(skip)]
    pub misunderstood: Vec<Problem>,
}

impl ServeFlags {
    /// What was given, by name.
    pub(super) fn settings(&self) -> Settings {
        let single = [
            ("data-dir", &self.data_dir),
            ("listen", &self.listen),
            ("plugin-dir", &self.plugin_dir),
            ("manifest-dir", &self.manifest_dir),
            ("tls-cert-file", &self.tls_cert_file),
            ("tls-private-key-file", &self.tls_private_key_file),
            ("client-ca-file", &self.client_ca_file),
            ("token-auth-file", &self.token_auth_file),
            ("worker-threads", &self.worker_threads),
            ("drain-timeout", &self.drain_timeout),
            ("log-format", &self.log_format),
        ];
        let mut settings = Settings::default();
        for (key, value) in single {
            if let Some(value) = value {
                settings.insert(key, Given { values: vec![value.clone()], origin: Origin::Flag });
            }
        }
        let repeated =
            [("advertise-host", &self.advertise_host), ("plugin-dns-servers", &self.plugin_dns_servers)];
        for (key, values) in repeated {
            if !values.is_empty() {
                settings.insert(key, Given { values: values.clone(), origin: Origin::Flag });
            }
        }
        if self.plugins_insecure_permissions {
            let values = vec!["true".to_owned()];
            settings.insert("plugins-insecure-permissions", Given { values, origin: Origin::Flag });
        }
        if self.verbose > 0 {
            let values = vec![self.verbose.to_string()];
            settings.insert("verbose", Given { values, origin: Origin::Flag });
        }
        settings
    }
}
