//! Asks the transformers of discovery, apart from the publisher: however long they take, and whatever becomes of
//! them, nothing else waits.

use super::documents::{Shown, UNTOUCHABLE, sort};
use super::pending::Pending;
use super::publish::GroupInput;
use crate::decision::discovery::{DiscoveryTransformer, GroupHead, Outcome};
use crate::merge::discovery::{GroupDiscovery, build_group, check_order, check_replacement};
use crate::observe::Supervisor;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many groups are transformed at a time.
const AT_A_TIME: usize = 4;
/// After so many failures in a row a transformer is left alone for a while.
const PATIENCE: u32 = 5;
/// Transformers are not called for a group whose JSON is larger. They could not process it within their limits of
/// memory and time, and the failures would count against their results for all other groups.
const DOCUMENT_MAX: usize = 4 << 20;
/// Where the order stands among the news of groups: the core group, which has no name, is not in the documents.
const ORDER: &str = "";

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Guard around one call.
    pub(super) limit: Duration,
    /// How long a failing transformer is left alone. What it was not asked about, or failed at, is asked again
    /// after that.
    pub(super) rest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { limit: Duration::from_secs(5), rest: Duration::from_secs(30) }
    }
}

/// What transformers made.
pub(super) enum News {
    /// A group as it is to be shown; `None` when it stays as it was.
    Group(Option<Box<Shown>>),
    /// The order of all groups but the untouchable ones; `None` leaves it to their priorities.
    Order(Option<Vec<String>>),
}

/// The publisher's end. Dropping it ends the asking.
pub(super) struct Transforming {
    inputs: Arc<Pending<Option<Arc<GroupInput>>>>,
    news: Arc<Pending<News>>,
    heads: watch::Sender<Vec<GroupHead>>,
    _task: JoinSet<()>,
}

impl Transforming {
    /// Begins; `None` without transformers.
    pub(super) fn start(transformers: Vec<Arc<dyn DiscoveryTransformer>>, pace: Pace) -> Option<Self> {
        if transformers.is_empty() {
            return None;
        }
        let (inputs, news) = (Arc::<Pending<_>>::default(), Arc::<Pending<_>>::default());
        let (heads, orders) = watch::channel(Vec::new());
        let chain =
            transformers.into_iter().map(|asked| Link { asked, pace, patience: Mutex::default() }).collect();
        let work = Work { chain, pace, inputs: Arc::clone(&inputs), news: Arc::clone(&news) };
        let mut task = JoinSet::new();
        task.spawn(async move {
            let transform = async {
                let mut supervisor = Supervisor::new("transforming discovery");
                while supervisor.must_restart(work.transform_groups()).await {}
            };
            let order = async {
                let mut supervisor = Supervisor::new("ordering discovery");
                while supervisor.must_restart(work.order_groups(orders.clone())).await {}
            };
            tokio::join!(transform, order);
        });
        Some(Self { inputs, news, heads, _task: task })
    }

    /// Whether transformers are asked about a group.
    pub(super) fn concerns(group: &str) -> bool {
        !UNTOUCHABLE.contains(&group)
    }

    /// Gives a group to be transformed; only the latest of each is. `None` when it is gone.
    pub(super) fn give(&self, group: &str, input: Option<Arc<GroupInput>>) {
        self.inputs.give(group.to_owned(), input);
    }

    /// Has the groups ordered.
    pub(super) fn give_heads(&self, heads: Vec<GroupHead>) {
        self.heads.send_replace(heads);
    }

    /// Takes what is done.
    pub(super) fn take(&self) -> HashMap<String, News> {
        self.news.take()
    }

    /// Resolves when there is something to take. Cancel safe.
    pub(super) async fn progressed(&self) {
        self.news.given().await;
    }
}

struct Work {
    chain: Vec<Link>,
    pace: Pace,
    inputs: Arc<Pending<Option<Arc<GroupInput>>>>,
    news: Arc<Pending<News>>,
}

