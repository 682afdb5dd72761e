//! One APIService with everything that is known of it.

use super::backends::BackendFault;
use super::condition::{Condition, Truth};
use super::declared::ApiService;
use super::services::ServiceKey;
use super::watcher::{Finding, Judgement, Listing};
use crate::decision::health::{HealthChecker, State};
use crate::decision::resolver::ResolveFault;
use crate::merge::discovery::{Known, Registration, Resource};
use crate::observe::ProxiedRequests;
use crate::route::{Availability, Backend, BackendId, Route, Target};
use crate::store::Revision;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

/// Where requests of an APIService go.
#[derive(Clone, Debug)]
pub(super) enum Placement {
    /// No service: Umbel serves it, or nobody.
    Local,
    /// Umbel serves the group-version itself, whatever the APIService says.
    Shadowed,
    /// Its service is not resolved yet.
    Pending,
    /// There is no way to its service.
    Unreachable,
    /// A backend.
    Backend(Arc<Backend>),
}

/// What of an APIService shows in routes, documents and conditions, as far as its service decides that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    place: Discriminant<Placement>,
    backend: Option<BackendId>,
    condition: Option<Condition>,
    trouble: String,
    is_checked: bool,
    fresh: bool,
}

/// A write of the condition.
#[derive(Clone, Debug, Default)]
pub(super) struct Writing {
    /// Whether one is under way.
    pub(super) under_way: bool,
    /// What the last one wrote, and the revision in which it stands.
    pub(super) last: Option<(Condition, Revision)>,
}

/// An APIService.
pub(super) struct Entry {
    pub(super) declared: ApiService,
    pub(super) placement: Placement,
    pub(super) service: Option<ServiceKey>,
    pub(super) writing: Writing,
    /// Who judges it; `None` when that is to be asked again.
    pub(super) checker: Option<Arc<dyn HealthChecker>>,
    /// What its condition should be; `None` until something is known.
    pub(super) condition: Option<Condition>,
    /// Whether this process found the condition out; the stored one is that of an earlier time.
    is_checked: bool,
    /// Why it is not available, for clients: without addresses.
    trouble: String,
    last: Option<Arc<Vec<Resource>>>,
    fresh: bool,
    counter: Arc<ProxiedRequests>,
}

impl Entry {
    pub(super) fn new(declared: ApiService, counter: Arc<ProxiedRequests>) -> Self {
        Self {
            // The stored condition counts until it is verified.
            condition: declared.condition.clone(),
            is_checked: false,
            declared,
            placement: Placement::Pending,
            service: None,
            writing: Writing::default(),
            checker: None,
            trouble: "it was not available when it was last checked".to_owned(),
            last: None,
            fresh: false,
            counter,
        }
    }

    /// Whether requests may pass.
    pub(super) fn is_available(&self) -> bool {
        self.condition.as_ref().is_some_and(|c| c.status == Truth::True)
    }

    /// How it stands, to see whether that changes.
    pub(super) fn standing(&self) -> Standing {
        let backend = match &self.placement {
            Placement::Backend(backend) => Some(backend.id),
            _ => None,
        };
        Standing {
            place: discriminant(&self.placement),
            backend,
            condition: self.condition.clone(),
            trouble: self.trouble.clone(),
            is_checked: self.is_checked,
            fresh: self.fresh,
        }
    }

    /// The state for a health checker.
    pub(super) fn state(&self) -> State {
        match self.condition.as_ref().map(|c| c.status) {
            Some(Truth::True) => State::Up,
            Some(Truth::False) => State::Down,
            Some(Truth::Unknown) | None => State::Unknown,
        }
    }

    /// It needs no backend.
    pub(super) fn place_locally(&mut self) {
        self.placement = Placement::Local;
        self.condition = Some(Condition::holds("Local", "Local APIServices are always available"));
        self.fresh = true;
    }

    /// Umbel serves the group-version itself.
    pub(super) fn place_in_shadow(&mut self) {
        self.placement = Placement::Shadowed;
        let message =
            format!("Umbel serves {} itself, so this APIService has no effect", self.declared.group_version);
        self.condition = Some(Condition::fails("ServedByUmbel", message));
    }

    /// Its service has no endpoints.
    pub(super) fn fail_resolving(&mut self, fault: &ResolveFault) {
        self.placement = Placement::Unreachable;
        self.fresh = false;
        self.is_checked = true;
        let Some(((namespace, name), _)) = &self.declared.service else { return };
        self.condition = Some(match fault {
            ResolveFault::NotFound(message) => {
                self.trouble = format!("service/{name} in \"{namespace}\" is not present");
                Condition::fails("ServiceNotFound", message)
            }
            ResolveFault::Withheld { public, detail } => {
                self.trouble.clone_from(public);
                let message = format!("service/{name} in \"{namespace}\" has no endpoints: {detail}");
                Condition::fails("PluginFailed", message)
            }
            other => {
                self.trouble = "its service cannot be resolved".to_owned();
                let message = format!("service/{name} in \"{namespace}\" cannot be checked due to: {other}");
                Condition::unknown("ServiceAccessError", message)
            }
        });
    }

