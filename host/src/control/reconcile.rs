//! The one place that knows all APIServices and what became of them. It only moves values: everything that
//! waits (watches, resolvers, probes, writes) runs in tasks of its own and reports back.

use super::backends::{BackendKey, Backends};
use super::condition::{Condition, Truth};
use super::declared::{ApiService, ExternalName, ServiceName};
use super::entry::{Entry, Placement};
use super::intake::Intake;
use super::parts::OpenApiFaults;
use super::pending::Pending;
use super::publish::GroupInput;
use super::services::{Resolved, Services};
use super::source::{Change, Source, SourceError, Watched};
use super::watcher::{MemberSpec, Report};
use crate::decision::binding::{BindingSubject, Decisions};
use crate::merge::discovery::Registration;
use crate::model::object::Object;
use crate::observe::{Metrics, catch_panic_in, failpoint};
use crate::route::{Route, Signal, Target};
use crate::store::Revision;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How many conditions are written at a time: enough to share commits of the store.
const WRITES_AT_ONCE: usize = 16;
/// Wait after a failed write.
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// The outcome of a write.
type Written = (String, String, Condition, Result<Revision, SourceError>);

/// Where news comes in.
pub(super) struct Inbox {
    pub(super) intake: mpsc::Receiver<Intake>,
    pub(super) resolved: mpsc::Receiver<Resolved>,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) signals: mpsc::Receiver<Signal>,
    pub(super) openapi_faults: watch::Receiver<Arc<OpenApiFaults>>,
}

/// What the reconciler works with.
pub(super) struct Reconciler {
    pub(super) source: Source,
    pub(super) decisions: Arc<dyn Decisions>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) services: Services,
    pub(super) backends: Backends,
    pub(super) outbox: Arc<Pending<Option<Arc<GroupInput>>>>,
    /// Told when everything stored at the start is in the outbox.
    pub(super) started: Option<oneshot::Sender<()>>,
    pub(super) own: Vec<Registration>,
    entries: HashMap<String, Entry>,
    external_names: HashMap<ServiceName, ExternalName>,
    /// APIServices by group.
    groups: HashMap<String, BTreeSet<String>>,
    dirty: HashSet<String>,
    writes: JoinSet<Written>,
    write_slots: Arc<Semaphore>,
    openapi_faults: Arc<OpenApiFaults>,
}

impl Reconciler {
    pub(super) fn new(
        source: Source,
        decisions: Arc<dyn Decisions>,
        metrics: Arc<Metrics>,
        (services, backends): (Services, Backends),
        outbox: Arc<Pending<Option<Arc<GroupInput>>>>,
        started: oneshot::Sender<()>,
        own: Vec<Registration>,
    ) -> Self {
        Self {
            source,
            decisions,
            metrics,
            services,
            backends,
            outbox,
            started: Some(started),
            own,
            entries: HashMap::new(),
            external_names: HashMap::new(),
            groups: HashMap::new(),
            dirty: HashSet::new(),
            writes: JoinSet::new(),
            write_slots: Arc::new(Semaphore::new(WRITES_AT_ONCE)),
            openapi_faults: Arc::default(),
        }
    }

    /// Runs until the intake ends.
    pub(super) async fn run(mut self, mut inbox: Inbox) {
        failpoint("control.reconciler");
        let mut generation = self.decisions.generation();
        self.dirty.extend(self.own.iter().map(|own| own.group_version.group.clone()));
        loop {
            tokio::select! {
                intake = inbox.intake.recv() => match intake {
                    Some(intake) => self.take_intake(intake),
                    None => return,
                },
                Some(news) = inbox.resolved.recv() => {
                    for name in self.services.take(news) {
                        self.place(&name);
                    }
                }
                Some(report) = inbox.reports.recv() => self.take_report(report),
                Some(signal) = inbox.signals.recv() => self.backends.hint(signal.backend),
                Some(written) = self.writes.join_next() => {
                    if let Ok(written) = written {
                        self.take_written(written);
                    }
                }
                Ok(()) = generation.changed() => self.decide_anew(),
                Ok(()) = inbox.openapi_faults.changed() => {
                    let faults = Arc::clone(&inbox.openapi_faults.borrow_and_update());
                    self.take_openapi_faults(faults);
                }
            }
            self.flush();
        }
    }

