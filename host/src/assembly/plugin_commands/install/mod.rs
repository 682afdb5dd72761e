//! `umbel plugin install`: checks a component and puts it where a gateway watches.

mod arrival;
mod place;

use super::check::judge;
use super::gateway::{Gateway, GatewayFlags};
use super::given::{Given, GivenFlags, pin};
use crate::assembly::CommandError;
use clap::{Args, ValueHint};
use place::Placement;
use std::fs;
use std::path::{Path, PathBuf};

/// Flags of `umbel plugin install`.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct InstallFlags {
    #[command(flatten)]
    given: GivenFlags,
    /// The plugin's name [default: the name of the file]
    #[arg(long)]
    name: Option<String>,
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
    #[command(flatten)]
    gateway: GatewayFlags,
}

/// Checks, writes, and waits where that is asked for.
///
/// # Errors
/// `Failed` when a gateway would refuse the component, and when something cannot be written or does not come to serve.
pub(super) fn run(flags: &InstallFlags) -> Result<(), CommandError> {
    let mut given = flags.given.read()?;
    if let Some(name) = &flags.name {
        given.name.clone_from(name);
    }
    let directory = flags.plugin_dir.clone().unwrap_or_else(|| flags.data_dir.join("plugins"));
    let kept = keep_manifest(flags, &mut given, &directory)?;
    if let Some(refusal) = judge(&given).refusal {
        return Err(CommandError::failed(format!(
            "{}: a gateway refuses it, so it is not installed\n{}",
            given.file.display(),
            refusal.text().trim_end()
        )));
    }
    let gateway = flags.wait.then(|| open_gateway(flags)).transpose().map_err(CommandError::Failed)?;
    let paths = write(&given, &directory, kept.is_none())
        .map_err(|cause| CommandError::failed(format!("{}: {cause}", directory.display())))?;
    let mut text: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    if let Some(path) = kept {
        text.push_str(&format!("{} stays as it is; --manifest replaces it\n", path.display()));
    }
    crate::assembly::print(&text)?;
    match gateway {
        None => Ok(()),
        Some(gateway) => arrival::wait(&gateway, &given.name, &pin(&given.component), flags.timeout),
    }
}

/// The manifest that an operator has written in the plugin directory holds over the author's, unless told otherwise.
/// It is the one that the component is checked with.
fn keep_manifest(
    flags: &InstallFlags,
    given: &mut Given,
    directory: &Path,
) -> Result<Option<PathBuf>, CommandError> {
    let present = directory.join(format!("{}.yaml", given.name));
    if flags.given.manifest.is_some() || !present.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&present)
        .map_err(|cause| CommandError::failed(format!("{}: {cause}", present.display())))?;
    let differs = given.manifest_text() != Some(&text);
    given.manifest = Some((present.clone(), text));
    Ok(differs.then_some(present))
}

fn open_gateway(flags: &InstallFlags) -> Result<Gateway, String> {
    let beside = flags.data_dir.join("admin.kubeconfig");
    let kubeconfig = flags.gateway.kubeconfig.clone().or_else(|| beside.exists().then_some(beside));
    Gateway::open(&GatewayFlags { kubeconfig })
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
