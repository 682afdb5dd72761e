//! Watches one backend: whether it is available, and what it serves.
//!
//! One task per backend, whatever the number of its APIServices. A *sweep* asks the shared discovery document
//! first and the own paths of group-versions only where that does not tell. One connection stays open between
//! sweeps, so that the death of a backend is seen when it happens.

mod member;
mod prober;
mod report;
mod schedule;
mod shared;

pub(super) use report::{Finding, Judgement, Listing, MemberSpec, Report};

use super::pending::Pending;
use crate::control::client::ControlClient;
use crate::decision::health::Evidence;
use crate::model::group_version::GroupVersion;
use crate::observe::{Supervisor, failpoint};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use member::{Look, Member};
use prober::Round;
use schedule::{Cause, Schedule};
use shared::{SharedDocument, Style, Told};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// How many own paths are asked at a time.
const CONCURRENCY: usize = 4;
/// After so many members a sweep reports, and looks for commands.
const AT_A_TIME: usize = 16;
/// How many own paths one sweep asks, by its cause: a new backend fills quickly, a steady one is spread over
/// several periods, and one with many broken group-versions is not flooded.
const NEW_AT_ONCE: usize = 128;
const STEADY_AT_ONCE: usize = 500;
const FEW_AT_ONCE: usize = 16;

/// The reconciler's end of a watcher. Dropping it stops the task.
pub(super) struct WatcherHandle {
    members: Arc<Pending<Option<MemberSpec>>>,
    hint: Arc<Notify>,
    task: tokio::task::AbortHandle,
}

impl WatcherHandle {
    /// Starts to watch a backend.
    pub(super) fn start(client: Arc<ControlClient>, reports: mpsc::Sender<Report>) -> Self {
        let (members, hint) = (Arc::<Pending<_>>::default(), Arc::<Notify>::default());
        let watcher = Watcher {
            client,
            members: HashMap::new(),
            commands: Arc::clone(&members),
            hint: Arc::clone(&hint),
            reports,
            document: SharedDocument::default(),
            schedule: Schedule::new(Instant::now()),
            was_connected: true,
            still_failing: 0,
        };
        Self { members, hint, task: tokio::spawn(watcher.run()).abort_handle() }
    }

    /// Watches one more APIService, or the same with another checker.
    pub(super) fn add(&self, spec: MemberSpec) {
        self.members.give(spec.api_service.clone(), Some(spec));
    }

    /// Forgets an APIService.
    pub(super) fn remove(&self, api_service: &str) {
        self.members.give(api_service.to_owned(), None);
    }

    /// Traffic saw something odd.
    pub(super) fn hint(&self) {
        self.hint.notify_one();
    }
}

impl Drop for WatcherHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watcher {
    client: Arc<ControlClient>,
    members: HashMap<String, Member>,
    commands: Arc<Pending<Option<MemberSpec>>>,
    hint: Arc<Notify>,
    reports: mpsc::Sender<Report>,
    document: SharedDocument,
    schedule: Schedule,
    was_connected: bool,
    still_failing: usize,
}

impl Watcher {
    async fn run(mut self) {
        let mut supervisor = Supervisor::new("watching a backend");
        while supervisor.must_restart(self.watch()).await {}
    }

    async fn watch(&mut self) {
        loop {
            failpoint("control.watcher");
            tokio::select! {
                () = self.commands.given() => self.take_commands(),
                () = self.hint.notified() => self.schedule.hinted(Instant::now()),
                () = self.client.closed() => self.schedule.closed(Instant::now()),
                () = tokio::time::sleep_until(self.schedule.next()) => {}
            }
            while let Some(cause) = self.schedule.cause(Instant::now()) {
                if !self.members.is_empty() && !self.sweep(cause).await {
                    return;
                }
                self.plan(cause);
                self.take_commands();
            }
        }
    }

