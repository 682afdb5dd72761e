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

mod host;
mod status;

pub use host::{Builtins, Host, PluginConfig, StartError};
pub use status::{Condition, Reason, Status};
