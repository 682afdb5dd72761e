//! All plugins of the process, and which one decides for an object.

use super::removed::Removed;
use super::rules::Rules;
use super::slot::{Effect, Slot};
use super::status::Status;
use crate::decision::binding::BindingSubject;
use crate::model::spelling::did_you_mean;
use crate::plugin::adapter::stand_in::{Cause, StandIns, Step, Trouble};
use crate::plugin::component::budget::Facet;
use crate::plugin::component::generation::Generation;
use crate::plugin::saved::SavedPlugins;
use crate::plugin::source::files::Source;
use crate::plugin::source::standing::StandingRules;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::watch;

/// How many names a message lists.
const PRESENT_MAX: usize = 10;

type Slots = BTreeMap<String, Arc<Slot>>;

/// The plugins by name. Read without a lock; one thread writes.
#[derive(Debug)]
pub(in crate::plugin) struct Roster {
    directory: PathBuf,
    saved: Option<Arc<SavedPlugins>>,
    slots: ArcSwap<Slots>,
    changes: watch::Sender<u64>,
    /// Moves with `changes`, and when there is something else to show.
    news: watch::Sender<u64>,
    /// What an operator has switched off, there or not.
    disabled: Mutex<BTreeSet<String>>,
    removed: Mutex<Removed>,
    /// What manifests say, also those whose plugin is not loaded.
    standing: ArcSwap<StandingRules>,
    /// Names that a binding leads to and nobody has, and since when that is known.
    missing_since: Mutex<BTreeMap<String, Timestamp>>,
    looked: AtomicBool,
    /// How often something stood in for a plugin.
    pub stand_ins: StandIns,
}

impl Roster {
    pub(in crate::plugin) fn new(directory: PathBuf, saved: Option<Arc<SavedPlugins>>) -> Self {
        Self {
            directory,
            saved,
            slots: ArcSwap::default(),
            changes: watch::Sender::new(0),
            news: watch::Sender::new(0),
            disabled: Mutex::default(),
            removed: Mutex::default(),
            standing: ArcSwap::default(),
            missing_since: Mutex::default(),
            looked: AtomicBool::new(false),
            stand_ins: StandIns::default(),
        }
    }