    fn take_intake(&mut self, intake: Intake) {
        match intake {
            Intake::Started { api_services, external_names } => {
                self.replace_external_names(&external_names);
                self.replace_api_services(&api_services);
                self.flush();
                if let Some(started) = self.started.take() {
                    // The publisher is gone only when the control plane stops.
                    let _: Result<(), ()> = started.send(());
                }
            }
            Intake::Listed(Watched::ApiServices, objects) => self.replace_api_services(&objects),
            Intake::Listed(Watched::ExternalNames, objects) => self.replace_external_names(&objects),
            Intake::Changed(Watched::ApiServices, Change::Put(object)) => self.put_api_service(&object),
            Intake::Changed(Watched::ApiServices, Change::Removed(object)) => {
                self.remove_api_service(object.name());
            }
            Intake::Changed(Watched::ExternalNames, Change::Put(object)) => {
                self.put_external_name(service_name(&object), Some(ExternalName::read(&object)));
            }
            Intake::Changed(Watched::ExternalNames, Change::Removed(object)) => {
                self.put_external_name(service_name(&object), None);
            }
        }
    }

    fn replace_api_services(&mut self, objects: &[Object]) {
        let names: HashSet<&str> = objects.iter().map(Object::name).collect();
        let gone: Vec<_> = self.entries.keys().filter(|n| !names.contains(n.as_str())).cloned().collect();
        for name in gone {
            self.remove_api_service(&name);
        }
        for object in objects {
            self.put_api_service(object);
        }
    }

    fn replace_external_names(&mut self, objects: &[Object]) {
        let names: HashSet<ServiceName> = objects.iter().map(service_name).collect();
        let gone: Vec<_> = self.external_names.keys().filter(|n| !names.contains(*n)).cloned().collect();
        for name in gone {
            self.put_external_name(name, None);
        }
        for object in objects {
            self.put_external_name(service_name(object), Some(ExternalName::read(object)));
        }
    }

    fn put_external_name(&mut self, name: ServiceName, value: Option<ExternalName>) {
        if self.external_names.get(&name) == value.as_ref() {
            return;
        }
        let old = match &value {
            Some(value) => self.external_names.insert(name.clone(), value.clone()),
            None => self.external_names.remove(&name),
        };
        let decisions = |of: Option<&ExternalName>| {
            of.map(|e| (e.resolver.clone(), e.health_checker.clone(), e.failure_policy)).unwrap_or_default()
        };
        let decides_else = decisions(old.as_ref()) != decisions(value.as_ref());
        for api_service in self.services.retarget(&name, value.as_ref()) {
            if decides_else {
                if let Some(entry) = self.entries.get_mut(&api_service) {
                    entry.checker = None;
                }
                self.attach(&api_service);
            } else {
                self.place(&api_service);
            }
        }
    }

    fn put_api_service(&mut self, object: &Object) {
        let declared = ApiService::read(object);
        let name = declared.name.clone();
        let group = declared.group_version.group.clone();
        let is_other = |entry: &Entry| entry.declared.uid != declared.uid;
        if self.entries.get(&name).is_some_and(is_other) {
            self.remove_api_service(&name);
        }
        match self.entries.get_mut(&name) {
            Some(entry) if entry.declared.routes_like(&declared) => {
                let moved = entry.declared.group_priority != declared.group_priority
                    || entry.declared.version_priority != declared.version_priority;
                entry.declared = declared;
                if moved {
                    self.dirty.insert(group);
                }
                self.write_condition(&name);
                return;
            }
            Some(entry) => {
                entry.declared = declared;
                entry.checker = None;
            }
            None => {
                let counter = self.metrics.proxied(&group, &declared.group_version.version);
                self.entries.insert(name.clone(), Entry::new(declared, counter));
            }
        }
        self.groups.entry(group).or_default().insert(name.clone());
        self.attach(&name);
        self.note(&name, false);
    }

    fn remove_api_service(&mut self, name: &str) {
        self.leave_backend(name);
        let Some(entry) = self.entries.remove(name) else { return };
        if let Some(service) = &entry.service {
            self.services.leave(name, service);
        }
        self.decisions.forget(name);
        let group = entry.declared.group_version.group;
        if let Some(names) = self.groups.get_mut(&group) {
            names.remove(name);
            if names.is_empty() {
                self.groups.remove(&group);
            }
        }
        self.dirty.insert(group);
        self.metrics.forget_api_service(name);
    }

