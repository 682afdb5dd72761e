//! Hides and reorders groups in discovery by rule.
//!
//! The decision is in [`Rules`]; `component.rs` only ties it to the host.

// Its export names are none that a native linker would take, and nothing native needs it.
#[cfg(target_arch = "wasm32")]
mod component;
mod pattern;
mod rules;

pub use pattern::matches;
pub use rules::{Outcome, Rules};
