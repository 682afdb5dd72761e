//! The decisions that can be swapped: one trait each.
//!
//! The built-in answers implement these traits natively, a WebAssembly component implements them through an
//! adapter in `plugin`, and nobody else knows which one it talks to. None is ever asked on the request path.

pub mod binding;
pub mod builtin;
#[cfg(not(feature = "plugins"))]
pub mod builtins_only;
pub mod discovery;
pub mod health;
pub mod plugins;
pub mod resolver;
