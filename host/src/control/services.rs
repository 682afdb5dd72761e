//! Resolved services: who resolves them, what came out, when to ask again.

use super::declared::{ExternalName, ServiceName};
use crate::decision::builtin::ExternalNameResolver;
use crate::decision::resolver::{Resolution, ResolveFault, Resolver, Target};
use futures_util::FutureExt as _;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// Guard around one resolution.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
/// Wait before a failed resolution is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// A resolver may not ask to be asked more often.
const FRESH_MIN: Duration = Duration::from_secs(1);

/// Names a service, its port and who resolves it (by identity: each resolver is one allocation).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServiceKey {
    pub(super) service: ServiceName,
    pub(super) port: u16,
    resolver: usize,
}

/// What a resolution gave.
pub(super) type Outcome = Result<Resolution, ResolveFault>;

/// News of a service.
#[derive(Debug)]
pub(super) enum Resolved {
    /// A resolver has answered.
    Answered(ServiceKey, u64, Outcome),
    /// It is time to ask again.
    Due(ServiceKey, u64),
}

struct Service {
    resolver: Arc<dyn Resolver>,
    target: Target,
    users: HashSet<String>,
    /// Answers of an older generation are about another target.
    generation: u64,
    outcome: Option<Outcome>,
    resolved_at: Instant,
    /// The round in which it was last asked.
    asked_in: u64,
    /// What waits for the answer, or for the time to ask again.
    waiting: Option<AbortHandle>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

/// All services that APIServices name.
pub(super) struct Services {
    entries: HashMap<ServiceKey, Service>,
    news: mpsc::Sender<Resolved>,
    tasks: JoinSet<()>,
    round: u64,
}

impl Services {
    pub(super) fn new(news: mpsc::Sender<Resolved>) -> Self {
        Self { entries: HashMap::new(), news, tasks: JoinSet::new(), round: 0 }
    }

    /// Registers a user of a service and begins to resolve it when nobody did before.
    pub(super) fn join(
        &mut self,
        api_service: &str,
        service: &ServiceName,
        port: u16,
        resolver: Arc<dyn Resolver>,
        external_name: Option<&ExternalName>,
    ) -> ServiceKey {
        let address = Arc::as_ptr(&resolver).cast::<()>() as usize;
        let key = ServiceKey { service: service.clone(), port, resolver: address };
        let is_new = !self.entries.contains_key(&key);
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Service {
            resolver,
            target: make_target(service, port, external_name),
            users: HashSet::new(),
            generation: 0,
            outcome: None,
            resolved_at: Instant::now(),
            asked_in: 0,
            waiting: None,
        });
        entry.users.insert(api_service.to_owned());
        if is_new {
            self.ask(&key);
        }
        key
    }

