//! Finds the endpoints of a service by DNS SRV records.
//!
//! The decision is in [`resolve`]; `component.rs` only ties it to the host.

// Its export names are none that a native linker would take, and nothing native needs it.
#[cfg(target_arch = "wasm32")]
mod component;
mod resolve;
mod settings;

pub use resolve::{Address, Answer, Dns, DnsFault, Endpoint, Fault, Record, Target, resolve};
pub use settings::Settings;