    /// Its declaration makes no usable backend.
    pub(super) fn fail_placing(&mut self, fault: &BackendFault) {
        self.placement = Placement::Unreachable;
        self.fresh = false;
        self.is_checked = true;
        self.trouble = fault.to_string();
        self.condition = Some(Condition::fails(fault.reason(), fault.to_string()));
    }

    /// Takes in what a watcher found; says whether routes or documents change.
    pub(super) fn take(&mut self, finding: Finding) -> bool {
        let judged = finding.judgement.is_some_and(|judgement| self.judge(judgement));
        let listed = finding.listing.is_some_and(|listing| self.list(listing));
        judged | listed
    }

    fn judge(&mut self, judgement: Judgement) -> bool {
        let condition = match judgement.state {
            State::Up | State::Degraded => Condition::holds(judgement.reason, judgement.message),
            State::Down => Condition::fails(judgement.reason, judgement.message),
            State::Unknown => Condition::unknown(judgement.reason, judgement.message),
        };
        let changed = self.condition.as_ref() != Some(&condition)
            || (condition.status != Truth::True && (self.trouble != judgement.trouble || !self.is_checked));
        self.is_checked = true;
        self.trouble = judgement.trouble;
        self.condition = Some(condition);
        changed
    }

    fn list(&mut self, listing: Listing) -> bool {
        let (last, fresh) = match listing {
            Listing::Known(resources) => (Some(resources), true),
            Listing::Same => (self.last.clone(), true),
            Listing::Failed => (self.last.clone(), false),
        };
        let changed = fresh != self.fresh || self.last != last;
        (self.last, self.fresh) = (last, fresh);
        changed
    }

    /// As discovery shows it; `None` when an own group-version stands in its place.
    pub(super) fn registration(&self) -> Option<Registration> {
        let known = match self.placement {
            Placement::Shadowed => return None,
            Placement::Local => Known::Nothing,
            _ => Known::Resources { last: self.last.clone(), fresh: self.fresh },
        };
        Some(Registration {
            name: self.declared.name.clone(),
            group_version: self.declared.group_version.clone(),
            group_priority: self.declared.group_priority,
            version_priority: self.declared.version_priority,
            known,
        })
    }

    /// As the data plane sees it; `None` when an own group-version stands in its place.
    pub(super) fn route(&self) -> Option<Route> {
        let target = match &self.placement {
            Placement::Shadowed => return None,
            Placement::Local => Target::Local,
            Placement::Backend(backend) => {
                Target::Backend { backend: Arc::clone(backend), availability: self.availability() }
            }
            Placement::Pending | Placement::Unreachable => {
                let (reason, message) = self.refusal();
                Target::Unreachable { reason, message, is_checked: self.is_checked }
            }
        };
        Some(Route {
            api_service: self.declared.name.clone(),
            group_version: self.declared.group_version.clone(),
            target,
            counter: Arc::clone(&self.counter),
        })
    }

    fn availability(&self) -> Availability {
        if self.is_available() {
            return Availability::Open;
        }
        let (reason, message) = self.refusal();
        Availability::Closed { reason, message, is_checked: self.is_checked }
    }

    /// Reason and text for clients.
    fn refusal(&self) -> (String, String) {
        let name = &self.declared.name;
        match self.condition.as_ref().filter(|c| c.status != Truth::True) {
            Some(condition) => {
                let reason = condition.reason.clone();
                let trouble = &self.trouble;
                (reason.clone(), format!("the APIService {name} is not available ({reason}): {trouble}"))
            }
            None => {
                let message = format!("the APIService {name} is not available yet: it has not been checked");
                ("Unknown".to_owned(), message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::object::Object;
    use crate::observe::Metrics;

    #[test]
    fn only_what_differs_from_before_is_published() {
        let declared = ApiService::read(&Object::default());
        let counter = Metrics::new().unwrap().proxied("a.com", "v1");
        let mut entry = Entry::new(declared, counter);
        let mut found = |listing| {
            entry.take(Finding { api_service: String::new(), judgement: None, listing: Some(listing) })
        };
        assert!(found(Listing::Known(Arc::new(vec![Resource::default()]))));
        assert!(!found(Listing::Same));
        assert!(!found(Listing::Known(Arc::new(vec![Resource::default()]))));
        assert!(found(Listing::Failed), "it is stale now");
        assert!(!found(Listing::Failed));
        assert!(found(Listing::Same), "it is current again");
    }
}
