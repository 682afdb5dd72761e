//! Components as decisions: adapters, the checks on what they answer, and what stands in for an answer.

pub(super) mod adapters;
#[cfg(test)]
mod any_answer;
pub(super) mod complaint;
pub(super) mod component_checker;
pub(super) mod component_resolver;
pub(super) mod component_transformer;
pub(super) mod discovery_answer;
pub(super) mod health_answer;
pub(super) mod health_memory;
pub(super) mod last_good;
pub(super) mod pinning;
pub(super) mod replay;
pub(super) mod resolver_answer;
pub(super) mod stand_in;
