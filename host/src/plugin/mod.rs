//! The only folder that names wasmtime: loads components and adapts them to decisions.
//!
//! ```text
//! directory ─► load (gate, compile, identify, link, describe, validate) ─► generation ─► slot (ArcSwap)
//!                                                                              │
//! decision traits ◄─ adapters (resolver, health, discovery) ─► call (fresh store, budgets, own runtime)
//! ```
//!
//! Components live in one directory: `<name>.wasm`, and `<name>.yaml` beside it where it needs settings, grants
//! or bindings. A change is compiled on a thread of its own and swapped in whole; calls in flight keep what they
//! began with. A component that cannot be loaded or that fails costs nothing but itself: the generation before
//! it, or the built-in, answers instead.

mod adapters;
mod address;
mod bindings;
mod breaker;
mod budget;
mod call_state;
mod caretaker;
mod complaint;
mod component_checker;
mod component_resolver;
mod component_transformer;
mod directory;
mod discovery_answer;
mod dns;
mod engine;
mod fault;
mod generation;
mod health_answer;
mod health_memory;
mod host;
mod host_functions;
mod http_client;
mod interfaces;
mod last_good;
mod load;
mod log_gate;
mod manifest;
mod pattern;
mod probe_gate;
mod resolver_answer;
mod roster;
mod runner;
mod slot;
mod source;
mod status;
mod ticker;

pub use host::{Builtins, Host, PluginConfig, StartError};
pub use status::{Condition, Reason, Status, report};
