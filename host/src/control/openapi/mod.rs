//! The OpenAPI documents of all backends, fetched beside the request path and kept as last known good.
//!
//! Each available backend is asked for its index once a minute, with the entity tag of the last answer, so that a
//! quiet backend costs one small request. A document is fetched only when the hash in the index has changed. A
//! backend that becomes available is asked at once, one that fails again after a growing pause; what it said
//! before stays served meanwhile. It may only describe the group-versions that APIServices give it.

#![cfg_attr(
    not(test),
    expect(dead_code, reason = "started once the control plane has its client for backends")
)]

mod collector;
mod download;
mod fetch;
mod kept;
mod schedule;
mod source;

#[cfg(test)]
mod tests;

use super::SnapshotParts;
use crate::merge::openapi::OwnDocuments;
use crate::route::Shared;
use collector::Collector;
use download::Download;
use schedule::Pace;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Publishes the documents of the own kinds at once, and keeps those of backends beside them until the task is
/// aborted.
fn start_with(
    parts: &SnapshotParts,
    shared: Arc<Shared>,
    own: OwnDocuments,
    download: Arc<dyn Download>,
    pace: Pace,
) -> JoinHandle<()> {
    parts.set_openapi(own.unite([], []));
    tokio::spawn(Collector::new(parts.clone(), shared, own, download, pace).run())
}
