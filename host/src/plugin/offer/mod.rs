//! What guests may import: the `umbel:host` interfaces, their limits and the address policy.

pub(super) mod address;
pub(super) mod counted;
pub(super) mod declared_metrics;
pub(super) mod disguise;
pub(super) mod dns;
pub(super) mod host_functions;
pub(super) mod http_client;
pub(super) mod kept_functions;
pub(super) mod log_gate;
pub(super) mod probe_gate;
pub(super) mod probe_rules;
pub(super) mod script;
#[cfg(feature = "wasi-std")]
pub(super) mod standard_output;
pub(super) mod state;
pub(super) mod user_metrics;
#[cfg(feature = "wasi-std")]
pub(super) mod wasi_std;
pub(super) mod witness;
