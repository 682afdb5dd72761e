//! What a plugin may reach: `spec.grants` and `spec.secrets`.

use super::quantity::size;
use crate::plugin::offer::probe_rules::ProbePrefix;
use crate::plugin::offer::state;
use crate::plugin::source::pattern::Pattern;
use ipnet::IpNet;
use serde::Deserialize;
use std::path::PathBuf;

/// What a plugin may reach; nothing by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Grants {
    /// Names that may be looked up, such as `*.consul`.
    pub dns: Vec<Pattern>,
    /// URL prefixes that requests may go to, such as `https://consul.internal:8501/v1/`.
    pub http: Vec<String>,
    /// A PEM file with the authorities that `https` is verified against; the system's without it.
    pub ca_file: Option<PathBuf>,
    /// Loopback and private ranges that are opened.
    pub addresses: Vec<IpNet>,
    /// Paths of a backend that health checks may ask for, besides those of health and discovery.
    pub probe: Vec<ProbePrefix>,
    /// Memory between calls; none without it.
    pub state: Option<StateGrant>,
}

/// How much a plugin may remember.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::plugin) struct StateGrant {
    #[serde(deserialize_with = "size")]
    bytes: Option<usize>,
}

impl StateGrant {
    /// Bytes of all keys and values.
    pub(in crate::plugin) fn bytes(&self) -> usize {
        self.bytes.unwrap_or(state::BYTES_MAX)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match self.bytes() {
            bytes if bytes == 0 || bytes > state::BYTES_MAX => {
                Err("spec.grants.state.bytes must be from 1KiB to 1MiB".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// A secret that the host adds to a request of the plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::plugin) struct Secret {
    /// Where it lies; read for each request, so that it may rotate.
    pub file: PathBuf,
    /// The header that carries it.
    #[serde(default = "authorization")]
    pub header: String,
    /// What stands before it.
    #[serde(default = "bearer")]
    pub prefix: String,
}

fn authorization() -> String {
    "Authorization".to_owned()
}

fn bearer() -> String {
    "Bearer ".to_owned()
}
