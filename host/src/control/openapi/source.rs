//! Which backends there are to ask, read from a snapshot.

use crate::merge::openapi::OwnDocuments;
use crate::model::group_version::GroupVersion;
use crate::route::{Availability, Backend, BackendId, Route, Snapshot, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A backend and what its APIServices let it describe.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// How to reach it.
    pub(super) backend: Arc<Backend>,
    /// The group-versions that APIServices give it.
    pub(super) group_versions: BTreeSet<GroupVersion>,
    /// Whether at least one of them is available; others are not asked.
    pub(super) is_open: bool,
}

/// The backends of a snapshot, and the group-versions that somebody other than Umbel should serve, reachable or not.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) backends: BTreeMap<BackendId, Source>,
    pub(super) registered: BTreeSet<GroupVersion>,
}

impl Sources {
    /// Reads a snapshot; nobody else may describe what Umbel serves itself.
    pub(super) fn read(snapshot: &Snapshot, own: &OwnDocuments) -> Self {
        let mut sources = Self::default();
        let others = |route: &&Route| !own.serves(&route.group_version);
        for route in snapshot.routes.values().flat_map(|routes| routes.iter()).filter(others) {
            match &route.target {
                Target::Local => continue,
                Target::Unreachable { .. } => {}
                Target::Backend { backend, availability } => {
                    let source = sources.backends.entry(backend.id).or_insert_with(|| Source {
                        backend: Arc::clone(backend),
                        group_versions: BTreeSet::new(),
                        is_open: false,
                    });
                    source.group_versions.insert(route.group_version.clone());
                    source.is_open |= *availability == Availability::Open;
                }
            }
            sources.registered.insert(route.group_version.clone());
        }
        sources
    }
}
