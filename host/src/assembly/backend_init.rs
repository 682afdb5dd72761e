//! `umbel backend init`.

use super::CommandError;
use super::shell::shell_word;
use crate::object::names;
use crate::pki::{BackendRequest, PkiError, prepare_backend};
use clap::{Args, ValueHint};
use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Flags of `umbel backend init`.
#[derive(Args, Debug)]
pub(super) struct InitFlags {
    /// The backend's service: the ExternalName that APIServices name
    #[arg(value_name = "NAMESPACE/NAME")]
    service: String,
    /// API group that the backend serves
    #[arg(long)]
    group: String,
    /// Version that it serves; may be repeated, the preferred one first
    #[arg(long = "version", value_name = "VERSION", required = true)]
    versions: Vec<String>,
    /// DNS name or IP under which Umbel reaches it
    #[arg(long, default_value = "127.0.0.1", value_hint = ValueHint::Hostname)]
    host: String,
    /// Port on which it will listen
    #[arg(long)]
    port: String,
    /// Folder to write
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Umbel's data directory; Umbel may run or not
    #[arg(long, value_name = "DIR", default_value = "./umbel-data", value_hint = ValueHint::DirPath)]
    data_dir: PathBuf,
}

/// Checks the flags, writes the folder and says what to do next.
pub(super) fn run(flags: &InitFlags) -> Result<(), CommandError> {
    let (namespace, name) = flags.service.split_once('/').unwrap_or(("", ""));
    let problems = problems(flags, namespace, name);
    if !problems.is_empty() {
        return Err(CommandError::Usage(problems.join("\n       ")));
    }
    let mut versions = flags.versions.clone();
    let mut seen = HashSet::new();
    versions.retain(|version| seen.insert(version.clone()));
    let request = BackendRequest {
        data_dir: &flags.data_dir,
        namespace,
        name,
        group: &flags.group,
        versions: &versions,
        host: &flags.host,
        port: flags.port.parse().unwrap_or(0),
        out: &flags.out,
        now: SystemTime::now(),
    };
    let files = prepare_backend(&request).map_err(|error: PkiError| CommandError::failed(error))?;
    let mut text = String::new();
    for notice in &files.notices {
        text.push_str(&format!("note: {notice}\n"));
    }
    let kubeconfig = flags.data_dir.join("admin.kubeconfig");
    let when =
        if kubeconfig.exists() { "" } else { ", once `umbel serve` has started and made the kubeconfig," };
    text.push_str(&format!(
        "{} is ready. Start the backend with\n\n  {}\n\nand register it{when} with\n\n  \
         kubectl --kubeconfig {} apply -f {}\n",
        files.directory.display(),
        start_command(&files.directory.join("flags.txt")),
        shell_word(&kubeconfig),
        shell_word(&files.directory.join("register.yaml")),
    ));
    super::print(&text)
}

/// How a shell hands on the flags of a file, one a line, whole.
fn start_command(flags: &Path) -> String {
    let word = shell_word(flags);
    if word.starts_with('\'') {
        format!("xargs -d '\\n' -a {word} my-apiserver")
    } else {
        format!("my-apiserver $(cat {word})")
    }
}

fn problems(flags: &InitFlags, namespace: &str, name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !names::dns1123_label(namespace).is_empty() || !names::dns1123_label(name).is_empty() {
        problems.push(format!(
            "{:?}: must be NAMESPACE/NAME, each of lower-case letters, digits and -, for example default/flunders",
            flags.service
        ));
    }
    if !flags.group.contains('.') || !names::dns1123_subdomain(&flags.group).is_empty() {
        problems.push(format!(
            "--group {:?}: must be a DNS name with a dot, for example wardle.example.com",
            flags.group
        ));
    }
    for version in flags.versions.iter().filter(|version| !names::dns1035_label(version).is_empty()) {
        problems.push(format!("--version {version:?}: must be like v1 or v1alpha1"));
    }
    if flags.host.parse::<IpAddr>().is_err() && !names::dns1123_subdomain(&flags.host).is_empty() {
        problems.push(format!(
            "--host {:?}: must be a DNS name or an IP, without scheme, port or path",
            flags.host
        ));
    }
    if !flags.port.parse::<u16>().is_ok_and(|port| port > 0) {
        problems.push(format!("--port {:?}: must be a number from 1 to 65535", flags.port));
    }
    problems
}
