//! The only folder that names wasmtime: loads components and adapts them to decisions.
//!
//! ```text
//! source/ directory ─► component/ load (gate, compile, identify, link, describe, validate) ─► generation ─► slot
//!                                                                                                            │
//! decision traits ◄─ adapter/ (resolver, health, discovery) ─► component/ runner (fresh store, budgets) ◄────┘
//!                                                                     │
//!                                                                   offer/ (what guests may import)
//! ```
//!
//! Components live in one directory: `<name>.wasm`, and `<name>.yaml` beside it where it needs settings, grants
//! or bindings. A change is compiled on a thread of its own and swapped in whole; calls in flight keep what they
//! began with. A component that cannot be loaded or that fails costs nothing but itself: the generation before
//! it, or the built-in, answers instead.

mod adapter;
mod bound;
mod breaker;
mod candidate;
mod code;
mod component;
mod cures;
mod host;
mod offer;
mod progress;
pub mod record;
mod rehearsal;
mod removed;
mod roster;
mod rules;
mod saved;
mod settings_schema;
mod slot;
mod source;
mod status;
mod succession;
mod telemetry;
mod views;
mod workbench;

pub use adapter::stand_in::StandInCount;
pub use bound::Binding;
pub use code::compiler::{CompileChild, CompileLimits, Compiler};
pub use code::foundry::CodeCounts;
pub use code::labour::compile_for_parent;
pub use component::load::digest;
pub use host::{Builtins, Host, PluginConfig, StartError};
pub use rehearsal::Rehearsal;
pub use settings_schema::{SchemaFault, SchemaProblem, check_settings};
pub use source::rights::Trust;
pub use status::{Hold, Reason, State, Status, StepTime, report};
pub use telemetry::PluginCollector;
pub use workbench::{
    CallFailure, Candidate, Compiled, Costs, Description, Metering, Refusal, SettingsProblem, Tried,
    Workbench, check_manifest,
};
