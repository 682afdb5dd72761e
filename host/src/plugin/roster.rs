//! All plugins of the process, and which one decides for an object.

use super::removed::Removed;
use super::slot::{Effect, Slot};
use super::status::Status;
use crate::decision::binding::BindingSubject;
use crate::plugin::adapter::stand_in::{Cause, StandIns, Step, Trouble};
use crate::plugin::component::budget::Facet;
use crate::plugin::source::pattern::Pattern;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::watch;

type Slots = BTreeMap<String, Arc<Slot>>;

/// The plugins by name. Read without a lock; one thread writes.
#[derive(Debug)]
pub(in crate::plugin) struct Roster {
    directory: PathBuf,
    slots: ArcSwap<Slots>,
    changes: watch::Sender<u64>,
    /// Moves with `changes`, and when there is something else to show.
    news: watch::Sender<u64>,
    /// What an operator has switched off, there or not.
    disabled: Mutex<BTreeSet<String>>,
    removed: Mutex<Removed>,
    /// Names that a binding leads to and nobody has, and since when that is known.
    missing_since: Mutex<BTreeMap<String, Timestamp>>,
    looked: AtomicBool,
    /// How often something stood in for a plugin.
    pub stand_ins: StandIns,
}

impl Roster {
    pub(in crate::plugin) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            slots: ArcSwap::default(),
            changes: watch::Sender::new(0),
            news: watch::Sender::new(0),
            disabled: Mutex::default(),
            removed: Mutex::default(),
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
    pub(in crate::plugin) fn open_slot(&self, name: &str, path: PathBuf) -> Arc<Slot> {
        if let Some(slot) = self.slot(name) {
            return slot;
        }
        let slot = Arc::new(Slot::new(name, path));
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

    /// What was removed lately and is not back.
    pub(in crate::plugin) fn removed(&self) -> Vec<Status> {
        self.removed.lock().shown(Instant::now())
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
        if let Some(slot) = self.slot(&trouble.plugin) {
            slot.tally.count_policy(facet, step.word());
        }
    }

    /// Why a name leads nowhere, for whoever asks the plugin of that name.
    pub(in crate::plugin) fn trouble(&self, name: &str) -> Trouble {
        Trouble { plugin: name.to_owned(), cause: Cause::Missing, text: self.absence(name) }
    }

    /// Why a name leads nowhere, for people.
    pub(in crate::plugin) fn absence(&self, name: &str) -> String {
        let slots = self.slots.load();
        let present: Vec<&str> = slots.keys().map(String::as_str).collect();
        let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
        let directory = self.directory.display();
        format!("no plugin is named {name:?}: put {name}.wasm into {directory} (present: {present})")
    }

    /// The plugin that decides for an object: the one its annotation names, else the one whose manifest says
    /// most precisely that it does. Two that say so equally precisely are a conflict; neither is chosen.
    pub(in crate::plugin) fn bound(&self, subject: &BindingSubject, facet: Facet) -> Option<String> {
        if let Some(name) = &subject.plugin {
            return Some(name.clone());
        }
        let (namespace, name) = &subject.service;
        let service = format!("{namespace}/{name}");
        let mut best: Option<(usize, Vec<String>)> = None;
        for (plugin, slot) in self.slots.load().iter() {
            let offered = slot.current().filter(|current| current.has(facet));
            let Some(current) = offered.filter(|_| !slot.is_disabled()) else { continue };
            let bindings = &current.profile.manifest.spec.bindings;
            let by_service = most_precise(&bindings.services, &service);
            let by_api_service = most_precise(&bindings.api_services, &subject.api_service);
            let Some(precision) = by_service.max(by_api_service) else { continue };
            match best.as_mut() {
                Some((so_far, plugins)) if *so_far == precision => plugins.push(plugin.clone()),
                Some((so_far, _)) if *so_far > precision => {}
                _ => best = Some((precision, vec![plugin.clone()])),
            }
        }
        let (_, mut plugins) = best?;
        if plugins.len() > 1 {
            tracing::warn!(
                service,
                plugins = plugins.join(", "),
                "the manifests of several plugins bind the same service equally precisely, so none is taken; name \
                 one with an annotation"
            );
            return None;
        }
        plugins.pop()
    }
}

fn most_precise(patterns: &[Pattern], text: &str) -> Option<usize> {
    patterns.iter().filter(|pattern| pattern.matches(text)).map(Pattern::precision).max()
}
