//! Builds snapshots and swaps them in: at once after a quiet time, gathered when changes rain.

use super::documents::{Documents, Shown, compress_all, is_uncompressed};
use super::parts::SnapshotParts;
use super::pending::Pending;
use super::transforming::{News, Pace, Transforming};
use crate::decision::binding::Decisions;
use crate::merge::discovery::Registration;
use crate::observe::{Metrics, failpoint};
use crate::route::{DocumentSet, Route, Shared, Snapshot};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Two snapshots are at least so far apart.
const GATHER: Duration = Duration::from_millis(5);
/// Building snapshots may take at most one part in so many of the time.
const BUILD_SHARE: u32 = 4;
/// Large documents are compressed after so long without a change, or so long after the first.
const QUIET: Duration = Duration::from_millis(100);
const QUIET_MAX: Duration = Duration::from_secs(1);

/// One group with all its group-versions.
#[derive(Debug, Default)]
pub(super) struct GroupInput {
    pub(super) registrations: Vec<Registration>,
    pub(super) routes: Arc<[Route]>,
}

/// The one writer of the shared snapshot.
pub(super) struct Publisher {
    pub(super) inbox: Arc<Pending<Option<Arc<GroupInput>>>>,
    pub(super) shared: Arc<Shared>,
    pub(super) decisions: Arc<dyn Decisions>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) parts: SnapshotParts,
    pub(super) ready: watch::Sender<bool>,
    pub(super) pace: Pace,
}

#[derive(Default)]
struct Built {
    groups: HashMap<Arc<str>, Arc<GroupInput>>,
    routes: HashMap<Arc<str>, Arc<[Route]>>,
    documents: Documents,
    set: Arc<DocumentSet>,
    transforming: Option<Transforming>,
    /// The groups of the start that transformers have not answered about; without them the documents would look
    /// as if they were gone, so there are none until then.
    awaited: HashSet<String>,
    is_order_awaited: bool,
}

impl Publisher {
    /// Runs for ever. Nothing is published before `started`.
    pub(super) async fn run(self, started: oneshot::Receiver<()>) {
        if started.await.is_err() {
            return;
        }
        failpoint("control.publisher");
        let mut generation = self.decisions.generation();
        let mut openapi = self.parts.openapi.subscribe();
        let mut built = Built {
            transforming: Transforming::start(self.decisions.transformers(), self.pace),
            ..Built::default()
        };
        let mut uncompressed_since: Option<Instant> = None;
        let mut next = Instant::now();
        let (mut is_first, mut anew) = (true, false);
        loop {
            tokio::time::sleep_until(next).await;
            let began = Instant::now();
            if openapi.has_changed().unwrap_or_default() || is_first {
                Arc::make_mut(&mut built.set).openapi = Arc::clone(&openapi.borrow_and_update());
            }
            self.publish(&mut built, anew, is_first);
            is_first = false;
            next = Instant::now() + GATHER.max(began.elapsed() * BUILD_SHARE);
            self.ready.send_replace(true);
            let since = is_uncompressed(&built.set).then(|| uncompressed_since.unwrap_or(began));
            uncompressed_since = since;
            loop {
                let compress_at = uncompressed_since.map(|since| (began + QUIET).min(since + QUIET_MAX));
                anew = tokio::select! {
                    () = self.inbox.given() => false,
                    () = progressed(built.transforming.as_ref()) => false,
                    Ok(()) = openapi.changed() => { openapi.mark_changed(); false }
                    Ok(()) = generation.changed() => true,
                    () = sleep_until(compress_at) => {
                        compress_all(Arc::make_mut(&mut built.set));
                        uncompressed_since = None;
                        self.swap(&built);
                        continue;
                    }
                };
                break;
            }
        }
    }

