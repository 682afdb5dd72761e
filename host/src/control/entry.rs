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
    /// The result of the last check. The condition adds the documents of the backend that cannot be shown.
    judged: Option<Condition>,
    /// The reason that `last` is out of date.
    listing_fault: Option<String>,
    /// The reason that the OpenAPI documents are out of date.
    openapi_fault: Option<String>,
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
            judged: None,
            listing_fault: None,
            openapi_fault: None,
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
        self.judged = None;
        self.condition = Some(Condition::holds("Local", "Local APIServices are always available"));
        self.fresh = true;
    }

    /// Umbel serves the group-version itself.
    pub(super) fn place_in_shadow(&mut self) {
        self.placement = Placement::Shadowed;
        self.judged = None;
        let message =
            format!("Umbel serves {} itself, so this APIService has no effect", self.declared.group_version);
        self.condition = Some(Condition::fails("ServedByUmbel", message));
    }

    /// Its service has no endpoints.
    pub(super) fn fail_resolving(&mut self, fault: &ResolveFault) {
        self.placement = Placement::Unreachable;
        (self.judged, self.listing_fault, self.openapi_fault) = (None, None, None);
        self.fresh = false;
        self.is_checked = true;
        let Some(((namespace, name), _)) = &self.declared.service else { return };
        self.condition = Some(match fault {
            ResolveFault::NotFound(message) => {
                self.trouble = if message.is_empty() {
                    format!("its resolver knows no service {name} in namespace \"{namespace}\"")
                } else {
                    message.clone()
                };
                Condition::fails("ServiceNotFound", self.trouble.clone())
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
        (self.judged, self.listing_fault, self.openapi_fault) = (None, None, None);
        self.fresh = false;
        self.is_checked = true;
        self.trouble = fault.to_string();
        self.condition = Some(Condition::fails(fault.reason(), fault.to_string()));
    }

    /// Takes in what a watcher found; says whether routes or documents change.
    pub(super) fn take(&mut self, finding: Finding) -> bool {
        let listed = finding.listing.is_some_and(|listing| self.list(listing));
        let judged = finding.judgement.is_some_and(|judgement| self.judge(judgement));
        judged | listed | self.qualify()
    }

    /// Sets the error of the backend's OpenAPI documents; returns whether the condition changes.
    pub(super) fn take_openapi_fault(&mut self, fault: Option<&str>) -> bool {
        if self.openapi_fault.as_deref() == fault {
            return false;
        }
        self.openapi_fault = fault.map(str::to_owned);
        self.qualify()
    }

    /// Adds to the condition of an available backend that some of its documents cannot be used; otherwise resources
    /// would be missing without a reason. Returns whether the condition changes.
    fn qualify(&mut self) -> bool {
        let Some(judged) = self.judged.as_ref().filter(|judged| judged.status == Truth::True) else {
            return false;
        };
        let (discovery, openapi) = (self.listing_fault.as_ref(), self.openapi_fault.as_ref());
        let reason = match (discovery, openapi) {
            (Some(_), _) => "DiscoveryNotUsable",
            (None, Some(_)) => "OpenAPINotUsable",
            (None, None) => judged.reason.as_str(),
        };
        let mut message = judged.message.clone();
        for (what, fault) in [("its resources in discovery", discovery), ("its OpenAPI documents", openapi)] {
            if let Some(fault) = fault {
                message.push_str(&format!("; {what} are not up to date: {fault}"));
            }
        }
        let condition = Condition::holds(reason, message);
        let is_other = self.condition.as_ref() != Some(&condition);
        self.condition = Some(condition);
        is_other
    }

    fn judge(&mut self, judgement: Judgement) -> bool {
        let condition = match judgement.state {
            State::Up | State::Degraded => Condition::holds(judgement.reason, judgement.message),
            State::Down => Condition::fails(judgement.reason, judgement.message),
            State::Unknown => Condition::unknown(judgement.reason, judgement.message),
        };
        let is_down = condition.status != Truth::True;
        let changed = is_down
            && (self.condition.as_ref() != Some(&condition)
                || self.trouble != judgement.trouble
                || !self.is_checked);
        self.is_checked = true;
        self.trouble = judgement.trouble;
        if is_down {
            self.condition = Some(condition.clone());
        }
        self.judged = Some(condition);
        changed
    }

    fn list(&mut self, listing: Listing) -> bool {
        let (last, fresh) = match listing {
            Listing::Known(resources) => (Some(resources), true),
            Listing::Same => (self.last.clone(), true),
            Listing::Failed(ref fault) => {
                self.listing_fault = Some(fault.clone());
                (self.last.clone(), false)
            }
        };
        if fresh {
            self.listing_fault = None;
        }
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
    use crate::model::group_version::GroupVersion;
    use crate::model::object::Object;
    use crate::observe::Metrics;
    use serde_json::json;

    fn entry() -> Entry {
        let object = json!({"metadata": {"name": "v1.a.com"}, "spec": {"group": "a.com", "version": "v1",
            "service": {"namespace": "prod", "name": "shop"}}});
        let declared = ApiService::read(&Object::from_value(object).unwrap());
        let mut entry = Entry::new(declared, Metrics::new().unwrap().proxied("a.com", "v1"));
        entry.placement = Placement::Unreachable;
        entry
    }

    fn listed(listing: Listing) -> Finding {
        Finding { api_service: String::new(), judgement: None, listing: Some(listing) }
    }

    fn judged(state: State, message: &str) -> Finding {
        let (reason, message, trouble) = ("Because".to_owned(), message.to_owned(), "trouble".to_owned());
        let judgement = Some(Judgement { state, reason, message, trouble });
        Finding { api_service: String::new(), judgement, listing: None }
    }

    fn shown(entry: &Entry) -> (Truth, String, String) {
        let condition = entry.condition.clone().unwrap();
        (condition.status, condition.reason, condition.message)
    }

    fn wanted(status: Truth, reason: &str, message: &str) -> (Truth, String, String) {
        (status, reason.to_owned(), message.to_owned())
    }

    #[test]
    fn only_a_listing_that_differs_from_before_is_published() {
        let mut entry = entry();
        let mut found = |listing| entry.take(listed(listing));
        let (one, other) =
            (Resource::default(), Resource { resource: "x".to_owned(), ..Resource::default() });
        assert!(found(Listing::Known(Arc::new(vec![one.clone()]))));
        assert!(!found(Listing::Same));
        assert!(!found(Listing::Known(Arc::new(vec![one.clone()]))));
        assert!(found(Listing::Known(Arc::new(vec![other.clone()]))));
        assert!(found(Listing::Failed("no answer".to_owned())), "it is stale now");
        assert!(!found(Listing::Failed("no answer".to_owned())));
        assert!(found(Listing::Same), "it is current again");
        let known = entry.registration().unwrap().known;
        assert_eq!(known, Known::Resources { last: Some(Arc::new(vec![other])), fresh: true });
    }

    #[test]
    fn only_a_judgement_that_differs_from_before_is_published() {
        let mut entry = entry();
        assert!(entry.take(judged(State::Up, "fine")));
        assert!(!entry.take(judged(State::Up, "fine")));
        assert!(entry.take(judged(State::Up, "slow")));
        assert!(entry.take(judged(State::Down, "dead")));
        assert!(!entry.take(judged(State::Down, "dead")));
        let mut other = judged(State::Down, "dead");
        other.judgement.as_mut().unwrap().trouble = "other".to_owned();
        assert!(entry.take(other), "clients read another text");
        assert!(entry.take(judged(State::Up, "slow")));
    }

    #[test]
    fn a_stored_condition_that_is_confirmed_changes_its_standing_once() {
        for (status, state) in [(Truth::False, State::Down), (Truth::True, State::Up)] {
            let mut entry = entry();
            entry.condition = Some(Condition { status, reason: "Because".into(), message: "m".into() });
            let Route { target: Target::Unreachable { is_checked, .. }, .. } = entry.route().unwrap() else {
                panic!("no route")
            };
            assert!(!is_checked);
            let is_news = entry.take(judged(state, "m"));
            assert_eq!(is_news, status == Truth::False, "clients may retry until it is checked");
            assert!(!entry.take(judged(state, "m")));
        }
    }

    #[test]
    fn each_state_has_its_status() {
        for (state, status) in [
            (State::Up, Truth::True),
            (State::Degraded, Truth::True),
            (State::Down, Truth::False),
            (State::Unknown, Truth::Unknown),
        ] {
            let mut entry = entry();
            entry.take(judged(state, "m"));
            assert_eq!(shown(&entry), wanted(status, "Because", "m"), "{state:?}");
            assert_eq!(entry.is_available(), status == Truth::True);
            let back = if state == State::Degraded { State::Up } else { state };
            assert_eq!(entry.state(), back);
        }
    }

    #[test]
    fn an_available_one_says_what_cannot_be_shown() {
        let mut entry = entry();
        let broken = || Listing::Failed("too many".to_owned());
        assert!(!entry.take(listed(broken())), "nothing was known before either");
        assert_eq!(entry.condition, None, "nothing is judged yet");
        entry.take(judged(State::Up, "fine"));
        let of_discovery = "fine; its resources in discovery are not up to date: too many";
        assert_eq!(shown(&entry), wanted(Truth::True, "DiscoveryNotUsable", of_discovery));
        assert!(entry.take_openapi_fault(Some("too large")));
        assert!(!entry.take_openapi_fault(Some("too large")));
        let of_both = format!("{of_discovery}; its OpenAPI documents are not up to date: too large");
        assert_eq!(shown(&entry), wanted(Truth::True, "DiscoveryNotUsable", &of_both));
        assert!(entry.take(listed(Listing::Known(Arc::default()))));
        let of_openapi = "fine; its OpenAPI documents are not up to date: too large";
        assert_eq!(shown(&entry), wanted(Truth::True, "OpenAPINotUsable", of_openapi));
        entry.take(judged(State::Down, "dead"));
        assert_eq!(shown(&entry), wanted(Truth::False, "Because", "dead"));
        assert!(!entry.take_openapi_fault(None), "what is down says why it is down");
        entry.take(judged(State::Up, "fine"));
        assert_eq!(shown(&entry), wanted(Truth::True, "Because", "fine"));
    }

    #[test]
    fn where_umbel_serves_itself_an_api_service_has_no_effect() {
        let mut entry = entry();
        entry.place_in_shadow();
        let message = "Umbel serves a.com/v1 itself, so this APIService has no effect";
        assert_eq!(shown(&entry), wanted(Truth::False, "ServedByUmbel", message));
        assert!(entry.route().is_none() && entry.registration().is_none());
    }

    #[test]
    fn a_local_one_is_available_and_has_nothing_to_show() {
        let mut entry = entry();
        entry.place_locally();
        assert_eq!(shown(&entry), wanted(Truth::True, "Local", "Local APIServices are always available"));
        assert!(matches!(entry.route().unwrap().target, Target::Local));
        assert_eq!(entry.registration().unwrap().known, Known::Nothing);
    }

    #[test]
    fn a_service_that_cannot_be_resolved_says_why() {
        let faults = [
            (ResolveFault::NotFound("gone".into()), Truth::False, "ServiceNotFound"),
            (
                ResolveFault::Withheld { public: "not now".into(), detail: "10.0.0.1 broke".into() },
                Truth::False,
                "PluginFailed",
            ),
            (ResolveFault::Unavailable("late".into()), Truth::Unknown, "ServiceAccessError"),
        ];
        for (fault, status, reason) in faults {
            let mut entry = entry();
            entry.take(judged(State::Up, "fine"));
            entry.take(listed(Listing::Failed("broken".into())));
            entry.fail_resolving(&fault);
            let (found, named, _) = shown(&entry);
            assert_eq!((found, named.as_str()), (status, reason));
            let Target::Unreachable { message, is_checked, .. } = entry.route().unwrap().target else {
                panic!("{fault:?}")
            };
            assert!(is_checked && !message.contains("10.0.0.1"), "{message}");
            assert!(matches!(entry.registration().unwrap().known, Known::Resources { fresh: false, .. }));
            assert!(!entry.take(listed(Listing::Failed("broken".into()))), "it has no backend to speak for");
            assert_eq!(shown(&entry).0, status);
        }
    }

    #[test]
    fn it_stands_where_its_declaration_puts_it() {
        let entry = entry();
        let registration = entry.registration().unwrap();
        assert_eq!(registration.name, "v1.a.com");
        assert_eq!(registration.group_version, GroupVersion::new("a.com", "v1"));
        let before = entry.standing();
        let mut other = entry;
        assert_eq!(other.standing(), before);
        other.placement = Placement::Pending;
        assert_ne!(other.standing(), before);
        let mut confirmed = self::entry();
        confirmed.is_checked = true;
        assert_ne!(confirmed.standing(), before, "clients may retry until it is checked");
    }

    #[test]
    fn a_declaration_that_makes_no_backend_is_known_to_be_unavailable() {
        let mut entry = entry();
        entry.take(judged(State::Up, "fine"));
        entry.fail_placing(&BackendFault::ServerName("a b.svc".into()));
        let (status, reason, message) = shown(&entry);
        assert_eq!((status, reason.as_str()), (Truth::False, "InvalidService"));
        assert!(message.contains("a b.svc"), "{message}");
        let Target::Unreachable { is_checked, .. } = entry.route().unwrap().target else {
            panic!("no route")
        };
        assert!(is_checked);
        assert!(!entry.take_openapi_fault(Some("too large")), "it has no backend to speak for");
    }

    /// The condition of an earlier process is unchanged, but the status must still show that it was verified again.
    #[test]
    fn what_is_found_as_it_was_stored_counts_as_checked() {
        let counter = Metrics::new().unwrap().proxied("a.com", "v1");
        let mut entry = Entry::new(ApiService::read(&Object::default()), counter);
        let trouble = entry.trouble.clone();
        entry.condition = Some(Condition::fails("FailedDiscoveryCheck", "down"));
        let is_checked = |entry: &Entry| match entry.availability() {
            Availability::Closed { is_checked, .. } => is_checked,
            Availability::Open => panic!("it is open"),
        };
        assert!(!is_checked(&entry));
        let (reason, message) = ("FailedDiscoveryCheck".to_owned(), "down".to_owned());
        let judgement = Judgement { state: State::Down, reason, message, trouble };
        let mut find = || {
            let judgement = Some(judgement.clone());
            entry.take(Finding { api_service: String::new(), judgement, listing: None })
        };
        assert!(find(), "the routes have to be published anew");
        assert!(!find(), "once");
        assert!(is_checked(&entry));
    }
}