impl Work {
    async fn transform_groups(&self) {
        let mut waiting: BTreeMap<String, Arc<GroupInput>> = BTreeMap::new();
        let mut again: BTreeMap<String, Arc<GroupInput>> = BTreeMap::new();
        let mut again_at: Option<Instant> = None;
        let mut busy = BTreeSet::new();
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < AT_A_TIME
                && let Some(group) = waiting.keys().find(|group| !busy.contains(*group)).cloned()
                && let Some(input) = waiting.remove(&group)
            {
                busy.insert(group.clone());
                running.push(async {
                    let (shown, is_settled) = self.show(&group, &input).await;
                    (group, input, shown, is_settled)
                });
            }
            tokio::select! {
                () = self.inputs.given() => for (group, input) in self.inputs.take() {
                    again.remove(&group);
                    match input {
                        Some(input) => drop(waiting.insert(group, input)),
                        None => drop(waiting.remove(&group)),
                    }
                },
                Some((group, input, shown, is_settled)) = running.next() => {
                    busy.remove(&group);
                    if !is_settled && !waiting.contains_key(&group) {
                        again.insert(group.clone(), input);
                        again_at.get_or_insert_with(|| Instant::now() + self.pace.rest);
                    }
                    self.news.give(group, News::Group(shown.map(Box::new)));
                }
                () = sleep_until(again_at) => {
                    again_at = None;
                    waiting.append(&mut again);
                }
            }
        }
    }

    async fn order_groups(&self, mut heads: watch::Receiver<Vec<GroupHead>>) {
        let mut again_at = None;
        loop {
            tokio::select! {
                changed = heads.changed() => if changed.is_err() { return },
                () = sleep_until(again_at) => {}
            }
            let given = heads.borrow_and_update().clone();
            let (order, is_settled) = self.order(given).await;
            again_at = (!is_settled).then(|| Instant::now() + self.pace.rest);
            self.news.give(ORDER.to_owned(), News::Order(order));
        }
    }

    /// What all transformers make of a group, and whether each of them had its say.
    async fn show(&self, group: &str, input: &GroupInput) -> (Option<Shown>, bool) {
        let sorted = sort(input);
        let mut discovery = build_group(group, &sorted);
        let (mut hidden, mut is_settled) = (false, true);
        for link in &self.chain {
            let Some(given) = discovery.take() else { break };
            let size = serde_json::to_vec(&given).map_or(0, |text| text.len());
            if size > DOCUMENT_MAX {
                tracing::warn!(
                    group,
                    size,
                    "a group is larger than {DOCUMENT_MAX} bytes: no transformer is asked about it"
                );
                hidden = matches!(link.asked.without_answer(group), Outcome::Hide(_));
                discovery = Some(given).filter(|_| !hidden);
                continue;
            }
            if let Some(answer) = link.ask(group, transform(&given, link.asked.as_ref())).await {
                hidden = answer.is_none();
                discovery = answer;
                continue;
            }
            is_settled = false;
            match link.asked.without_answer(group) {
                Outcome::Hide(reason) => {
                    tracing::warn!(group, reason, "a group is hidden while a transformer does not answer");
                    hidden = true;
                }
                Outcome::Keep | Outcome::Replace(_) => discovery = Some(given),
            }
        }
        (Shown::new(group, &sorted, discovery.as_ref(), hidden), is_settled)
    }

    /// The order that all transformers agree to; `None` when nobody changes it.
    async fn order(&self, mut heads: Vec<GroupHead>) -> (Option<Vec<String>>, bool) {
        let (mut is_changed, mut is_settled) = (false, true);
        for link in &self.chain {
            match link.ask("the order of groups", reorder(&heads, link.asked.as_ref())).await {
                Some(Some(next)) => {
                    let place: HashMap<&str, usize> =
                        next.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
                    is_changed |= heads.iter().zip(&next).any(|(head, name)| head.name != *name);
                    heads.sort_by_key(|head| place.get(head.name.as_str()).copied());
                }
                Some(None) => {}
                None => is_settled = false,
            }
        }
        (is_changed.then(|| heads.into_iter().map(|head| head.name).collect()), is_settled)
    }
}

/// One transformer, and how it has done so far.
struct Link {
    asked: Arc<dyn DiscoveryTransformer>,
    pace: Pace,
    patience: Mutex<Patience>,
}

#[derive(Default)]
struct Patience {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Link {
    /// The answer; `None`, with a line in the log, when there is none or it is not asked now.
    async fn ask<T>(&self, about: &str, call: impl Future<Output = Result<T, String>>) -> Option<T> {
        if self.patience.lock().rests_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let answer = tokio::time::timeout(self.pace.limit, call).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.pace.limit)));
        let mut patience = self.patience.lock();
        match answer {
            Ok(answer) => {
                *patience = Patience::default();
                Some(answer)
            }
            Err(reason) => {
                tracing::warn!(about, reason, "a discovery transformer is left out");
                patience.failures = patience.failures.saturating_add(1);
                if patience.failures >= PATIENCE {
                    let failures = patience.failures;
                    tracing::warn!(failures, "a discovery transformer is not asked for {:?}", self.pace.rest);
                    patience.rests_until = Some(Instant::now() + self.pace.rest);
                }
                None
            }
        }
    }
}

/// What a transformer makes of a group; `Ok(None)` when it hides it.
async fn transform(
    given: &GroupDiscovery,
    transformer: &dyn DiscoveryTransformer,
) -> Result<Option<GroupDiscovery>, String> {
    let text = serde_json::to_string(given).map_err(|error| error.to_string())?;
    match transformer.transform(&text).await? {
        Outcome::Keep => Ok(Some(given.clone())),
        Outcome::Hide(reason) => {
            tracing::debug!(group = given.metadata.name, reason, "a discovery transformer hides a group");
            Ok(None)
        }
        Outcome::Replace(answer) => {
            check_replacement(given, &answer).map(Some).map_err(|fault| fault.to_string())
        }
    }
}

