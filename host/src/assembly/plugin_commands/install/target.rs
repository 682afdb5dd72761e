//! Where a plugin is installed, and the gateway that watches there.

use super::InstallFlags;
use crate::assembly::CommandError;
use crate::assembly::plugin_commands::gateway::{Gateway, GatewayFlags};
use crate::assembly::plugin_commands::shell_word;
use crate::assembly::plugin_commands::similar_path::closest_path;
use std::path::{Path, PathBuf};

/// A plugin directory, and the gateway that watches it.
pub(super) struct Target {
    /// The plugin directory.
    pub(super) directory: PathBuf,
    /// The gateway, if it answers.
    pub(super) gateway: Option<Gateway>,
    /// A notice for an operator whose gateway does not answer.
    pub(super) notice: String,
}

impl Target {
    /// Finds the directory and asks the gateway whether it watches there, before anything is written.
    ///
    /// # Errors
    /// `Usage` when the directory does not exist or the gateway watches another one; `Failed` when a gateway is to be
    /// waited for and does not answer.
    pub(super) fn find(flags: &InstallFlags) -> Result<Self, CommandError> {
        let directory = directory(flags)?;
        let kubeconfig = kubeconfig(flags);
        let is_known = kubeconfig.is_some();
        let opened = Gateway::open(&GatewayFlags { kubeconfig })
            .and_then(|gateway| Ok((gateway.get("/plugins")?, gateway)));
        match opened {
            Ok((Some(report), gateway)) => {
                check_directory(report["directory"].as_str(), &directory, gateway.server())?;
                Ok(Self { directory, gateway: Some(gateway), notice: String::new() })
            }
            Ok((None, gateway)) if flags.wait => Err(CommandError::failed(format!(
                "the gateway at {} has no /plugins: it runs without plugins",
                gateway.server()
            ))),
            Err(cause) if flags.wait => Err(CommandError::failed(format!(
                "no gateway answers, so there is nothing to wait for: {cause}"
            ))),
            Ok((None, _)) if is_known => {
                Ok(Self { directory, gateway: None, notice: "the gateway runs without plugins\n".to_owned() })
            }
            Ok((None, gateway)) => {
                let cause = format!("the server at {} has no /plugins", gateway.server());
                Ok(Self { notice: unwatched(&directory, &cause), directory, gateway: None })
            }
            Err(cause) if is_known => {
                let notice =
                    format!("no gateway answers ({cause}); one that watches there loads it when it starts\n");
                Ok(Self { directory, gateway: None, notice })
            }
            Err(cause) => {
                Ok(Self { notice: unwatched(&directory, &cause.to_string()), directory, gateway: None })
            }
        }
    }
}

fn unwatched(directory: &Path, cause: &str) -> String {
    format!(
        "no gateway is known to watch {} ({cause}); name the kubeconfig of yours with --kubeconfig\n",
        directory.display()
    )
}

/// The plugin directory, which must exist: files in a mistyped directory would never be loaded.
fn directory(flags: &InstallFlags) -> Result<PathBuf, CommandError> {
    if let Some(directory) = &flags.plugin_dir {
        return match directory.is_dir() {
            true => Ok(directory.clone()),
            false => Err(CommandError::Usage(format!(
                "--plugin-dir {}: there is no such directory{}; a gateway makes its plugin directory when it starts",
                directory.display(),
                meant(directory)
            ))),
        };
    }
    let data_dir = &flags.data_dir;
    if data_dir.join("admin.kubeconfig").is_file() {
        return Ok(data_dir.join("plugins"));
    }
    let problem = if data_dir.is_dir() { "is not the data directory of a gateway" } else { "does not exist" };
    Err(CommandError::Usage(format!(
        "{} {problem}{}, so no gateway would load the plugin; start one with `umbel serve --data-dir {}`, or name \
         the data directory of yours with --data-dir, or its plugin directory with --plugin-dir",
        data_dir.display(),
        meant(data_dir),
        shell_word(data_dir)
    )))
}

fn meant(path: &Path) -> String {
    match closest_path(path) {
        Some(similar) if !path.exists() => format!(" (did you mean {}?)", similar.display()),
        _ => String::new(),
    }
}

/// The kubeconfig of the gateway that watches the directory. With the kubeconfig of another gateway, the command
/// would report that the plugin never loads, or worse, report on another plugin of the same name.
fn kubeconfig(flags: &InstallFlags) -> Option<PathBuf> {
    match (&flags.kubeconfig, &flags.plugin_dir) {
        (Some(path), _) => Some(path.clone()),
        (None, None) => Some(flags.data_dir.join("admin.kubeconfig")),
        // Beside a default plugin directory lies the kubeconfig of its gateway.
        (None, Some(directory)) => {
            let beside = directory.join("../admin.kubeconfig");
            beside.is_file().then_some(beside)
        }
    }
}

/// Compares the directory that the gateway watches with the target directory. A gateway in a container may use
/// another path for the same directory, so a path that does not exist here proves nothing.
fn check_directory(watched: Option<&str>, directory: &Path, server: &str) -> Result<(), CommandError> {
    let Some(watched) = watched.map(Path::new) else { return Ok(()) };
    let (Ok(there), Ok(here)) = (watched.canonicalize(), directory.canonicalize()) else { return Ok(()) };
    if there == here {
        return Ok(());
    }
    Err(CommandError::Usage(format!(
        "the gateway at {server} watches {}, not {}, so nothing is installed; write --plugin-dir {}, or name the \
         kubeconfig of the gateway that is meant with --kubeconfig",
        watched.display(),
        directory.display(),
        shell_word(watched)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_watches_elsewhere_is_named_with_its_directory() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let watched = one.path().display().to_string();
        check_directory(Some(&watched), one.path(), "https://a").unwrap();
        check_directory(Some(&watched), &one.path().join("."), "https://a").unwrap();
        check_directory(None, two.path(), "https://a").unwrap();
        check_directory(Some("/no/such/place"), two.path(), "https://a").unwrap();
        let error = check_directory(Some(&watched), two.path(), "https://a").unwrap_err();
        assert!(matches!(&error, CommandError::Usage(text) if text.contains(&watched)), "{error}");
    }
}
