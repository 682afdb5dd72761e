//! The API of the own kinds over HTTP, health checks, version, index and metrics.
//!
//! The data plane has authenticated and authorised a request before it arrives here; see [`Api`]. Everything here
//! runs on the control runtime.

mod body;
mod dispatch;
mod index;
mod labels;
mod namespace;
mod negotiation;
mod options;
mod query;
mod readiness;
mod reading;
mod removing;
mod reply;
mod service;
mod stream;
mod view;
mod watching;
mod writing;

#[cfg(test)]
mod tests;

pub use readiness::Readiness;
pub use service::{Api, ApiConfig};
