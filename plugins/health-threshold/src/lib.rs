//! Judges a backend by several answers in a row, on a path of its author's choice.
//!
//! The decision is in [`judge`]; `component.rs` only ties it to the host.

// Its export names are none that a native linker would take, and nothing native needs it.
#[cfg(target_arch = "wasm32")]
mod component;
mod judge;
mod settings;

pub use judge::{Judgement, Observation, State, Streak, judge};
pub use settings::{Need, Settings};