    /// Removes a user; the last one ends the resolving.
    pub(super) fn leave(&mut self, api_service: &str, key: &ServiceKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.users.remove(api_service);
            if entry.users.is_empty() {
                self.entries.remove(key);
            }
        }
    }

    /// What is known; `None` while the first answer is awaited.
    pub(super) fn outcome(&self, key: &ServiceKey) -> Option<&Outcome> {
        self.entries.get(key)?.outcome.as_ref()
    }

    /// An ExternalName came, changed or went: resolves anew and returns the APIServices concerned.
    pub(super) fn retarget(&mut self, service: &ServiceName, now: Option<&ExternalName>) -> Vec<String> {
        let mut users = Vec::new();
        let keys: Vec<_> = self.entries.keys().filter(|key| key.service == *service).cloned().collect();
        for key in keys {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.target = make_target(service, key.port, now);
            entry.outcome = None;
            users.extend(entry.users.iter().cloned());
            self.ask(&key);
        }
        users
    }

    /// Every resolver is to be asked again: those asked from now on count, [`Self::ask_rest`] asks the others.
    pub(super) fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Asks the resolvers that were not asked in this round, and returns the APIServices concerned.
    pub(super) fn ask_rest(&mut self) -> Vec<String> {
        let rest = self.entries.iter().filter(|(_, entry)| entry.asked_in < self.round);
        let keys: Vec<_> = rest.map(|(key, _)| key.clone()).collect();
        let mut users = Vec::new();
        for key in keys {
            self.ask(&key);
            users.extend(self.entries.get(&key).into_iter().flat_map(|entry| entry.users.iter().cloned()));
        }
        users
    }

    /// Takes news in and returns the APIServices concerned.
    pub(super) fn take(&mut self, news: Resolved) -> Vec<String> {
        while self.tasks.try_join_next().is_some() {}
        let (key, generation, answer) = match news {
            Resolved::Answered(key, generation, outcome) => (key, generation, Some(outcome)),
            Resolved::Due(key, generation) => (key, generation, None),
        };
        if self.entries.get(&key).is_none_or(|e| e.generation != generation) {
            return Vec::new();
        }
        match answer {
            None => self.ask(&key),
            Some(outcome) => self.settle(&key, outcome),
        }
        self.entries.get(&key).map(|e| e.users.iter().cloned().collect()).unwrap_or_default()
    }

    /// Asks the resolver, where it is at home: one that answers at once costs no task.
    fn ask(&mut self, key: &ServiceKey) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.stop_waiting();
        entry.generation += 1;
        entry.asked_in = self.round;
        let generation = entry.generation;
        let (resolver, target) = (Arc::clone(&entry.resolver), entry.target.clone());
        let home = resolver.home();
        let mut answer = Box::pin(async move {
            match resolver.resolve(&target).await {
                Err(ResolveFault::NotMine) => ExternalNameResolver.resolve(&target).await,
                outcome => outcome,
            }
        });
        if home.is_none()
            && let Some(outcome) = (&mut answer).now_or_never()
        {
            self.settle(key, outcome);
            return;
        }
        let (news, name) = (self.news.clone(), key.clone());
        let tell = async move {
            // Nobody listens any more when the control plane stops.
            drop(news.send(Resolved::Answered(name, generation, answer.await)).await);
        };
        let mut asking = JoinSet::new();
        match home {
            Some(home) => asking.spawn_on(tell, &home),
            None => asking.spawn(tell),
        };
        let (news, name) = (self.news.clone(), key.clone());
        // The guard stays here, so that it holds whatever happens there.
        entry.waiting = Some(self.tasks.spawn(async move {
            let why = match tokio::time::timeout(RESOLVE_LIMIT, asking.join_next()).await {
                Ok(None | Some(Ok(()))) => return,
                Ok(Some(Err(error))) => {
                    // What it says differs each time, and conditions would change with it.
                    tracing::warn!(service = ?name.service, %error, "a resolver could not be asked");
                    "the resolver could not be asked".to_owned()
                }
                Err(_) => "the resolver did not answer in time".to_owned(),
            };
            drop(asking);
            let failed = Err(ResolveFault::Unavailable(why));
            drop(news.send(Resolved::Answered(name, generation, failed)).await);
        }));
    }

    fn settle(&mut self, key: &ServiceKey, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let outcome = outcome.and_then(|resolution| {
            let usable = resolution.endpoints.iter().any(|endpoint| endpoint.weight > 0);
            let empty = || ResolveFault::Other("the resolver named no endpoint".to_owned());
            if usable { Ok(resolution) } else { Err(empty()) }
        });
        let again = match &outcome {
            Ok(resolution) => (resolution.fresh > Duration::ZERO).then(|| resolution.fresh.max(FRESH_MIN)),
            Err(ResolveFault::NotFound(_)) if entry.target.external_name.is_none() => None,
            Err(_) => Some(RETRY),
        };
        if outcome.is_ok() || !entry.may_keep(&outcome) {
            entry.outcome = Some(outcome);
            entry.resolved_at = Instant::now();
        }
        if let Some(wait) = again {
            let (news, key, generation) = (self.news.clone(), key.clone(), entry.generation);
            // Answers that came together are not all asked for again at the same moment.
            let wait = wait.mul_f64(1.0 + 0.1 * fastrand::f64());
            entry.waiting = Some(self.tasks.spawn(async move {
                tokio::time::sleep(wait).await;
                drop(news.send(Resolved::Due(key, generation)).await);
            }));
        }
    }
}

impl Service {
    fn stop_waiting(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.abort();
        }
    }

    /// Whether the previous answer outlives this failure.
    fn may_keep(&self, failure: &Outcome) -> bool {
        let Some(Ok(previous)) = &self.outcome else { return false };
        let is_definite = matches!(
            failure,
            Err(ResolveFault::NotFound(_) | ResolveFault::Invalid(_) | ResolveFault::Withheld { .. })
        );
        let fits = previous.stale.is_zero()
            || self.resolved_at.elapsed() < previous.fresh.saturating_add(previous.stale);
        !is_definite && fits
    }
}