    /// Other implementations may decide now: everything is resolved and judged anew.
    fn decide_anew(&mut self) {
        self.services.begin_round();
        let names: Vec<String> = self.entries.keys().cloned().collect();
        for name in names {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.checker = None;
            }
            self.attach(&name);
        }
        for name in self.services.ask_rest() {
            self.place(&name);
        }
    }

    /// Finds out where requests of an APIService go.
    fn attach(&mut self, name: &str) {
        let Some(entry) = self.entries.get(name) else { return };
        let old = entry.service.clone();
        let service = entry.declared.service.clone().filter(|_| !self.is_own(entry));
        let key = service.map(|(service, port)| {
            let external_name = self.external_names.get(&service);
            let plugin = entry.declared.resolver.clone().or(external_name.and_then(|e| e.resolver.clone()));
            let failure_policy =
                entry.declared.failure_policy.or(external_name.and_then(|e| e.failure_policy));
            let api_service = name.to_owned();
            let subject = BindingSubject { api_service, service: service.clone(), plugin, failure_policy };
            let resolver = self.decisions.resolver(&subject);
            self.services.join(name, &service, port, resolver, external_name)
        });
        if key.is_none() {
            self.decisions.forget(name);
        }
        if let Some(old) = old.filter(|old| key.as_ref() != Some(old)) {
            self.services.leave(name, &old);
        }
        if let Some(entry) = self.entries.get_mut(name) {
            entry.service = key;
        }
        self.place(name);
    }

    fn is_own(&self, entry: &Entry) -> bool {
        self.own.iter().any(|own| own.group_version == entry.declared.group_version)
    }

    /// Places an APIService by what is known of its service. Resolvers mostly say what they said before, and then
    /// nothing is published.
    fn place(&mut self, name: &str) {
        let Some(entry) = self.entries.get(name) else { return };
        let (was_available, before) = (entry.is_available(), entry.standing());
        self.find_place(name);
        if self.entries.get(name).is_some_and(|entry| entry.standing() != before) {
            self.note(name, was_available);
        }
    }

    fn find_place(&mut self, name: &str) {
        let Some(entry) = self.entries.get(name) else { return };
        let is_own = self.is_own(entry);
        let outcome = entry.service.as_ref().map(|key| self.services.outcome(key).cloned());
        match outcome {
            None => {
                self.leave_backend(name);
                if let Some(entry) = self.entries.get_mut(name) {
                    if is_own { entry.place_in_shadow() } else { entry.place_locally() }
                }
            }
            // The answer is under way; until then everything stays.
            Some(None) => {}
            Some(Some(Ok(resolution))) => self.move_to_backend(name, resolution.endpoints),
            Some(Some(Err(fault))) => {
                self.leave_backend(name);
                if let Some(entry) = self.entries.get_mut(name) {
                    entry.fail_resolving(&fault);
                }
            }
        }
    }

    fn move_to_backend(&mut self, name: &str, mut endpoints: Vec<crate::decision::resolver::Endpoint>) {
        endpoints.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        let Some(entry) = self.entries.get(name) else { return };
        let Some((service, port)) = entry.declared.service.clone() else { return };
        let plugin = entry
            .declared
            .health_checker
            .clone()
            .or_else(|| self.external_names.get(&service).and_then(|e| e.health_checker.clone()));
        let external_name = self.external_names.get(&service);
        let failure_policy = entry.declared.failure_policy.or(external_name.and_then(|e| e.failure_policy));
        let api_service = name.to_owned();
        let subject = BindingSubject { api_service, service: service.clone(), plugin, failure_policy };
        let checker = match &entry.checker {
            Some(checker) => Arc::clone(checker),
            None => self.decisions.health_checker(&subject),
        };
        let member = MemberSpec {
            api_service: name.to_owned(),
            group_version: entry.declared.group_version.clone(),
            checker: Arc::clone(&checker),
            was: entry.state(),
        };
        let key = BackendKey { service, port, tls: entry.declared.tls.clone(), endpoints };
        let is_judged_anew = entry.checker.is_none();
        if let Placement::Backend(backend) = &entry.placement
            && self.backends.is(backend.id, &key)
        {
            if is_judged_anew {
                self.backends.judge_anew(backend.id, member);
            }
        } else {
            self.leave_backend(name);
            let joined = self.backends.join(&key, member);
            let Some(entry) = self.entries.get_mut(name) else { return };
            match joined {
                Ok(backend) => entry.placement = Placement::Backend(backend),
                Err(fault) => entry.fail_placing(&fault),
            }
        }
        if let Some(entry) = self.entries.get_mut(name) {
            entry.checker = Some(checker);
        }
    }

    fn leave_backend(&mut self, name: &str) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if let Placement::Backend(backend) = &entry.placement {
            self.backends.leave(backend.id, name);
            entry.placement = Placement::Pending;
        }
    }

    fn take_report(&mut self, report: Report) {
        for finding in report.findings {
            let name = finding.api_service.clone();
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            let is_current =
                matches!(&entry.placement, Placement::Backend(backend) if backend.id == report.backend);
            let was_available = entry.is_available();
            let fault = self.openapi_faults.get(&report.backend).map(String::as_str);
            if is_current && (entry.take(finding) | entry.take_openapi_fault(fault)) {
                self.note(&name, was_available);
            } else if is_current {
                self.metrics.set_available(&name, was_available);
            }
        }
    }

    fn take_openapi_faults(&mut self, faults: Arc<OpenApiFaults>) {
        let mut changed = Vec::new();
        for (name, entry) in &mut self.entries {
            let Placement::Backend(backend) = &entry.placement else { continue };
            let fault = faults.get(&backend.id).cloned();
            if entry.take_openapi_fault(fault.as_deref()) {
                changed.push(name.clone());
            }
        }
        self.openapi_faults = faults;
        for name in changed {
            self.write_condition(&name);
        }
    }

    /// An APIService changed: its group is published anew, its condition counted and written.
    fn note(&mut self, name: &str, was_available: bool) {
        let Some(entry) = self.entries.get(name) else { return };
        self.dirty.insert(entry.declared.group_version.group.clone());
        if let Some(condition) = &entry.condition {
            let is_available = condition.status == Truth::True;
            self.metrics.set_available(name, is_available);
            if was_available && !is_available {
                self.metrics.count_unavailable(name, &condition.reason);
            }
        }
        self.write_condition(name);
    }

    /// Writes the condition of an APIService unless it is stored already.
    fn write_condition(&mut self, name: &str) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let Some(wanted) = entry.condition.clone() else { return };
        let stored = match &entry.writing.last {
            Some((written, revision)) if entry.declared.revision < *revision => Some(written),
            _ => entry.declared.condition.as_ref(),
        };
        if entry.writing.under_way || stored == Some(&wanted) {
            return;
        }
        log_transition(name, stored, &wanted);
        entry.writing.under_way = true;
        let (source, slots) = (self.source.clone(), Arc::clone(&self.write_slots));
        let (name, uid) = (name.to_owned(), entry.declared.uid.clone());
        // Who reads `True` must not be refused: the route goes first, with what this turn is about to flush.
        let outbox = Arc::clone(&self.outbox);
        let flushed = outbox.count() + self.dirty.len() as u64;
        self.writes.spawn(async move {
            outbox.settled(flushed).await;
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            let written = catch_panic_in(source.set_condition(&name, &uid, &wanted)).await;
            let outcome =
                written.unwrap_or_else(|| Err(SourceError::Failed("writing it panicked".to_owned())));
            if outcome.is_err() {
                tokio::time::sleep(WRITE_RETRY).await;
            }
            (name, uid, wanted, outcome)
        });
    }

    fn take_written(&mut self, (name, uid, condition, outcome): Written) {
        let Some(entry) = self.entries.get_mut(&name).filter(|e| e.declared.uid == uid) else { return };
        entry.writing.under_way = false;
        match outcome {
            Ok(revision) => entry.writing.last = Some((condition, revision)),
            Err(error) => tracing::warn!(api_service = name, %error, "its condition could not be written"),
        }
        self.write_condition(&name);
    }

    /// Hands the groups that changed to the publisher.
    fn flush(&mut self) {
        for group in std::mem::take(&mut self.dirty) {
            let input = self.collect(&group);
            self.outbox.give(group, input.map(Arc::new));
        }
    }

    fn collect(&self, group: &str) -> Option<GroupInput> {
        let (mut routes, mut registrations) = (Vec::new(), Vec::new());
        for own in self.own.iter().filter(|own| own.group_version.group == group) {
            routes.push(Route {
                api_service: own.name.clone(),
                group_version: own.group_version.clone(),
                target: Target::Local,
                counter: self.metrics.proxied(group, &own.group_version.version),
            });
            registrations.push(own.clone());
        }
        for entry in self.groups.get(group).into_iter().flatten().filter_map(|name| self.entries.get(name)) {
            routes.extend(entry.route());
            registrations.extend(entry.registration());
        }
        (!routes.is_empty()).then(|| GroupInput { registrations, routes: routes.into() })
    }
}

/// Operators look in the log for an APIService that is no longer available.
fn log_transition(name: &str, old: Option<&Condition>, new: &Condition) {
    let (was, is) = (old.map_or("none", |c| c.status.as_str()), new.status.as_str());
    let (reason, cause) = (&new.reason, &new.message);
    if old.is_some_and(|c| c.status == Truth::True) && new.status != Truth::True {
        tracing::warn!(
            api_service = name,
            old = was,
            new = is,
            reason,
            cause,
            "APIService is no longer available"
        );
    } else {
        tracing::info!(
            api_service = name,
            old = was,
            new = is,
            reason,
            cause,
            "changing APIService availability"
        );
    }
}

fn service_name(object: &Object) -> ServiceName {
    (object.namespace().to_owned(), object.name().to_owned())
}
