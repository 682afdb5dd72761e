//! What the watcher of a backend tells the reconciler, and what it is told.

use crate::decision::health::{HealthChecker, State};
use crate::merge::discovery::Resource;
use crate::model::group_version::GroupVersion;
use crate::route::BackendId;
use std::sync::Arc;

/// One APIService to be watched.
#[derive(Clone)]
pub(in crate::control) struct MemberSpec {
    pub(in crate::control) api_service: String,
    pub(in crate::control) group_version: GroupVersion,
    pub(in crate::control) checker: Arc<dyn HealthChecker>,
    /// Its state so far.
    pub(in crate::control) was: State,
}

/// A judgement of one APIService.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Judgement {
    pub(in crate::control) state: State,
    pub(in crate::control) reason: String,
    pub(in crate::control) message: String,
    /// Why it is down, for clients: without addresses.
    pub(in crate::control) trouble: String,
}

/// What became known of the resources of a group-version.
#[derive(Clone, Debug)]
pub(in crate::control) enum Listing {
    /// They are these now.
    Known(Arc<Vec<Resource>>),
    /// They are as they were.
    Same,
    /// They cannot be fetched or used, for this reason.
    Failed(String),
}

/// News of one APIService.
#[derive(Clone, Debug)]
pub(in crate::control) struct Finding {
    pub(in crate::control) api_service: String,
    pub(in crate::control) judgement: Option<Judgement>,
    pub(in crate::control) listing: Option<Listing>,
}

/// News of a backend.
#[derive(Clone, Debug)]
pub(in crate::control) struct Report {
    pub(in crate::control) backend: BackendId,
    pub(in crate::control) findings: Vec<Finding>,
}