    /// Takes in what changed and publishes it. Waits for nobody: what transformers make comes with a later call.
    fn publish(&self, built: &mut Built, anew: bool, is_first: bool) {
        let changed = self.inbox.take();
        let routes_changed = !changed.is_empty();
        let mut is_joined = false;
        if anew {
            built.transforming = Transforming::start(self.decisions.transformers(), self.pace);
            is_joined |= built.show_all();
        }
        for (group, input) in changed {
            is_joined |= built.take_in(&group, input);
        }
        if is_first && built.transforming.is_some() {
            let groups = built.groups.iter().filter(|(group, input)| is_documented(group, input));
            let groups = groups.filter(|(group, _)| Transforming::concerns(group));
            built.awaited = groups.map(|(group, _)| group.to_string()).collect();
            built.is_order_awaited = true;
        }
        is_joined |= built.take_transformed();
        is_joined |= built.arrange();
        if is_joined && built.awaited.is_empty() && !built.is_order_awaited {
            built.documents.join(Arc::make_mut(&mut built.set));
            self.metrics.count_discovery_aggregation();
        }
        self.swap(built);
        self.inbox.settle();
        if routes_changed {
            self.parts.published.send_modify(|count| *count += 1);
        }
    }

    fn swap(&self, built: &Built) {
        self.shared.publish(Snapshot { routes: built.routes.clone(), documents: Arc::clone(&built.set) });
    }
}

/// Each says whether the documents are to be joined anew.
impl Built {
    fn take_in(&mut self, group: &str, input: Option<Arc<GroupInput>>) -> bool {
        let Some(input) = input else {
            self.groups.remove(group);
            self.routes.remove(group);
            return self.leave_out(group);
        };
        let name: Arc<str> = group.into();
        self.routes.insert(Arc::clone(&name), Arc::clone(&input.routes));
        self.groups.insert(name, Arc::clone(&input));
        self.show(group, input)
    }

    fn show(&mut self, group: &str, input: Arc<GroupInput>) -> bool {
        if !is_documented(group, &input) {
            return self.leave_out(group);
        }
        match &self.transforming {
            Some(transforming) if Transforming::concerns(group) => {
                transforming.give(group, Some(input));
                false
            }
            _ => {
                if let Some(shown) = Shown::plain(group, &input) {
                    self.documents.put(group, shown);
                }
                true
            }
        }
    }

    fn leave_out(&mut self, group: &str) -> bool {
        if let Some(transforming) = &self.transforming {
            transforming.give(group, None);
        }
        self.awaited.remove(group);
        self.documents.remove(group);
        true
    }

    /// Other transformers decide: until they have, documents stay as they are.
    fn show_all(&mut self) -> bool {
        self.documents.doubt_order();
        if self.transforming.is_none() {
            self.awaited.clear();
            self.is_order_awaited = false;
        }
        let all: Vec<_> =
            self.groups.iter().map(|(name, input)| (Arc::clone(name), Arc::clone(input))).collect();
        let mut is_joined = false;
        for (group, input) in all {
            is_joined |= self.show(&group, input);
        }
        is_joined
    }

    fn take_transformed(&mut self) -> bool {
        let Some(transforming) = &self.transforming else { return false };
        let news = transforming.take();
        let is_news = !news.is_empty();
        for (group, news) in news {
            match news {
                News::Group(shown) => {
                    self.awaited.remove(&group);
                    let input = self.groups.get(group.as_str());
                    let is_there = input.is_some_and(|input| is_documented(&group, input));
                    if let Some(shown) = shown.filter(|_| is_there) {
                        self.documents.put(&group, *shown);
                    }
                }
                News::Order(order) => {
                    self.is_order_awaited &= !self.awaited.is_empty();
                    self.documents.arrange(order.as_deref());
                }
            }
        }
        is_news
    }

    fn arrange(&mut self) -> bool {
        if !self.awaited.is_empty() || !self.documents.take_unsorted() {
            return false;
        }
        match &self.transforming {
            Some(transforming) => transforming.give_heads(self.documents.heads()),
            None => self.documents.arrange(None),
        }
        true
    }
}

/// The legacy core group lives under `/api`, not in these documents (contract §3.1).
fn is_documented(group: &str, input: &GroupInput) -> bool {
    !group.is_empty() && !input.registrations.is_empty()
}

