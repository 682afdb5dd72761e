//! When the objects are compared with the plugins, and what is written then.

use super::asked::{self, Outcome};
use super::news;
use super::picture::{is_same_but_for_counters, picture};
use super::{MANAGER, REPORTER};
use crate::control::events::{Occurrence, Recorder, Tale};
use crate::decision::plugins::{PluginView, Plugins};
use crate::kind::plugin::KIND;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::object::names;
use crate::observe::failpoint;
use crate::registry::{ListOptions, ObjectKey, Registry, WatchOptions, WatchStart};
use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the plugins are looked at without being told of a change: the end of a suspension tells
/// nobody.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often counters are written.
const COUNT_EVERY: Duration = Duration::from_secs(10);

struct Keeper {
    plugins: Arc<dyn Plugins>,
    registry: Registry,
    events: Recorder,
    /// What was last written down.
    shown: Option<Vec<PluginView>>,
    /// The number of the outcome that was reported last, by plugin.
    outcomes: BTreeMap<String, u64>,
    counted: Instant,
    /// The last failure, so that it is told once.
    told: String,
}

/// Works until the task is aborted.
pub(super) async fn run(plugins: Arc<dyn Plugins>, registry: Registry, events: Recorder) {
    failpoint("control.plugins");
    let mut changes = plugins.changes();
    let (shown, counted, told) = (None, Instant::now(), String::new());
    let outcomes = BTreeMap::new();
    let mut keeper = Keeper { plugins, registry, events, shown, outcomes, counted, told };
    loop {
        if let Err(failure) = keeper.follow(&mut changes).await {
            keeper.tell(&failure.message);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        keeper.shown = None;
    }
}

impl Keeper {
    /// Works until the watch of the objects breaks, as it does when history is gone.
    async fn follow(&mut self, changes: &mut watch::Receiver<u64>) -> Result<(), Failure> {
        let options = WatchOptions { start: WatchStart::Now, ..WatchOptions::default() };
        let mut objects = self.registry.watch(&KIND, options).await?;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_due = tokio::select! {
                event = objects.next() => {
                    event?;
                    // Many plugins change at once, and one comparison does for all of them.
                    while let Some(another) = objects.next().now_or_never() {
                        another?;
                    }
                    true
                }
                Ok(()) = changes.changed() => true,
                _ = looks.tick() => false,
            };
            // Counters of a plugin that is asked all the time must not be written all the time.
            let may_count = self.counted.elapsed() >= COUNT_EVERY;
            let Some(views) = self.plugins.views() else { continue };
            if is_due || self.has_news(&views, may_count) {
                self.compare(views, may_count).await?;
                self.tell("");
            }
        }
    }

    fn has_news(&self, views: &[PluginView], may_count: bool) -> bool {
        let Some(shown) = &self.shown else { return true };
        if may_count {
            return shown != views;
        }
        shown.len() != views.len()
            || shown.iter().zip(views).any(|(one, other)| without_counters(one) != without_counters(other))
    }

    /// Makes the objects as the plugins are, after doing what they ask for.
    async fn compare(&mut self, views: Vec<PluginView>, may_count: bool) -> Result<(), Failure> {
        let stored = self.registry.list(&KIND, &ListOptions::default()).await?.objects;
        let mut stored: BTreeMap<String, Object> =
            stored.into_iter().map(|object| (object.name().to_owned(), object)).collect();
        let outcomes = self.obey(&views, &stored);
        // Deeds take effect at once, or are under way.
        let views = self.plugins.views().unwrap_or(views);
        let mut writes = Vec::new();
        for view in views.iter().filter(|view| names::path_segment(&view.name).is_empty()) {
            let outcomes = outcomes.get(&view.name).map(Vec::as_slice).unwrap_or_default();
            let before = stored.remove(&view.name);
            let wanted = picture(view, before.as_ref(), outcomes, Timestamp::now());
            let is_stored = before.as_ref().is_some_and(|before| {
                *before == wanted || (!may_count && is_same_but_for_counters(before, &wanted))
            });
            // The same object may show the outcome of other files within the same second.
            if !is_stored || self.outcomes.get(&view.name).is_some_and(|told| *told != view.outcome) {
                writes.push(self.write(view, before, outcomes));
            }
        }
        // Together, so that they share one commit.
        join_all(writes).await.into_iter().collect::<Result<(), Failure>>()?;
        self.outcomes = views.iter().map(|view| (view.name.clone(), view.outcome)).collect();
        for name in stored.into_keys() {
            self.registry.drop_kept(&KIND, &ObjectKey::new("", name)).await?;
        }
        if may_count {
            self.counted = Instant::now();
            self.shown = Some(views);
        } else {
            self.remember(views);
        }
        Ok(())
    }

    async fn write(
        &self,
        view: &PluginView,
        before: Option<Object>,
        outcomes: &[Outcome],
    ) -> Result<(), Failure> {
        let key = ObjectKey::new("", view.name.as_str());
        let make = |current: Option<&Object>| picture(view, current, outcomes, Timestamp::now());
        let written = self.registry.keep(&KIND, &key, MANAGER, make).await?;
        let told = self.outcomes.get(&view.name).copied();
        let tales = news::of_refusals(outcomes).chain(news::of_change(before.as_ref(), told, view));
        for tale in tales {
            self.record(tale, &key, written.uid());
        }
        Ok(())
    }

    fn record(&self, tale: Tale, key: &ObjectKey, uid: &str) {
        let (object, uid) = (key.clone(), uid.to_owned());
        self.events.record(Occurrence { tale, kind: &KIND, object, uid, reporter: REPORTER });
    }

    /// Does what annotations ask for.
    fn obey(
        &self,
        views: &[PluginView],
        stored: &BTreeMap<String, Object>,
    ) -> BTreeMap<String, Vec<Outcome>> {
        let mut outcomes: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
        for view in views {
            let object = stored.get(&view.name);
            let disabled = object.is_some_and(asked::is_disabled);
            if disabled != view.disabled {
                tracing::info!(plugin = view.name, disabled, "switched as its annotation says");
                self.plugins.set_disabled(&view.name, disabled);
            }
            for (deed, value) in object.map(asked::pending).unwrap_or_default() {
                let result = self.plugins.act(&view.name, deed);
                tracing::info!(plugin = view.name, action = deed.word(), ?result, "asked by annotation");
                outcomes.entry(view.name.clone()).or_default().push(Outcome { deed, value, result });
            }
        }
        outcomes
    }

    /// Counters that were not written stay news.
    fn remember(&mut self, mut views: Vec<PluginView>) {
        let before = self.shown.take().unwrap_or_default();
        for view in &mut views {
            let Some(old) = before.iter().find(|old| old.name == view.name) else { continue };
            if without_counters(old) == without_counters(view) {
                *view = old.clone();
            }
        }
        self.shown = Some(views);
    }

    fn tell(&mut self, problem: &str) {
        if self.told != problem && !problem.is_empty() {
            tracing::warn!(problem, "the objects of plugins are not up to date; trying again");
        }
        problem.clone_into(&mut self.told);
    }
}

/// What a view tells beside what counts up while nothing happens.
fn without_counters(view: &PluginView) -> PluginView {
    let hold = view.hold.as_ref().map(|(reason, _)| (reason.clone(), String::new()));
    let failing = view.failing.as_ref().map(|_| String::new());
    PluginView {
        failing,
        calls: 0,
        faults: 0,
        last_fault: String::new(),
        message: String::new(),
        hold,
        ..view.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_hold_are_no_news_and_its_reason_is() {
        let held = |reason: &str, message: &str| PluginView {
            hold: Some((reason.to_owned(), message.to_owned())),
            ..PluginView::default()
        };
        let first = without_counters(&held("Suspended", "it trapped"));
        assert_eq!(without_counters(&held("Suspended", "it timed out")), first);
        assert_ne!(without_counters(&held("Quarantined", "it trapped")), first);
        assert_ne!(without_counters(&PluginView::default()), first);
    }
}
