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
pub(super) const KEYS: [&str; 13] = [
    "advertise-host",
    "client-ca-file",
    "data-dir",
    "drain-timeout",
    "listen",
    "log-format",
    "manifest-dir",
    "plugin-dir",
    "tls-cert-file",
    "tls-private-key-file",
    "token-auth-file",
    "verbose",
    "worker-threads",
];
/// The settings that may be lists.
pub(super) const LIST_KEYS: [&str; 1] = ["advertise-host"];

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
    let mut problems = Vec::new();
    let mut settings = match &flags.config {
        Some(path) => read_file(path, files, &mut problems),
        None => Settings::default(),
    };
    settings.extend(flags.settings());
    let mut checker = Checker { settings, files, problems };
    let config = checker.config(cores);
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