async fn progressed(transforming: Option<&Transforming>) {
    match transforming {
        Some(transforming) => transforming.progressed().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::binding::BindingSubject;
    use crate::decision::builtin::BuiltInDecisions;
    use crate::decision::discovery::{DiscoveryTransformer, GroupHead, Outcome};
    use crate::decision::health::HealthChecker;
    use crate::decision::resolver::Resolver;
    use crate::merge::discovery::{Known, Resource};
    use crate::model::group_version::GroupVersion;
    use crate::route::Target;
    use futures_util::future::{BoxFuture, pending};

    struct Never;

    impl DiscoveryTransformer for Never {
        fn transform<'a>(&'a self, _group: &'a str) -> BoxFuture<'a, Result<Outcome, String>> {
            Box::pin(pending())
        }

        fn order<'a>(&'a self, _: &'a [GroupHead]) -> BoxFuture<'a, Result<Option<Vec<String>>, String>> {
            Box::pin(pending())
        }
    }

    #[derive(Default)]
    struct Stuck(BuiltInDecisions);

    impl Decisions for Stuck {
        fn resolver(&self, subject: &BindingSubject) -> Arc<dyn Resolver> {
            self.0.resolver(subject)
        }

        fn health_checker(&self, subject: &BindingSubject) -> Arc<dyn HealthChecker> {
            self.0.health_checker(subject)
        }

        fn transformers(&self) -> Vec<Arc<dyn DiscoveryTransformer>> {
            vec![Arc::new(Never)]
        }

        fn generation(&self) -> watch::Receiver<u64> {
            self.0.generation()
        }
    }

    fn input(group: &str) -> Option<Arc<GroupInput>> {
        let (name, group_version) = (format!("v1.{group}"), GroupVersion::new(group, "v1"));
        let resource = Resource { resource: "things".into(), scope: "Cluster".into(), ..Resource::default() };
        let registration = Registration {
            name: name.clone(),
            group_version: group_version.clone(),
            group_priority: 1000,
            version_priority: 1,
            known: Known::Resources { last: Some(Arc::new(vec![resource])), fresh: true },
        };
        let route =
            Route { api_service: name, group_version, target: Target::Local, counter: Arc::default() };
        Some(Arc::new(GroupInput { registrations: vec![registration], routes: [route].into() }))
    }

    async fn until(shared: &Shared, what: &str, holds: impl Fn(&Snapshot) -> bool) {
        for _ in 0..2000 {
            if holds(&shared.load()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}");
    }

    #[tokio::test]
    async fn a_transformer_that_never_answers_holds_up_neither_routes_nor_readiness() {
        let inbox = Arc::<Pending<_>>::default();
        let shared = Arc::<Shared>::default();
        let (ready, mut is_ready) = watch::channel(false);
        let publisher = Publisher {
            inbox: Arc::clone(&inbox),
            shared: Arc::clone(&shared),
            decisions: Arc::new(Stuck::default()),
            metrics: Metrics::new().unwrap(),
            parts: SnapshotParts::new(),
            ready,
            pace: Pace { limit: Duration::from_secs(2), ..Pace::default() },
        };
        for number in 0..62 {
            let group = format!("g{number}.example");
            inbox.give(group.clone(), input(&group));
        }
        let (start, started) = oneshot::channel();
        let task = tokio::spawn(publisher.run(started));
        start.send(()).unwrap();
        is_ready.wait_for(|is| *is).await.unwrap();
        assert!(shared.load().route("g61.example", "v1").is_some());
        inbox.give("late.example".into(), input("late.example"));
        inbox.give("g0.example".into(), None);
        until(&shared, "later routes", |s| {
            s.route("late.example", "v1").is_some() && s.route("g0.example", "v1").is_none()
        })
        .await;
        assert!(shared.load().documents.groups_json.is_none(), "a document without its groups");
        until(&shared, "documents without the transformer", |s| s.documents.groups_json.is_some()).await;
        let documents = Arc::clone(&shared.load().documents);
        let text = String::from_utf8_lossy(&documents.groups_json.as_ref().unwrap().identity).into_owned();
        assert!(text.contains("late.example") && text.contains("g61.example"), "{text}");
        assert!(!text.contains("g0.example"), "{text}");
        task.abort();
    }
}
