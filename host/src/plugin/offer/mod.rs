//! What guests may import: the `umbel:host` interfaces, their limits and the address policy.

pub(super) mod address;
pub(super) mod disguise;
pub(super) mod dns;
pub(super) mod host_functions;
pub(super) mod http_client;
pub(super) mod log_gate;
pub(super) mod probe_gate;
pub(super) mod probe_rules;
pub(super) mod script;
pub(super) mod witness;