    fn take_commands(&mut self) {
        for (name, spec) in self.commands.take() {
            match spec {
                Some(spec) => {
                    self.members.insert(name, Member::new(spec));
                    self.schedule.due(Instant::now());
                }
                None => drop(self.members.remove(&name)),
            }
        }
    }

    /// One pass over the members that `cause` concerns: reports what it finds, and does what it is told, as it
    /// goes. Says whether somebody still listens.
    async fn sweep(&mut self, cause: Cause) -> bool {
        let client = Arc::clone(&self.client);
        let mut is_doubted = cause == Cause::Wake;
        if is_doubted {
            // The open connection itself may be broken, so a new one decides.
            client.hang_up();
        }
        let round = Round::new(&client);
        let mut connected = round.connect(is_doubted).await;
        let recovered = connected.is_ok() && !self.was_connected;
        let told = match connected {
            Ok(endpoint) if recovered || cause == Cause::Full || self.document.style != Style::Legacy => {
                let wanted: HashSet<GroupVersion> =
                    self.members.values().map(|m| m.spec.group_version.clone()).collect();
                self.document.fetch(&round, endpoint, wanted).await
            }
            _ => Told::Nothing,
        };
        if let Ok(endpoint) = connected
            && round.is_silent(endpoint)
        {
            // Further requests would each take a full timeout, so first find out whether the backend is there.
            is_doubted = true;
            client.hang_up();
            connected = round.connect(true).await;
        }
        self.was_connected = connected.is_ok();
        let selected = self.select(cause, told, connected.is_err() || recovered);
        let listings = self.settle_listings(told, &selected);
        if !self.report(listings).await {
            return false;
        }
        let mut again = None;
        let mut fell = false;
        for names in selected.chunks(AT_A_TIME) {
            let mut looks = self.look_at(&round, told, names.to_vec()).await;
            let doubtful: Vec<String> = looks
                .iter()
                .filter(|(name, look)| look.is_down() && self.members.get(name).is_some_and(Member::is_up))
                .map(|(name, _)| name.clone())
                .collect();
            let is_settled = is_doubted && connected.is_err();
            if !doubtful.is_empty() && !is_settled {
                // One failure may be an accident: a second try over a new connection decides.
                let again = again.get_or_insert_with(|| {
                    client.hang_up();
                    Round::new(&client)
                });
                looks.extend(self.look_at(again, told, doubtful).await);
            }
            let (findings, has_fallen) = self.settle(looks, told);
            fell |= has_fallen;
            if !self.report(findings).await {
                return false;
            }
            self.take_commands();
        }
        if fell && connected.is_ok() && cause != Cause::Full {
            self.schedule.doubt_all(Instant::now());
        }
        true
    }

    /// Says whether somebody still listens.
    async fn report(&self, findings: Vec<Finding>) -> bool {
        let report = Report { backend: self.client.backend().id, findings };
        report.findings.is_empty() || self.reports.send(report).await.is_ok()
    }

    /// What a new shared document says of those who are not looked at.
    fn settle_listings(&mut self, told: Told, selected: &[String]) -> Vec<Finding> {
        if told != Told::New {
            return Vec::new();
        }
        let selected: HashSet<&str> = selected.iter().map(String::as_str).collect();
        let others = self.members.iter_mut().filter(|(name, _)| !selected.contains(name.as_str()));
        others
            .filter_map(|(name, member)| {
                let listing = member.shared_listing(told, &self.document)?;
                Some(Finding { api_service: name.clone(), judgement: None, listing: Some(listing) })
            })
            .collect()
    }