async fn reorder(
    heads: &[GroupHead],
    transformer: &dyn DiscoveryTransformer,
) -> Result<Option<Vec<String>>, String> {
    let Some(answer) = transformer.order(heads).await? else { return Ok(None) };
    let given: Vec<String> = heads.iter().map(|head| head.name.clone()).collect();
    check_order(&given, answer).map(Some).map_err(|fault| fault.to_string())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::documents::Documents;
    use super::*;
    use crate::merge::discovery::{Known, Registration, Resource};
    use crate::model::group_version::GroupVersion;
    use crate::route::DocumentSet;
    use futures_util::future::{BoxFuture, ready};
    use serde_json::Value;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Rules;

    impl DiscoveryTransformer for Rules {
        fn transform<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<Outcome, String>> {
            let mut value: Value = serde_json::from_str(group).unwrap();
            let outcome = match value["metadata"]["name"].as_str().unwrap() {
                "hidden" => Ok(Outcome::Hide("internal".into())),
                "liar" => {
                    value["versions"][0]["version"] = "v9".into();
                    Ok(Outcome::Replace(value.to_string()))
                }
                "broken" => Err("trapped".into()),
                _ => Ok(Outcome::Keep),
            };
            Box::pin(ready(outcome))
        }

        fn order<'a>(
            &'a self,
            groups: &'a [GroupHead],
        ) -> BoxFuture<'a, Result<Option<Vec<String>>, String>> {
            let order = groups.iter().rev().map(|head| head.name.clone()).collect();
            Box::pin(ready(Ok(Some(order))))
        }
    }

    pub(in crate::control) fn input(group: &str) -> GroupInput {
        let resource = Resource { resource: "things".into(), scope: "Cluster".into(), ..Resource::default() };
        let registration = Registration {
            name: format!("v1.{group}"),
            group_version: GroupVersion::new(group, "v1"),
            group_priority: match group {
                "apiregistration.k8s.io" => 20_001,
                own if UNTOUCHABLE.contains(&own) || own == "service.grafana.app" => 0,
                _ => 1000,
            },
            version_priority: 1,
            known: Known::Resources { last: Some(Arc::new(vec![resource])), fresh: true },
        };
        GroupInput { registrations: vec![registration], routes: Arc::default() }
    }

    async fn take(transforming: &Transforming) -> HashMap<String, News> {
        loop {
            tokio::time::timeout(Duration::from_secs(100), transforming.progressed()).await.unwrap();
            let news = transforming.take();
            if !news.is_empty() {
                return news;
            }
        }
    }

    #[tokio::test]
    async fn transformers_hide_and_reorder_but_do_not_invent() {
        let transforming = Transforming::start(vec![Arc::new(Rules)], Pace::default()).unwrap();
        let mut documents = Documents::default();
        for group in UNTOUCHABLE {
            assert!(!Transforming::concerns(group), "{group}");
            documents.put(group, Shown::plain(group, &input(group)).unwrap());
        }
        let mut missing: BTreeSet<&str> = ["broken", "liar", "hidden", "service.grafana.app", "z"].into();
        for group in &missing {
            transforming.give(group, Some(Arc::new(input(group))));
        }
        while !missing.is_empty() {
            for (group, news) in take(&transforming).await {
                let News::Group(Some(shown)) = news else { panic!("{group}") };
                missing.remove(group.as_str());
                documents.put(&group, *shown);
            }
        }
        let heads = documents.heads();
        assert!(heads.iter().all(|head| Transforming::concerns(&head.name)), "{heads:?}");
        transforming.give_heads(heads);
        let Some(News::Order(order)) = take(&transforming).await.remove(ORDER) else { panic!("no order") };
        documents.arrange(order.as_deref());
        let mut set = DocumentSet::default();
        documents.join(&mut set);
        let text = String::from_utf8_lossy(&set.aggregated_v2.unwrap().identity).into_owned();
        let value: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<_> =
            value["items"].as_array().unwrap().iter().map(|g| &g["metadata"]["name"]).collect();
        // Turned round around those that keep their places, behind four others of which one is hidden.
        let [first, plugins, events] = UNTOUCHABLE;
        assert_eq!(names, [first, "service.grafana.app", "z", "liar", events, plugins, "broken"]);
        assert!(!text.contains("v9"), "{text}");
        assert!(set.group.contains_key("hidden"), "a hidden group is not listed, and still there");
    }

    /// Never answers about anything, and hides what begins with "secret" meanwhile.
    struct Closed;

    impl DiscoveryTransformer for Closed {
        fn transform<'a>(&'a self, _group: &'a str) -> BoxFuture<'a, Result<Outcome, String>> {
            Box::pin(ready(Err("trapped".into())))
        }

        fn without_answer(&self, group: &str) -> Outcome {
            if group.starts_with("secret") { Outcome::Hide("closed".into()) } else { Outcome::Keep }
        }

        fn order<'a>(&'a self, _: &'a [GroupHead]) -> BoxFuture<'a, Result<Option<Vec<String>>, String>> {
            Box::pin(ready(Ok(None)))
        }
    }

    #[tokio::test]
    async fn what_must_not_be_seen_stays_hidden_without_an_answer() {
        let transforming = Transforming::start(vec![Arc::new(Closed)], Pace::default()).unwrap();
        // More than are asked about: a transformer that is left alone hides, too.
        let secrets: Vec<String> = (0..PATIENCE + 5).map(|number| format!("secret{number}")).collect();
        let mut missing: BTreeSet<&str> = secrets.iter().map(String::as_str).chain(["open"]).collect();
        for group in &missing {
            transforming.give(group, Some(Arc::new(input(group))));
        }
        let mut documents = Documents::default();
        while !missing.is_empty() {
            for (group, news) in take(&transforming).await {
                let News::Group(Some(shown)) = news else { panic!("{group}") };
                missing.remove(group.as_str());
                documents.put(&group, *shown);
            }
        }
        documents.arrange(None);
        let mut set = DocumentSet::default();
        documents.join(&mut set);
        let text = String::from_utf8_lossy(&set.aggregated_v2.unwrap().identity).into_owned();
        assert!(text.contains("\"open\"") && !text.contains("secret"), "{text}");
    }

    #[tokio::test]
    async fn about_a_group_that_is_too_large_no_transformer_is_asked() {
        let asked = Arc::new(FailsFirst(AtomicUsize::new(0), 0));
        let chain: Vec<Arc<dyn DiscoveryTransformer>> = vec![Arc::clone(&asked) as _, Arc::new(Closed)];
        let transforming = Transforming::start(chain, Pace::default()).unwrap();
        let large = |group: &str| {
            let mut input = input(group);
            let one = |n: usize| Resource { resource: format!("{n:0>100}"), ..Resource::default() };
            let last = Some(Arc::new((0..50_000).map(one).collect()));
            input.registrations[0].known = Known::Resources { last, fresh: true };
            Some(Arc::new(input))
        };
        let mut documents = Documents::default();
        for group in ["open", "secret"] {
            transforming.give(group, large(group));
            let Some(News::Group(Some(shown))) = take(&transforming).await.remove(group) else {
                panic!("{group}")
            };
            documents.put(group, *shown);
        }
        assert_eq!(asked.0.load(Ordering::SeqCst), 0);
        documents.arrange(None);
        let mut set = DocumentSet::default();
        documents.join(&mut set);
        let text = String::from_utf8_lossy(&set.aggregated_v2.unwrap().identity).into_owned();
        assert!(
            text.contains("\"open\"") && !text.contains("secret"),
            "one that fails closed hides it all the same"
        );
    }

    /// Fails until it was asked so often.
    struct FailsFirst(AtomicUsize, usize);

    impl DiscoveryTransformer for FailsFirst {
        fn transform<'a>(&'a self, _group: &'a str) -> BoxFuture<'a, Result<Outcome, String>> {
            let is_bad = self.0.fetch_add(1, Ordering::SeqCst) < self.1;
            Box::pin(ready(if is_bad { Err("trapped".into()) } else { Ok(Outcome::Hide("late".into())) }))
        }

        fn order<'a>(&'a self, _: &'a [GroupHead]) -> BoxFuture<'a, Result<Option<Vec<String>>, String>> {
            Box::pin(ready(Ok(None)))
        }
    }

    #[tokio::test]
    async fn one_that_keeps_failing_is_left_alone_and_asked_again_later() {
        let failing = Arc::new(FailsFirst(AtomicUsize::new(0), PATIENCE as usize));
        let asked = Arc::clone(&failing);
        let pace = Pace { rest: Duration::from_secs(2), ..Pace::default() };
        let transforming = Transforming::start(vec![asked], pace).unwrap();
        let mut news = Vec::new();
        for group in 0..20 {
            transforming.give(&format!("g{group}"), Some(Arc::new(input("g"))));
        }
        while news.len() < 20 {
            news.extend(take(&transforming).await);
        }
        assert_eq!(failing.0.load(Ordering::SeqCst), PATIENCE as usize, "asked while it rested");
        news.clear();
        while news.len() < 20 {
            news.extend(take(&transforming).await);
        }
        assert!(failing.0.load(Ordering::SeqCst) >= PATIENCE as usize + 20, "not asked again");
    }
}
