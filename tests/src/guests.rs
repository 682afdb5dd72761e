//! The guest crates of the tree as components, built once per run.

use crate::Missing;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use umbel::assembly::{PluginBuildArgs, build_plugin};

/// The Rust target whose programs use WASI.
const WASI: &str = "wasm32-wasip2";

/// A guest crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// `plugins/resolver-srv`.
    ResolverSrv,
    /// `plugins/health-threshold`.
    HealthThreshold,
    /// `plugins/discovery-filter`.
    DiscoveryFilter,
    /// Twin of the built-in resolver.
    ResolverExternalName,
    /// Twin of the built-in health checker.
    HealthDiscoveryProbe,
    /// Twin of the built-in transformer.
    DiscoveryIdentity,
    /// Asks a server over HTTP.
    ResolverHttp,
    /// Does whatever its settings say.
    Misbehaving,
    /// Looks a name up without end.
    Waiting,
    /// Asks the host whatever its settings say.
    Asking,
    /// Plain Rust for `wasm32-wasip2`.
    Standard,
}

impl Guest {
    fn folder(self) -> &'static str {
        match self {
            Self::ResolverSrv => "plugins/resolver-srv",
            Self::HealthThreshold => "plugins/health-threshold",
            Self::DiscoveryFilter => "plugins/discovery-filter",
            Self::ResolverExternalName => "tests/guests/resolver-external-name",
            Self::HealthDiscoveryProbe => "tests/guests/health-discovery-probe",
            Self::DiscoveryIdentity => "tests/guests/discovery-identity",
            Self::ResolverHttp => "tests/guests/resolver-http",
            Self::Misbehaving => "tests/guests/misbehaving",
            Self::Waiting => "tests/guests/waiting",
            Self::Asking => "tests/guests/asking",
            Self::Standard => "tests/guests/standard",
        }
    }

    /// The component; built with a target directory of its own, so that it never waits for the cargo that runs
    /// the tests.
    ///
    /// # Errors
    /// Why it cannot be built, for example a missing Rust target with the command that installs it.
    pub fn component(self) -> Result<PathBuf, Missing> {
        static BUILT: [OnceLock<Result<PathBuf, Missing>>; 11] = [const { OnceLock::new() }; 11];
        BUILT[self as usize].get_or_init(|| self.build()).clone()
    }

    fn build(self) -> Result<PathBuf, Missing> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target_dir = root.join("target/guests");
        if self == Self::Standard {
            return self.build_for_wasi(&root, &target_dir);
        }
        let args = PluginBuildArgs {
            dir: root.join(self.folder()),
            output: target_dir.join("components"),
            target_dir: Some(target_dir),
        };
        let missing = |reason: String| Missing(format!("{}: {reason}", self.folder()));
        let built = build_plugin(&args).map_err(|error| missing(error.to_string()))?;
        built.into_iter().next().ok_or_else(|| missing("no component".to_owned()))
    }

    /// Without `umbel plugin build`: the target makes components by itself.
    fn build_for_wasi(self, root: &Path, target_dir: &Path) -> Result<PathBuf, Missing> {
        let missing = |reason: String| Missing(format!("{}: {reason}", self.folder()));
        let built = Command::new("cargo")
            .args(["build", "--release", "--quiet", "--target", WASI])
            .arg("--manifest-path")
            .arg(root.join(self.folder()).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(target_dir)
            .output()
            .map_err(|error| missing(error.to_string()))?;
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr).into_owned();
            return Err(missing(format!("{said}\nis the target there? rustup target add {WASI}")));
        }
        let name = Path::new(self.folder()).file_name().unwrap_or_default();
        Ok(target_dir.join(WASI).join("release").join(name).with_extension("wasm"))
    }
}
