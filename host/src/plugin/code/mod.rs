//! Native code of components: where it is made, one component at a time, and where it is kept.
//!
//! ```text
//! workshop (thread) ─► foundry ─► child ══ pipes ══ labour (another process: limits, compiler)
//!                        │  └───► compiler (this process, where there is no other way)
//!                        └──────► cache (sealed files, named by maker and component) ─► mapped ─► Component
//! ```

pub(super) mod cache;
mod child;
pub(super) mod compiler;
pub(super) mod cupboard;
pub(super) mod foundry;
pub(super) mod labour;
pub(super) mod maker;
mod mapped;
pub(super) mod priority;
mod room;
#[cfg(test)]
mod sample;
mod seal;
pub(super) mod workshop;
