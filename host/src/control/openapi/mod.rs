//! The OpenAPI documents of all backends, fetched beside the request path and kept as last known good.
//!
//! Each available backend is asked for its index once a minute, with the entity tag of the last answer, so that a
//! quiet backend costs one small request. A document is fetched only when the hash in the index has changed. A
//! backend that becomes available is asked at once, one that fails again after a growing pause; what it said
//! before stays served meanwhile. It may only describe the group-versions that APIServices give it.

mod collector;
mod download;
mod fetch;
mod kept;
mod schedule;
mod source;

#[cfg(test)]
mod tests;

use super::{Running, SnapshotParts};
use crate::kind;
use crate::merge::openapi::OwnDocuments;
use crate::observe::Supervisor;
use crate::route::Shared;
use collector::Collector;
use download::{BackendDownload, Connect};
use schedule::Pace;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// The running task; dropping it ends it, and what was published stays.
#[derive(Debug)]
pub struct OpenApi(JoinHandle<()>);

impl Drop for OpenApi {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Publishes the documents of the own kinds at once, and those of backends beside them as they come. Must be
/// called on the control runtime.
pub fn start(control: &Running, shared: Arc<Shared>) -> OpenApi {
    let clients = control.clients.clone();
    let connect: Connect = Arc::new(move |backend| BackendDownload::connect(&clients, &backend));
    OpenApi(start_with(&control.parts, shared, OwnDocuments::new(&kind::ALL), connect, Pace::default()))
}

fn start_with(
    parts: &SnapshotParts,
    shared: Arc<Shared>,
    own: OwnDocuments,
    connect: Connect,
    pace: Pace,
) -> JoinHandle<()> {
    parts.set_openapi(own.unite([], []));
    let mut collector = Collector::new(parts.clone(), shared, own, connect, pace);
    let mut supervisor = Supervisor::new("collecting OpenAPI");
    tokio::spawn(async move { while supervisor.must_restart(collector.run()).await {} })
}
