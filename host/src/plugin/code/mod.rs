//! Native code of components: where it is made, one component at a time, and where it is kept.

pub(super) mod foundry;
pub(super) mod workshop;
