//! Lays the flags over the file and checks the whole.

use super::checks::Checker;
use super::file;
use super::flags::ServeFlags;
use super::problem::{Origin, Problem, Problems};
use super::settings::ServeConfig;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Every setting's name, on the command line (with `--`) and in the file.
pub(super) const KEYS: [&str; 15] = [
    "advertise-host",
    "client-ca-file",
    "data-dir",
    "drain-timeout",
    "listen",
    "log-format",
    "manifest-dir",
    "plugin-dir",
    "plugin-dns-servers",
    "plugins-insecure-permissions",
    "tls-cert-file",
    "tls-private-key-file",
    "token-auth-file",
    "verbose",
    "worker-threads",
];
/// The settings that may be lists.
pub(super) const LIST_KEYS: [&str; 2] = ["advertise-host", "plugin-dns-servers"];

/// One setting as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) values: Vec<String>,
    pub(super) origin: Origin,
}

/// Settings by name.
pub(super) type Settings = BTreeMap<&'static str, Given>;

/// What the checks ask of the disk.
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// As reading it does.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Whether something stands there that is not a directory.
    fn is_other_than_directory(&self, path: &Path) -> bool;
}

/// Merges flags and file (flags win) and checks everything.
///
/// `cores` is the default of `--worker-threads`.
///
/// # Errors
/// All that is wrong, at once.
pub fn load(flags: &ServeFlags, files: &dyn Files, cores: usize) -> Result<ServeConfig, Problems> {
    let mut problems = flags.misunderstood.clone();
    let mut settings = match &flags.config {
        Some(path) => read_file(path, files, &mut problems),
        None => Settings::default(),
    };
    settings.extend(flags.settings());
    let mut checker = Checker { settings, files, problems };
    let config = ServeConfig { allow_empty_store: flags.allow_empty_store, ..checker.config(cores) };
    if checker.problems.is_empty() { Ok(config) } else { Err(Problems(checker.problems)) }
}