fn make_target(service: &ServiceName, port: u16, external_name: Option<&ExternalName>) -> Target {
    Target {
        namespace: service.0.clone(),
        name: service.1.clone(),
        port,
        external_name: external_name.map(|e| e.host.clone()),
        annotations: external_name.map(|e| e.annotations.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::resolver::Endpoint;
    use futures_util::future::BoxFuture;
    use parking_lot::Mutex;
    use tokio::runtime::{Builder, Handle, Id, Runtime};

    /// Notes on which runtime it is asked.
    struct Homely {
        home: Handle,
        asked_on: Mutex<Vec<Id>>,
    }

    impl Resolver for Homely {
        fn resolve<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Outcome> {
            self.asked_on.lock().push(Handle::current().id());
            let endpoint = Endpoint { host: "10.0.0.1".to_owned(), port: target.port, weight: 1 };
            let resolution =
                Resolution { endpoints: vec![endpoint], fresh: Duration::ZERO, stale: Duration::ZERO };
            Box::pin(async move { Ok(resolution) })
        }

        fn home(&self) -> Option<Handle> {
            Some(self.home.clone())
        }
    }

    fn runtime() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    async fn resolve_at(home: Handle) -> (Outcome, Vec<Id>) {
        let resolver = Arc::new(Homely { home, asked_on: Mutex::default() });
        let (news, mut heard) = mpsc::channel(4);
        let mut services = Services::new(news);
        let service = ("prod".to_owned(), "shop".to_owned());
        let key = services.join("v1.a", &service, 443, Arc::clone(&resolver) as Arc<dyn Resolver>, None);
        assert!(services.outcome(&key).is_none(), "it is asked elsewhere");
        let users = services.take(heard.recv().await.unwrap());
        assert_eq!(users, ["v1.a"]);
        let asked_on = std::mem::take(&mut *resolver.asked_on.lock());
        (services.outcome(&key).unwrap().clone(), asked_on)
    }

    #[tokio::test]
    async fn a_resolver_is_asked_where_it_is_at_home() {
        let home = runtime();
        let (outcome, asked_on) = resolve_at(home.handle().clone()).await;
        assert_eq!(outcome.unwrap().endpoints[0].port, 443);
        assert_eq!(asked_on, [home.handle().id()]);
        home.shutdown_background();
    }

    #[tokio::test]
    async fn a_resolver_without_its_home_is_unavailable() {
        let home = runtime();
        let handle = home.handle().clone();
        home.shutdown_background();
        let (outcome, asked_on) = resolve_at(handle).await;
        let fault = outcome.unwrap_err();
        assert!(
            matches!(&fault, ResolveFault::Unavailable(text) if text.contains("could not be asked")),
            "{fault}"
        );
        assert_eq!(asked_on, []);
    }

    /// Answers one after the other, and the last one for ever.
    struct Script(Mutex<Vec<Outcome>>);

    impl Resolver for Script {
        fn resolve<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Outcome> {
            let mut left = self.0.lock();
            let next = if left.len() > 1 { left.remove(0) } else { left[0].clone() };
            Box::pin(std::future::ready(next))
        }
    }

    fn resolved(host: &str, fresh: Duration, stale: Duration) -> Outcome {
        let endpoint = Endpoint { host: host.to_owned(), port: 443, weight: 1 };
        Ok(Resolution { endpoints: vec![endpoint], fresh, stale })
    }

    /// The hosts, or the fault, after the first answer and after being asked again.
    fn twice(answers: Vec<Outcome>, external_name: Option<&ExternalName>) -> (String, String) {
        let (news, _heard) = mpsc::channel(4);
        let mut services = Services::new(news);
        let service = ("prod".to_owned(), "shop".to_owned());
        let script = Arc::new(Script(Mutex::new(answers)));
        let key = services.join("v1.a", &service, 443, script, external_name);
        let show = |services: &Services| match services.outcome(&key).unwrap() {
            Ok(resolution) => {
                resolution.endpoints.iter().map(|e| e.host.as_str()).collect::<Vec<_>>().join(",")
            }
            Err(fault) => fault.to_string(),
        };
        let first = show(&services);
        services.begin_round();
        assert_eq!(services.ask_rest(), ["v1.a"]);
        (first, show(&services))
    }

    #[tokio::test]
    async fn what_a_resolver_does_not_handle_the_built_in_one_resolves() {
        let named = ExternalName {
            host: "shop.example.com".to_owned(),
            annotations: Vec::new(),
            resolver: None,
            health_checker: None,
            failure_policy: None,
        };
        let (first, second) = twice(vec![Err(ResolveFault::NotMine)], Some(&named));
        assert_eq!((first.as_str(), second.as_str()), ("shop.example.com", "shop.example.com"));
        let (first, _) = twice(vec![Err(ResolveFault::NotMine)], None);
        assert_eq!(first, "ExternalName \"shop\" in namespace \"prod\" is not present");
    }

    #[tokio::test]
    async fn an_answer_outlives_a_failure_unless_that_is_definite() {
        let good = || resolved("a", Duration::ZERO, Duration::ZERO);
        let late = || Err(ResolveFault::Unavailable("late".to_owned()));
        assert_eq!(twice(vec![good(), late()], None).1, "a");
        for definite in [
            ResolveFault::NotFound("gone".to_owned()),
            ResolveFault::Invalid("gone".to_owned()),
            ResolveFault::Withheld { public: "p".to_owned(), detail: "gone".to_owned() },
        ] {
            assert_eq!(twice(vec![good(), Err(definite)], None).1, "gone");
        }
        let short = resolved("a", Duration::ZERO, Duration::from_nanos(1));
        assert_eq!(twice(vec![short, late()], None).1, "late", "it may not be used so long");
        let unused = Endpoint { host: "a".to_owned(), port: 443, weight: 0 };
        let empty = Ok(Resolution { endpoints: vec![unused], fresh: Duration::ZERO, stale: Duration::ZERO });
        assert_eq!(twice(vec![empty], None).0, "the resolver named no endpoint");
    }
}