    /// Whom to look at.
    fn select(&self, cause: Cause, told: Told, all: bool) -> Vec<String> {
        let now = Instant::now();
        if all {
            return self.members.keys().cloned().collect();
        }
        let mut selected = Vec::new();
        let mut costly = Vec::new();
        let mut new = 0;
        for (name, member) in &self.members {
            let listed = self.document.evidence(told, &member.spec.group_version) == Evidence::Listed;
            let is_due = member.checked.is_none() || member.next.is_some_and(|at| at <= now);
            let concerned = match cause {
                Cause::Full => true,
                Cause::Retry => !member.is_up() && member.next.is_none(),
                Cause::Wake => !listed || !member.is_up(),
                Cause::Due => false,
            };
            if is_due {
                new += usize::from(!listed);
                if new <= NEW_AT_ONCE {
                    selected.push(name.clone());
                }
            } else if concerned && listed {
                selected.push(name.clone());
            } else if concerned {
                costly.push((member.checked, name));
            }
        }
        costly.sort();
        let limit = if cause == Cause::Full { STEADY_AT_ONCE } else { FEW_AT_ONCE };
        selected.extend(costly.into_iter().take(limit).map(|(_, name)| name.clone()));
        selected
    }

    async fn look_at(&self, round: &Round<'_>, told: Told, names: Vec<String>) -> Vec<(String, Look)> {
        let mut looks: Vec<BoxFuture<'_, (String, Look)>> = Vec::with_capacity(names.len());
        for name in names {
            let Some(member) = self.members.get(&name) else { continue };
            let evidence = self.document.evidence(told, &member.spec.group_version);
            looks.push(Box::pin(async move { (name, member.look(round, evidence).await) }));
        }
        futures_util::stream::iter(looks).buffer_unordered(CONCURRENCY).collect().await
    }

    /// Remembers the looks, the later one of a name winning. Says what is new, and whether anything fell.
    fn settle(&mut self, looks: Vec<(String, Look)>, told: Told) -> (Vec<Finding>, bool) {
        let looks: HashMap<String, Look> = looks.into_iter().collect();
        let mut findings = Vec::with_capacity(looks.len());
        let mut fell = false;
        for (name, look) in looks {
            if let Some(member) = self.members.get_mut(&name) {
                let was_up = member.is_up();
                findings.push(member.settle(look, told, &self.document));
                fell |= was_up && !member.is_up();
            }
        }
        (findings, fell)
    }

