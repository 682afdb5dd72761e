//! `umbel plugin install`: checks a component and puts it where a gateway watches.

mod arrival;
mod manifest;
mod place;
mod target;

use super::check::judge;
use super::given::{Given, GivenFlags, pin};
use crate::assembly::CommandError;
use clap::{Args, ValueHint};
use manifest::{Choice, choose};
use place::Placement;
use std::path::{Path, PathBuf};
use target::Target;

/// Flags of `umbel plugin install`.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct InstallFlags {
    #[command(flatten)]
    given: GivenFlags,
    /// The plugin's name [default: the name of the file]
    #[arg(long)]
    name: Option<String>,
    /// Keep the installed manifest where it differs from the plugin's own
    #[arg(long, conflicts_with = "replace_manifest")]
    keep_manifest: bool,
    /// Replace the installed manifest where it differs from the plugin's own
    #[arg(long)]
    replace_manifest: bool,
    /// The gateway's plugin directory [default: plugins in the data directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "data_dir")]
    plugin_dir: Option<PathBuf>,
    /// The gateway's data directory
    #[arg(long, value_name = "DIR", default_value = "./umbel-data", value_hint = ValueHint::DirPath)]
    data_dir: PathBuf,
    /// Wait until the running gateway serves it
    #[arg(long)]
    wait: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait")]
    timeout: u64,
    /// Kubeconfig of the gateway [default: admin.kubeconfig in the data directory; with --plugin-dir $KUBECONFIG, else
    /// ./umbel-data/admin.kubeconfig]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
}

/// Checks, writes, and waits where that is asked for.
///
/// # Errors
/// `Usage` when there is no such directory, or the gateway watches another one. `Failed` when a gateway would reject
/// the component, its manifest differs from the installed one, or it does not come to serve.
pub(super) fn run(flags: &InstallFlags) -> Result<(), CommandError> {
    let mut given = flags.given.read()?;
    if let Some(name) = &flags.name {
        given.name.clone_from(name);
    }
    let target = Target::find(flags)?;
    let choice = choose(flags, &mut given, &target.directory)?;
    let judgement = judge(&given);
    if judgement.refusal.is_some() {
        return Err(CommandError::failed(format!(
            "{}: a gateway rejects it, so it is not installed\n{}",
            given.file.display(),
            judgement.complaints().trim_end()
        )));
    }
    let paths = write(&given, &target.directory, choice == Choice::Write)
        .map_err(|cause| CommandError::failed(format!("{}: {cause}", target.directory.display())))?;
    let mut text: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    if let Choice::Keep(path) = &choice {
        text.push_str(&format!("{} stays as it is\n", path.display()));
    }
    text.push_str(&target.notice);
    crate::assembly::print(&text)?;
    match target.gateway.filter(|_| flags.wait) {
        None => Ok(()),
        Some(gateway) => arrival::wait(&gateway, &given.name, &pin(&given.component), flags.timeout),
    }
}

/// The manifest appears first: a component without it would be granted nothing for a moment.
fn write(given: &Given, directory: &Path, with_manifest: bool) -> std::io::Result<Vec<PathBuf>> {
    let mut placement = Placement::open(directory)?;
    if let Some((_, manifest)) = given.manifest.as_ref().filter(|_| with_manifest) {
        placement.write(&format!("{}.yaml", given.name), manifest.as_bytes())?;
    }
    placement.write(&format!("{}.wasm", given.name), &given.component)?;
    placement.publish()
}