    pub(in crate::plugin) fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        self.slots.load().get(name).cloned()
    }

    pub(in crate::plugin) fn all(&self) -> Arc<Slots> {
        self.slots.load_full()
    }

    /// The slot of that name, made when there is none.
    pub(in crate::plugin) fn open_slot(&self, source: Source) -> Arc<Slot> {
        let name = &source.name.clone();
        if let Some(slot) = self.slot(name) {
            return slot;
        }
        let slot = Arc::new(Slot::new(source, self.saved.clone()));
        slot.set_disabled(self.is_disabled(name));
        let mut slots = Slots::clone(&self.slots.load());
        slots.insert(name.to_owned(), Arc::clone(&slot));
        self.slots.store(Arc::new(slots));
        self.removed.lock().forget(name);
        self.missing_since.lock().remove(name);
        slot
    }

    /// Ends the service of these, all at once.
    pub(in crate::plugin) fn remove_slots(&self, names: &BTreeSet<String>) {
        let mut slots = Slots::clone(&self.slots.load());
        let gone: Vec<Arc<Slot>> = names.iter().filter_map(|name| slots.remove(name)).collect();
        self.slots.store(Arc::new(slots));
        for slot in gone {
            let last = slot.status().into_removed();
            slot.withdraw();
            self.removed.lock().note(last, Instant::now());
        }
    }

    /// Deletes the saved files of a plugin whose files were removed while the gateway was stopped.
    pub(in crate::plugin) fn forget_saved(&self, name: &str) {
        self.saved.iter().for_each(|saved| saved.forget(name));
    }

    /// Waits for pending saves, for a limited time.
    pub(in crate::plugin) fn flush(&self) {
        self.saved.iter().for_each(|saved| saved.flush());
    }

    /// What was removed lately and is not back.
    pub(in crate::plugin) fn removed(&self) -> Vec<Status> {
        self.removed.lock().shown(Instant::now())
    }

    /// Notes what manifests say. Says whether something else holds now for a plugin that is not loaded.
    pub(in crate::plugin) fn set_standing(&self, rules: &StandingRules) -> bool {
        let before = self.lone();
        self.standing.store(Arc::new(rules.clone()));
        let after = self.lone();
        let is_same =
            |((a, one), (b, other)): (&(String, _), &(String, _))| a == b && Arc::ptr_eq(one, other);
        before.len() != after.len() || !before.iter().zip(&after).all(is_same)
    }

    /// What manifests say whose plugin does not serve, whether or not its component has been read.
    pub(in crate::plugin) fn lone(&self) -> Vec<(String, Arc<Rules>)> {
        let (slots, standing) = (self.slots.load(), self.standing.load());
        let serves = |name: &String| slots.get(name).is_some_and(|slot| slot.current().is_some());
        let lone = standing.iter().filter(|(name, _)| !serves(name));
        lone.filter_map(|(name, standing)| Some((name.clone(), standing.rules.clone()?))).collect()
    }

    /// What holds for a plugin, loaded or not; `gone` is what was loaded under that name before.
    pub(in crate::plugin) fn rules_of(&self, name: &str, gone: Option<&Slot>) -> Rules {
        let slot = self.slot(name);
        if let Some(current) = slot.as_ref().and_then(|slot| slot.current()) {
            return Rules::of_service(&current);
        }
        let unserved = unserved(&self.standing.load(), name, slot.as_deref().or(gone));
        unserved.as_deref().cloned().unwrap_or_default()
    }

    /// Every plugin that is there and not switched off, or has a manifest, and what holds for it.
    pub(in crate::plugin) fn known(&self) -> Vec<Known> {
        let (slots, standing) = (self.slots.load(), self.standing.load());
        let mut known = Vec::new();
        for (name, slot) in slots.iter() {
            let serves = slot.current();
            let rules = match &serves {
                Some(current) => Some(Arc::new(Rules::of_service(current))),
                None => unserved(&standing, name, Some(slot)),
            };
            known.extend(rules.map(|rules| Known { name: name.clone(), serves, rules }));
        }
        for name in standing.keys().filter(|name| !slots.contains_key(*name)) {
            let rules = unserved(&standing, name, None);
            known.extend(rules.map(|rules| Known { name: name.clone(), serves: None, rules }));
        }
        let disabled = self.disabled.lock();
        known.retain(|known| !disabled.contains(&known.name));
        known
    }

    /// Ends probations whose time is over.
    pub(in crate::plugin) fn look_at_clock(&self, now: Instant) {
        // All of them, however many went back.
        let went_back = self.all().values().filter(|slot| slot.look_at_clock(now)).count();
        if went_back > 0 {
            self.announce();
        }
    }

    /// Whether an operator has switched it off.
    pub(in crate::plugin) fn is_disabled(&self, name: &str) -> bool {
        self.disabled.lock().contains(name)
    }

    pub(in crate::plugin) fn set_disabled(&self, name: &str, disabled: bool) {
        let mut all = self.disabled.lock();
        let has_changed = if disabled { all.insert(name.to_owned()) } else { all.remove(name) };
        drop(all);
        if let Some(slot) = self.slot(name) {
            slot.set_disabled(disabled);
        }
        if has_changed {
            self.announce();
        }
    }

    /// The plugin directory, so that `umbel plugin install` can check that the gateway watches the same one.
    pub(in crate::plugin) fn directory(&self) -> PathBuf {
        std::path::absolute(&self.directory).unwrap_or_else(|_| self.directory.clone())
    }

    /// Whether everything that was in the directory at the start is known: loaded, refused, or being compiled.
    pub(in crate::plugin) fn has_looked(&self) -> bool {
        self.looked.load(Ordering::Relaxed)
    }

    pub(in crate::plugin) fn note_look(&self) {
        self.looked.store(true, Ordering::Relaxed);
    }

    /// Tells those who keep answers to ask again.
    pub(in crate::plugin) fn announce(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.news.send_modify(|count| *count += 1);
    }

    /// Tells whoever has to know what a fault did to a plugin.
    pub(in crate::plugin) fn tell(&self, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::OtherServes => self.announce(),
            Effect::Held => self.news.send_modify(|count| *count += 1),
        }
    }

    /// Moves when there is something to show.
    pub(in crate::plugin) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub(in crate::plugin) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What people are told about a name that a binding leads to and nobody has.
    pub(in crate::plugin) fn missing(&self, name: &str) -> Status {
        let since = *self.missing_since.lock().entry(name.to_owned()).or_insert_with(Timestamp::now);
        Status::missing(name, self.directory.join(format!("{name}.wasm")), self.absence(name), since)
    }

    /// Forgets since when names were missing that no binding leads to any more.
    pub(in crate::plugin) fn forget_missing_but(&self, is_bound: impl Fn(&str) -> bool) {
        self.missing_since.lock().retain(|name, _| is_bound(name));
    }

    /// Counts that something stood in for a plugin.
    pub(in crate::plugin) fn note_stand_in(&self, facet: Facet, step: Step, trouble: &Trouble) {
        self.stand_ins.count(facet, step, trouble);
    }

    /// Why a name leads nowhere, for whoever asks the plugin of that name.
    pub(in crate::plugin) fn trouble(&self, name: &str) -> Trouble {
        Trouble { plugin: name.to_owned(), cause: Cause::Missing, text: self.absence(name) }
    }

    /// Why a name leads nowhere, for people.
    pub(in crate::plugin) fn absence(&self, name: &str) -> String {
        let slots = self.slots.load();
        let present = listed(slots.keys().map(String::as_str));
        let near = did_you_mean(name, slots.keys().map(String::as_str));
        let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        let directory = self.directory.display();
        format!("no plugin is named {name:?}: put {name}.wasm into {directory} (present: {present}){near}")
    }

    /// The plugin that decides for an object: the one its annotation names, else the one whose manifest says
    /// most precisely that it does. Two that say so equally precisely are a conflict; neither is chosen. One that is
    /// not loaded counts where nothing may stand in for it.
    pub(in crate::plugin) fn bound(&self, subject: &BindingSubject, facet: Facet) -> Option<String> {
        if let Some(name) = &subject.plugin {
            return Some(name.clone());
        }
        let mut claims: Vec<(Claim, String)> = Vec::new();
        for Known { name, serves, rules } in self.known() {
            if serves.as_ref().is_none_or(|current| current.has(facet)) {
                claims.extend(Claim::of(&rules, subject, serves.is_some()).map(|claim| (claim, name)));
            }
        }
        let strongest = claims.iter().map(|(claim, _)| *claim).max()?;
        let mut plugins: Vec<String> =
            claims.into_iter().filter(|(claim, _)| *claim == strongest).map(|(_, plugin)| plugin).collect();
        // Without a component nobody knows which decision is claimed: any of them says that nothing stands in.
        if plugins.len() > 1 && strongest.is_loaded {
            let (namespace, name) = &subject.service;
            tracing::warn!(
                service = format!("{namespace}/{name}"),
                plugins = plugins.join(", "),
                "the manifests of several plugins bind the same service equally precisely, so none is taken; name \
                 one with an annotation"
            );
            return None;
        }
        plugins.pop()
    }
}