    /// Sets the times of the next sweeps.
    fn plan(&mut self, cause: Cause) {
        let now = Instant::now();
        let failing = |m: &&Member| m.checked.is_some() && m.next.is_none() && !m.is_up();
        let still_failing = self.members.values().filter(failing).count();
        let progress = std::mem::replace(&mut self.still_failing, still_failing) > still_failing;
        self.schedule.swept(cause, now, still_failing > 0, progress);
        let waiting = self.members.values().filter_map(|m| match m.checked {
            None => Some(now),
            Some(_) => m.next,
        });
        if let Some(at) = waiting.min() {
            self.schedule.due(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::builtin::DiscoveryProbe;
    use crate::decision::health::State;
    use crate::decision::resolver::Endpoint;
    use crate::route::{Backend, BackendId};
    use http::HeaderValue;
    use rustls::RootCertStore;
    use std::time::Duration;

    /// A backend with these endpoints on loopback.
    pub(super) fn backend(ports: &[u16]) -> Backend {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let tls = Arc::new(tls);
        let endpoint = |port: &u16| Endpoint { host: "127.0.0.1".to_owned(), port: *port, weight: 1 };
        Backend {
            id: BackendId(1),
            service: "prod/shop:443".to_owned(),
            endpoints: ports.iter().map(endpoint).collect(),
            authorities: ports.iter().map(|_| HeaderValue::from_static("shop.prod.svc")).collect(),
            server_name: "shop.prod.svc".try_into().unwrap(),
            tls: Arc::clone(&tls),
            tls_http1: tls,
        }
    }

    fn watcher() -> Watcher {
        Watcher {
            client: Arc::new(ControlClient::new(Arc::new(backend(&[])))),
            members: HashMap::new(),
            commands: Arc::default(),
            hint: Arc::default(),
            reports: mpsc::channel(1).0,
            document: SharedDocument::default(),
            schedule: Schedule::new(Instant::now()),
            was_connected: true,
            still_failing: 0,
        }
    }

    impl Watcher {
        /// A member that was checked before, with this state, and is due again at `next`.
        fn with(mut self, name: &str, was: State, next: Option<Instant>) -> Self {
            let group_version = GroupVersion::new(name, "v1");
            let checker = Arc::new(DiscoveryProbe);
            let mut member =
                Member::new(MemberSpec { api_service: name.to_owned(), group_version, checker, was });
            (member.checked, member.next) = (Some(Instant::now()), next);
            self.members.insert(name.to_owned(), member);
            self
        }

        fn selected(&self, cause: Cause, all: bool) -> Vec<String> {
            let mut names = self.select(cause, Told::Nothing, all);
            names.sort();
            names
        }
    }

    #[tokio::test]
    async fn each_cause_concerns_its_own_members() {
        let soon = Instant::now() + Duration::from_secs(60);
        let watcher = watcher()
            .with("down", State::Down, None)
            .with("down-later", State::Down, Some(soon))
            .with("up", State::Up, None)
            .with("degraded", State::Degraded, None)
            .with("due", State::Up, Some(Instant::now()));
        let all = ["degraded", "down", "down-later", "due", "up"];
        assert_eq!(watcher.selected(Cause::Full, false), all);
        assert_eq!(watcher.selected(Cause::Wake, false), all);
        assert_eq!(watcher.selected(Cause::Retry, false), ["down", "due"]);
        assert_eq!(watcher.selected(Cause::Due, false), ["due"]);
        assert_eq!(watcher.selected(Cause::Due, true), all, "a new connection puts everything in doubt");
    }

    #[tokio::test]
    async fn a_sweep_asks_only_so_many_own_paths() {
        let mut watcher = watcher();
        for number in 0..600 {
            watcher = watcher.with(&format!("m{number}"), State::Down, None);
        }
        assert_eq!(watcher.selected(Cause::Full, false).len(), STEADY_AT_ONCE);
        assert_eq!(watcher.selected(Cause::Retry, false).len(), FEW_AT_ONCE);
        for member in watcher.members.values_mut() {
            member.checked = None;
        }
        assert_eq!(watcher.selected(Cause::Due, false).len(), NEW_AT_ONCE);
    }

    #[tokio::test]
    async fn what_was_not_looked_at_for_longest_is_first() {
        let mut watcher = watcher();
        for number in 0..100_u64 {
            let name = format!("m{number}");
            watcher = watcher.with(&name, State::Down, None);
            let checked = watcher.members[&name].checked;
            if let (Some(checked), Some(member)) = (checked, watcher.members.get_mut(&name)) {
                member.checked = Some(checked + Duration::from_secs((number * 37) % 100));
            }
        }
        let oldest: HashSet<String> =
            (0..100_u64).filter(|n| (n * 37) % 100 < FEW_AT_ONCE as u64).map(|n| format!("m{n}")).collect();
        let selected: HashSet<String> = watcher.selected(Cause::Retry, false).into_iter().collect();
        assert_eq!(selected, oldest);
    }

    #[tokio::test]
    async fn the_next_sweep_comes_when_something_fails_or_is_due() {
        let now = Instant::now();
        let mut idle = watcher().with("up", State::Up, None);
        idle.plan(Cause::Full);
        assert!(idle.schedule.next() > now + Duration::from_secs(20));
        let mut failing = watcher().with("down", State::Down, None);
        failing.plan(Cause::Full);
        assert!(failing.schedule.next() < now + Duration::from_secs(5));
        let mut later = watcher().with("down", State::Down, Some(now + Duration::from_secs(10)));
        later.plan(Cause::Full);
        let next = later.schedule.next();
        assert!(next > now + Duration::from_secs(8) && next < now + Duration::from_secs(12));
        let mut new = watcher().with("new", State::Unknown, None);
        new.members.get_mut("new").unwrap().checked = None;
        new.plan(Cause::Full);
        assert!(new.schedule.next() <= Instant::now());
    }
}
