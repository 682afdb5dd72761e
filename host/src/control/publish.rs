//! Builds snapshots and swaps them in: at once after a quiet time, gathered when changes rain.

use super::documents::{Documents, compress_all, is_uncompressed};
use super::parts::SnapshotParts;
use super::pending::Pending;
use crate::decision::binding::Decisions;
use crate::decision::discovery::DiscoveryTransformer;
use crate::merge::discovery::Registration;
use crate::observe::Metrics;
use crate::route::{DocumentSet, Route, Shared, Snapshot};
use futures_util::FutureExt as _;
use std::collections::HashMap;
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
    pub(super) routes: Vec<Route>,
}

/// The one writer of the shared snapshot.
pub(super) struct Publisher {
    pub(super) inbox: Arc<Pending<Option<Arc<GroupInput>>>>,
    pub(super) shared: Arc<Shared>,
    pub(super) decisions: Arc<dyn Decisions>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) parts: SnapshotParts,
    pub(super) ready: watch::Sender<bool>,
}

#[derive(Default)]
struct Built {
    groups: HashMap<String, Arc<GroupInput>>,
    documents: Documents,
    set: DocumentSet,
    transformers: Vec<Arc<dyn DiscoveryTransformer>>,
}

impl Publisher {
    /// Runs for ever. Nothing is published before `started`.
    pub(super) async fn run(self, started: oneshot::Receiver<()>) {
        if started.await.is_err() {
            return;
        }
        let mut generation = self.decisions.generation();
        let mut openapi = self.parts.openapi.subscribe();
        let mut built = Built { transformers: self.decisions.transformers(), ..Built::default() };
        let mut uncompressed_since: Option<Instant> = None;
        let mut next = Instant::now();
        let mut anew = false;
        loop {
            tokio::time::sleep_until(next).await;
            let began = Instant::now();
            built.set.openapi = Arc::clone(&openapi.borrow_and_update());
            self.publish(&mut built, anew).await;
            next = Instant::now() + GATHER.max(began.elapsed() * BUILD_SHARE);
            self.ready.send_replace(true);
            let since = is_uncompressed(&built.set).then(|| uncompressed_since.unwrap_or(began));
            uncompressed_since = since;
            loop {
                let compress_at = uncompressed_since.map(|since| (began + QUIET).min(since + QUIET_MAX));
                anew = tokio::select! {
                    () = self.inbox.given() => false,
                    Ok(()) = openapi.changed() => false,
                    Ok(()) = generation.changed() => true,
                    () = sleep_until(compress_at) => {
                        compress_all(&mut built.set);
                        uncompressed_since = None;
                        self.swap(&built);
                        continue;
                    }
                };
                break;
            }
        }
    }

    /// Takes in what changed and publishes it. A transformer that takes its time holds up the documents only,
    /// never the routes.
    async fn publish(&self, built: &mut Built, anew: bool) {
        let mut changed = self.inbox.take();
        let routes_changed = !changed.is_empty();
        for (group, input) in &changed {
            match input {
                Some(input) => drop(built.groups.insert(group.clone(), Arc::clone(input))),
                None => drop(built.groups.remove(group)),
            }
        }
        if anew {
            built.transformers = self.decisions.transformers();
            let all = built.groups.iter();
            changed.extend(all.map(|(group, input)| (group.clone(), Some(Arc::clone(input)))));
        }
        if changed.is_empty() {
            self.swap(built);
            return;
        }
        let (documents, transformers) = (&mut built.documents, built.transformers.clone());
        let mut update = Box::pin(async move {
            for (group, input) in &changed {
                documents.update(group, input.as_deref(), &transformers).await;
            }
            documents.arrange(&transformers).await;
        });
        if (&mut update).now_or_never().is_none() {
            self.shared.publish(snapshot(&built.groups, &built.set));
            self.announce(routes_changed);
            update.await;
        } else {
            drop(update);
        }
        built.documents.join(&mut built.set);
        self.metrics.count_discovery_aggregation();
        self.swap(built);
        self.announce(routes_changed);
    }

    fn swap(&self, built: &Built) {
        self.shared.publish(snapshot(&built.groups, &built.set));
    }

    fn announce(&self, routes_changed: bool) {
        if routes_changed {
            self.parts.published.send_modify(|count| *count += 1);
        }
    }
}

fn snapshot(groups: &HashMap<String, Arc<GroupInput>>, set: &DocumentSet) -> Snapshot {
    let routes = groups.iter().map(|(group, input)| (group.clone(), input.routes.clone())).collect();
    Snapshot { routes, documents: Arc::new(set.clone()) }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