/// A plugin, and what holds for it.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct Known {
    pub name: String,
    /// The generation that serves, where one does.
    pub serves: Option<Arc<Generation>>,
    pub rules: Arc<Rules>,
}

/// What holds for a plugin of which nothing serves: what its manifest says now, else what was declared before. The
/// component may be one that nobody can read, and the manifest counts all the same.
fn unserved(standing: &StandingRules, name: &str, slot: Option<&Slot>) -> Option<Arc<Rules>> {
    let standing = standing.get(name).and_then(|standing| standing.rules.clone());
    standing.or_else(|| slot.and_then(Slot::declared))
}

/// How strongly a manifest binds an object. One that is loaded goes before one that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    precision: usize,
    is_loaded: bool,
}

impl Claim {
    fn of(rules: &Rules, subject: &BindingSubject, is_loaded: bool) -> Option<Self> {
        let precision = rules.precision(subject)?;
        (is_loaded || rules.holds_unloaded(subject)).then_some(Self { precision, is_loaded })
    }
}

/// The first names, and how many more there are.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(PRESENT_MAX);
    let first: Vec<&str> = names.take(PRESENT_MAX).collect();
    match (first.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => first.join(", "),
        (false, more) => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_lists_ten_names_at_most() {
        let names: Vec<String> = (10..22).map(|number| format!("p{number}")).collect();
        let told = |count: usize| listed(names[..count].iter().map(String::as_str));
        assert_eq!((told(0).as_str(), told(2).as_str()), ("none", "p10, p11"));
        assert!(told(10).ends_with(", p19"), "{}", told(10));
        assert!(told(12).ends_with(", p19 and 2 more"), "{}", told(12));
    }
}