fn read_file(path: &Path, files: &dyn Files, problems: &mut Vec<Problem>) -> Settings {
    let problem = |text: String| Problem {
        origin: Origin::Flag,
        key: "config".to_owned(),
        value: Some(path.display().to_string()),
        text,
    };
    match files.read(path).map(String::from_utf8) {
        Ok(Ok(text)) => file::parse(path, &text, problems),
        Ok(Err(_)) => {
            problems.push(problem("is not UTF-8 text".to_owned()));
            Settings::default()
        }
        Err(error) => {
            problems.push(problem(format!("cannot be read: {error}")));
            Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;
    use std::collections::HashMap;
    use std::path::PathBuf;
    use std::time::Duration;

    /// A disk made of a table; paths that end in `.d` are no directories.
    #[derive(Default)]
    struct Table(HashMap<PathBuf, String>);

    impl Files for Table {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            let missing = || io::Error::new(io::ErrorKind::NotFound, "no such file");
            self.0.get(path).map(|text| text.clone().into_bytes()).ok_or_else(missing)
        }

        fn is_other_than_directory(&self, path: &Path) -> bool {
            self.0.contains_key(path)
        }
    }

    fn table(files: &[(&str, &str)]) -> Table {
        Table(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
    }

    fn told(flags: &ServeFlags, files: &[(&str, &str)]) -> Vec<String> {
        load(flags, &table(files), 2).unwrap_err().0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_follow_the_data_dir() {
        let flags = ServeFlags { data_dir: Some("/d".into()), ..ServeFlags::default() };
        let config = load(&flags, &Table::default(), 3).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:6443");
        assert_eq!(config.plugin_dir, Path::new("/d/plugins"));
        assert_eq!(config.manifest_dir, Path::new("/d/manifests"));
        assert_eq!((config.worker_threads, config.drain_timeout), (3, Duration::from_secs(10)));
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = "listen: :7443\nadvertise-host: [a.example, 10.0.0.1]\nworker-threads: 4\nverbose: 2\n\
                    log-format: json\ndrain-timeout: 500ms\n";
        let flags = ServeFlags {
            config: Some("u.yaml".into()),
            listen: Some("localhost:0".into()),
            ..ServeFlags::default()
        };
        let config = load(&flags, &table(&[("u.yaml", file)]), 1).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:0");
        assert_eq!(config.advertise_hosts, ["a.example", "10.0.0.1"]);
        assert_eq!((config.worker_threads, config.verbosity, config.log_format), (4, 2, LogFormat::Json));
        assert_eq!(config.drain_timeout, Duration::from_millis(500));
        let flags = ServeFlags { config: Some("u.yaml".into()), ..ServeFlags::default() };
        assert_eq!(load(&flags, &table(&[("u.yaml", file)]), 1).unwrap().listen.to_string(), "0.0.0.0:7443");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let flags = ServeFlags {
            config: Some("u.yaml".into()),
            data_dir: Some("taken".into()),
            listen: Some("example.com".into()),
            advertise_host: vec!["ok.example".into(), "https://x/".into()],
            tls_private_key_file: Some("k.pem".into()),
            client_ca_file: Some("empty".into()),
            token_auth_file: Some("tokens".into()),
            ..ServeFlags::default()
        };
        let file = "worker-threads: 0\nlog-format: xml\nlissen: 1\ndrain-timeout: 10\nverbose: many\n";
        let files = [
            ("u.yaml", file),
            ("taken", ""),
            ("empty", ""),
            ("k.pem", "no key"),
            ("tokens", "a,b\nc,d,e\nf\n"),
        ];
        let told = told(&flags, &files);
        let expected = [
            "u.yaml:3: lissen: no such setting",
            "--data-dir \"taken\": is there already and is no directory",
            "u.yaml:2: log-format \"xml\": is neither text nor json",
            "--listen \"example.com\": is no address; write IP:PORT",
            "--advertise-host \"https://x/\": is neither a DNS name nor an IP",
            "--tls-private-key-file \"k.pem\": needs --tls-cert-file as well",
            "--tls-private-key-file \"k.pem\": holds no private key in PEM",
            "--client-ca-file \"empty\": holds no certificate in PEM",
            "--token-auth-file \"tokens\": line 1: at least 3 columns",
            "--token-auth-file \"tokens\": line 3: at least 3 columns",
            "u.yaml:1: worker-threads \"0\": must be a whole number from 1 to 1024",
            "u.yaml:4: drain-timeout \"10\": must be a duration",
            "u.yaml:5: verbose \"many\": must be a whole number",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}\n{expected}");
        }
    }

    #[test]
    fn dns_servers_of_plugins_are_addresses() {
        let file = "plugin-dns-servers: [10.0.0.53, '127.0.0.1:5353', '2001:db8::53', '[2001:db8::53]:54', '[::1]']\n";
        let flags = ServeFlags { config: Some("u.yaml".into()), ..ServeFlags::default() };
        let config = load(&flags, &table(&[("u.yaml", file)]), 1).unwrap();
        let servers: Vec<_> = config.plugin_dns_servers.iter().map(ToString::to_string).collect();
        assert_eq!(
            servers,
            ["10.0.0.53:53", "127.0.0.1:5353", "[2001:db8::53]:53", "[2001:db8::53]:54", "[::1]:53"]
        );
        let flags = ServeFlags {
            plugin_dns_servers: ["dns.example.com", "1.2.3.4:0", "1.2.3.4"].map(str::to_owned).into(),
            ..ServeFlags::default()
        };
        let told = told(&flags, &[]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("--plugin-dns-servers \"dns.example.com\": is no address"), "{told:?}");
        assert!(told[1].starts_with("--plugin-dns-servers \"1.2.3.4:0\": is no address"), "{told:?}");
    }

    #[test]
    fn insecure_permissions_are_asked_for_in_clear_words() {
        let flags = |given| ServeFlags {
            config: Some("u.yaml".into()),
            plugins_insecure_permissions: given,
            ..ServeFlags::default()
        };
        for (given, file, wanted) in [
            (false, "verbose: 1", false),
            (true, "verbose: 1", true),
            (false, "plugins-insecure-permissions: true", true),
            (false, "plugins-insecure-permissions: false", false),
            (true, "plugins-insecure-permissions: false", true),
        ] {
            let config = load(&flags(given), &table(&[("u.yaml", file)]), 1).unwrap();
            assert_eq!(config.plugins_insecure_permissions, wanted, "{given} {file}");
        }
        let told = told(&flags(false), &[("u.yaml", "plugins-insecure-permissions: maybe")]);
        assert!(told[0].contains("\"maybe\": is neither true nor false"), "{told:?}");
    }

    #[test]
    fn files_that_cannot_be_read_are_told() {
        let flags = ServeFlags {
            config: Some("gone.yaml".into()),
            tls_cert_file: Some("c".into()),
            tls_private_key_file: Some("k".into()),
            ..ServeFlags::default()
        };
        assert_eq!(
            told(&flags, &[]),
            [
                "--config \"gone.yaml\": cannot be read: no such file",
                "--tls-cert-file \"c\": cannot be read: no such file",
                "--tls-private-key-file \"k\": cannot be read: no such file",
            ]
        );
    }

    #[test]
    fn a_key_that_belongs_to_another_certificate_is_told() {
        let one = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let flags = ServeFlags {
            tls_cert_file: Some("c".into()),
            tls_private_key_file: Some("k".into()),
            ..ServeFlags::default()
        };
        let (certificate, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let config = load(&flags, &table(&[("c", &certificate), ("k", &key)]), 1).unwrap();
        assert_eq!(config.tls_files, Some(("c".into(), "k".into())));
        let key = other.signing_key.serialize_pem();
        let told = told(&flags, &[("c", &certificate), ("k", &key)]);
        assert!(
            told[0].starts_with("--tls-cert-file \"c\": does not fit --tls-private-key-file \"k\""),
            "{told:?}"
        );
    }
}
