//! One plugin name and what serves under it.

use super::breaker::Verdict;
use super::candidate::Candidate;
use super::progress::Progress;
use super::rules::Rules;
use super::status::{Hold, Reason, State, Status};
use super::succession::{Record, Ruling, Succession, Terms};
use crate::plugin::adapter::health_memory::HealthMemory;
use crate::plugin::adapter::last_good::LastGood;
use crate::plugin::adapter::stand_in::{Cause, Trouble};
use crate::plugin::component::budget::Facet;
use crate::plugin::component::fault::{CallFault, FaultClass, FaultCounts, LoadFault};
use crate::plugin::component::generation::Generation;
use crate::plugin::record::ring::CallRing;
use crate::plugin::rehearsal::Rehearsal;
use crate::plugin::saved::{Files, PairId, Rejection, Rejections, SavedPlugins, ToSave};
use crate::plugin::source::files::Source;
use crate::plugin::source::manifest::Manifest;
use crate::plugin::telemetry::Tally;
use arc_swap::ArcSwapOption;
use jiff::{Timestamp, Unit};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Numbers the outcomes of files, over all plugins. Each number is unique, however quickly outcomes follow each
/// other, and even if a plugin was removed in between.
static OUTCOMES: AtomicU64 = AtomicU64::new(0);

/// What a fault did to the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Effect {
    /// It goes on as before.
    None,
    /// Another generation serves now.
    OtherServes,
    /// It is not asked for a while, or not any more.
    Held,
}

/// One name. Lives as long as a file of that name does; generations come and go.
#[derive(Debug)]
pub(in crate::plugin) struct Slot {
    pub name: String,
    source: Source,
    line: Succession<Generation>,
    newest: Mutex<Option<LoadFault>>,
    /// The newest files, if only calls have shown that they cannot serve.
    rejected: Mutex<Rejections>,
    /// The saved state for the next start.
    saved: Option<Arc<SavedPlugins>>,
    /// The number of the last outcome of its files: accepted, rejected or given up.
    outcome: AtomicU64,
    generations: AtomicU64,
    calls: AtomicU64,
    /// Faults by kind of decision and class.
    pub faults: FaultCounts,
    last_fault: Mutex<Option<String>>,
    disabled: AtomicBool,
    /// What its calls cost, and what became of its files.
    pub tally: Arc<Tally>,
    /// What the newest manifest says that could be understood, whatever became of its component.
    rules: ArcSwapOption<Rules>,
    /// Where the newest files are.
    pub progress: Progress,
    /// What health checks under this name remember.
    pub memory: HealthMemory,
    /// Answers to fall back on.
    pub last_good: LastGood,
    /// Its last calls.
    pub calls_kept: CallRing,
    rehearsal: Mutex<Option<Rehearsal>>,
}

impl Slot {
    pub(in crate::plugin) fn new(source: Source, saved: Option<Arc<SavedPlugins>>) -> Self {
        Self {
            name: source.name.clone(),
            source,
            saved,
            rejected: Mutex::default(),
            line: Succession::default(),
            newest: Mutex::new(None),
            outcome: AtomicU64::new(0),
            generations: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            faults: FaultCounts::default(),
            last_fault: Mutex::new(None),
            disabled: AtomicBool::new(false),
            tally: Arc::default(),
            rules: ArcSwapOption::empty(),
            progress: Progress::default(),
            memory: HealthMemory::default(),
            last_good: LastGood::default(),
            calls_kept: CallRing::default(),
            rehearsal: Mutex::new(None),
        }
    }

    /// What serves.
    pub(in crate::plugin) fn current(&self) -> Option<Arc<Generation>> {
        self.line.current()
    }

    /// The number that the next generation gets.
    pub(in crate::plugin) fn next_number(&self) -> u64 {
        self.generations.load(Ordering::Relaxed) + 1
    }

    /// Takes a generation into service; calls in flight keep the one before.
    pub(in crate::plugin) fn publish(&self, generation: Arc<Generation>) {
        self.rejected.lock().remove(&generation.pair());
        self.serve(generation);
        self.save();
    }

    /// Puts a generation into service that was loaded from saved files. The state of the newest files does not
    /// change.
    pub(in crate::plugin) fn restore(&self, generation: Arc<Generation>) {
        self.serve(generation);
    }

    fn serve(&self, generation: Arc<Generation>) {
        self.generations.store(generation.profile.generation, Ordering::Relaxed);
        *self.newest.lock() = None;
        self.count_outcome();
        self.progress.end();
        self.tally.count_reload(None);
        generation.tally.store(Arc::clone(&self.tally));
        let terms = generation.profile.manifest.spec.probation.terms();
        self.line.publish(generation, terms, Instant::now());
    }

    /// Notes what the newest manifest says: it holds also where no component can be loaded.
    pub(in crate::plugin) fn declare(&self, manifest: &Manifest) {
        self.rules.store(Some(Arc::new(Rules::of(manifest))));
    }

    /// What was declared last.
    pub(in crate::plugin) fn declared(&self) -> Option<Arc<Rules>> {
        self.rules.load_full()
    }

    /// New files are being read since `began`: nothing is known of them yet.
    pub(in crate::plugin) fn begin(&self, began: Instant) {
        *self.rehearsal.lock() = None;
        self.progress.begin(began);
    }

    /// Notes how the newest file answers what was asked before.
    pub(in crate::plugin) fn note_rehearsal(&self, rehearsal: Rehearsal) {
        *self.rehearsal.lock() = Some(rehearsal);
    }

    /// Records why the newest files cannot serve; `pair` identifies them, if that is known.
    pub(in crate::plugin) fn refuse(&self, fault: LoadFault, pair: Option<PairId>) {
        self.tally.count_reload(Some(fault.reason));
        if let Some(rejection) = pair.and_then(|pair| Rejection::of(pair, &fault)) {
            self.rejected.lock().add(rejection);
        }
        *self.newest.lock() = Some(fault);
        self.count_outcome();
        self.save();
    }

    /// Takes over the rejections of the process before.
    pub(in crate::plugin) fn recall(&self, rejected: Rejections) {
        self.rejected.lock().extend(rejected);
    }

    /// Lets rejected files be tried again, because an operator says so.
    pub(in crate::plugin) fn forget_rejections(&self) {
        *self.rejected.lock() = Rejections::default();
    }

    /// Why these files were rejected before, although they can be loaded.
    pub(in crate::plugin) fn rejection(&self, pair: &PairId) -> Option<LoadFault> {
        self.rejected.lock().find(pair).map(Rejection::fault)
    }

    /// Saves the state that the next process cannot find out by loading the files.
    fn save(&self) {
        let Some(saved) = &self.saved else { return };
        let files = |generation: Arc<Generation>| Files {
            id: generation.pair(),
            manifest: generation.profile.manifest.text.clone(),
        };
        let [serves, stands_by] = self.line.alive().map(|generation| generation.map(files));
        let (source, rejected) = (self.source.clone(), self.rejected.lock().clone());
        saved.save(&self.name, ToSave { source, serves, stands_by, rejected });
    }

    fn count_outcome(&self) {
        self.outcome.store(OUTCOMES.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Ends the service: the file is gone. Calls in flight keep what they began with, and the answers stay for
    /// those who hold the slot.
    pub(in crate::plugin) fn withdraw(&self) {
        self.line.clear();
        if let Some(saved) = &self.saved {
            saved.forget(&self.name);
        }
    }

    /// What may be asked for a decision, the newest first; what is suspended may not. The generation before is
    /// among them while the newest is on probation.
    pub(in crate::plugin) fn candidates(&self, facet: Facet) -> impl Iterator<Item = Candidate> {
        let alive = self.line.alive().into_iter().flatten();
        let fits = alive.filter(|_| !self.is_disabled()).filter(move |generation| generation.has(facet));
        fits.filter_map(|generation| Candidate::admit(generation, Instant::now()))
    }

    /// Why nothing here answers for a decision.
    pub(in crate::plugin) fn absence(&self, facet: Facet) -> Trouble {
        let (name, plugin) = (&self.name, self.name.clone());
        let trouble = |cause, text| Trouble { plugin, cause, text };
        if self.is_disabled() {
            return trouble(Cause::Disabled, format!("plugin {name:?} is switched off by an operator"));
        }
        match (self.newest.lock().as_ref(), self.line.current()) {
            (Some(fault), None) => {
                trouble(Cause::NotLoaded, format!("plugin {name:?} cannot be loaded: {fault}"))
            }
            (_, Some(generation)) if generation.breaker.is_quarantined() && generation.has(facet) => {
                let text = format!("plugin {name:?} is quarantined: {}", self.quarantine_text());
                trouble(Cause::Quarantined, text)
            }
            (_, Some(generation)) if generation.has(facet) => {
                let text = format!("plugin {name:?} is suspended: {}", self.suspension_text());
                trouble(Cause::Suspended, text)
            }
            (_, Some(generation)) => {
                let others = generation.interfaces.join(", ");
                let text = format!("plugin {name:?} is no {}: it implements {others}", facet.noun());
                trouble(Cause::OtherKind, text)
            }
            (None, None) => trouble(Cause::NotLoaded, format!("plugin {name:?} is being loaded")),
        }
    }

    /// Whether an operator has switched it off: it is loaded and not asked.
    pub(in crate::plugin) fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }

    pub(in crate::plugin) fn set_disabled(&self, disabled: bool) {
        self.disabled.store(disabled, Ordering::Relaxed);
    }

    /// Lets the generation before serve again, because an operator says so.
    pub(in crate::plugin) fn go_back(&self) -> Result<String, String> {
        let Some(current) = self.line.current() else {
            return Err("nothing serves under this name".to_owned());
        };
        let Some(before) = self.line.roll_back(&current) else {
            return Err("there is no sound generation before the one that serves: it is kept until the \
                        probation ends; put the older file into the plugin directory instead"
                .to_owned());
        };
        let (left, number) = (current.profile.generation, before.profile.generation);
        let text = format!("an operator went back from generation {left} to {number}");
        tracing::info!(plugin = self.name, cause = text, "rolled back");
        self.refuse(LoadFault::new(Reason::RolledBack, text.clone()), abandoned(&current, &before));
        Ok(text)
    }

    /// Forgets the faults of what serves and what came of them, quarantine included, so that it is asked again at once.
    pub(in crate::plugin) fn reset(&self) -> Result<String, String> {
        let Some(current) = self.line.current() else {
            return Err("nothing serves under this name: mend its file, or ask for reload".to_owned());
        };
        current.breaker.reset();
        Ok("its faults are forgotten".to_owned())
    }

    /// Counts a call that was answered. Says whether that changed what serves.
    pub(in crate::plugin) fn note_answer(&self, generation: &Arc<Generation>) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed);
        generation.breaker.note_answer();
        let ruling = self.line.note_call(generation, false, Instant::now());
        self.obey(generation, ruling)
    }

    /// Ends a probation whose time is over. Says whether that changed what serves.
    pub(in crate::plugin) fn look_at_clock(&self, now: Instant) -> bool {
        let Some(current) = self.line.current() else { return false };
        let ruling = self.line.look_at_clock(now);
        self.obey(&current, ruling)
    }

    /// Says whether it went back to the generation before.
    fn obey(&self, generation: &Arc<Generation>, ruling: Ruling) -> bool {
        match ruling {
            Ruling::Open => false,
            Ruling::Settled(record) => {
                let number = generation.profile.generation;
                tracing::info!(plugin = self.name, generation = number, "the plugin has passed: it {record}");
                self.save();
                false
            }
            Ruling::Failed(record) => self.roll_back(generation, &format!("on probation it {record}")),
        }
    }

    /// Counts that the plugin said itself that it cannot tell now; that is an answer besides.
    pub(in crate::plugin) fn note_declared(&self, facet: Facet) {
        self.faults.count(facet, FaultClass::PluginFault);
    }

    /// Counts a call that found no place, which says nothing about the plugin.
    pub(in crate::plugin) fn note_busy(&self, facet: Facet) {
        self.faults.count(facet, FaultClass::QueueFull);
    }

    /// Counts a fault and logs it. When there are too many in a row it goes back to the generation before, or
    /// suspends the plugin where there is none.
    pub(in crate::plugin) fn note_fault(
        &self,
        generation: &Arc<Generation>,
        facet: Facet,
        fault: &CallFault,
    ) -> Effect {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.faults.count(facet, fault.class());
        *self.last_fault.lock() = Some(format!("generation {} {fault}", generation.profile.generation));
        // What it says stands in a field, so that it cannot pass for others.
        let (generation_number, cause) = (generation.profile.generation, fault.to_string());
        tracing::warn!(plugin = self.name, generation = generation_number, cause, "the plugin fails");
        if !fault.class().is_breaker_event() {
            return Effect::None;
        }
        let now = Instant::now();
        let is_too_often = generation.breaker.note_fault(now);
        let ruling = self.line.note_call(generation, true, now);
        if self.obey(generation, ruling) {
            return Effect::OtherServes;
        }
        if !is_too_often {
            return Effect::None;
        }
        if self.roll_back(generation, "it failed too often") {
            return Effect::OtherServes;
        }
        match generation.breaker.suspend(Instant::now(), fastrand::f64()) {
            Some(Verdict::Suspended(pause)) => {
                let milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                let why = self.suspension_text();
                tracing::error!(plugin = self.name, milliseconds, why, "the plugin is suspended");
            }
            Some(Verdict::Quarantined) => {
                tracing::error!(
                    plugin = self.name,
                    why = self.quarantine_text(),
                    "the plugin is quarantined"
                );
            }
            None => return Effect::None,
        }
        Effect::Held
    }

    fn quarantine_text(&self) -> String {
        let last = self.last_fault.lock().clone().unwrap_or_default();
        format!(
            "it was suspended three times within ten minutes, the last time so: {last}; it is asked again when its \
             files change or an operator sets the annotation plugins.umbel.dev/reset"
        )
    }

    fn suspension_text(&self) -> String {
        let last = self.last_fault.lock().clone().unwrap_or_default();
        format!("it failed too often, the last time so: {last}")
    }

    /// For how long the newest generation is not asked, where that is so.
    fn suspended_for(&self) -> Option<Duration> {
        self.line.current().as_ref()?.breaker.suspended_for(Instant::now())
    }

    fn roll_back(&self, failing: &Arc<Generation>, why: &str) -> bool {
        let Some(before) = self.line.roll_back(failing) else { return false };
        let (left, number) = (failing.profile.generation, before.profile.generation);
        let last = self.last_fault.lock().clone().unwrap_or_default();
        let text = format!(
            "generation {left} was given up for generation {number}: {why}, the last time so: {last}; its file is \
             not tried again until it changes or an operator sets the annotation plugins.umbel.dev/reload"
        );
        tracing::error!(plugin = self.name, cause = text, "rolled back");
        self.refuse(LoadFault::new(Reason::RolledBack, text), abandoned(failing, &before));
        true
    }

    fn faults_by_class(&self) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
        let mut by_class: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (facet, class, count) in self.faults.all() {
            by_class.entry(facet.word()).or_default().insert(class.word(), count);
        }
        by_class
    }

    /// Why the generation that is loaded is not asked, where that is so.
    fn hold(&self) -> Option<Hold> {
        let current = self.line.current()?;
        if current.breaker.is_quarantined() {
            return Some(Hold { reason: Reason::Quarantined, message: self.quarantine_text() });
        }
        let pause = self.suspended_for()?;
        let message = format!("{}; {}", self.suspension_text(), end_text(Timestamp::now(), pause));
        Some(Hold { reason: Reason::Suspended, message })
    }

    /// The last fault of the serving generation, while it counts as failing.
    fn failing(&self) -> Option<String> {
        let is_failing = self.line.current()?.breaker.is_failing(Instant::now());
        let last = || self.last_fault.lock().clone().unwrap_or_default();
        is_failing.then(last)
    }

    /// The state, and what explains it: a step under way, the fate of the newest files, then how what is loaded
    /// fares.
    fn state(&self, hold: Option<&Hold>) -> (State, Option<Reason>, String) {
        if let Some(now) = self.progress.under_way() {
            let text = |over: Duration| format!("this takes {} s longer than it should", over.as_secs());
            let text = match now.restless {
                true => "the files keep changing; they are read once they rest, best when renamed into place"
                    .to_owned(),
                false => now.overdue.map(text).unwrap_or_default(),
            };
            return (now.step, None, text);
        }
        let newest = self.newest.lock().clone();
        if let Some(fault) = newest.as_ref().filter(|fault| fault.reason != Reason::RolledBack) {
            return (State::Rejected, Some(fault.reason), fault.message.clone());
        }
        match (hold, newest) {
            (Some(hold), _) if hold.reason == Reason::Quarantined => {
                (State::Quarantined, Some(hold.reason), hold.message.clone())
            }
            (Some(hold), _) => (State::Suspended, Some(hold.reason), hold.message.clone()),
            (None, Some(fault)) => (State::Rejected, Some(fault.reason), fault.message),
            (None, None) if self.line.current().is_some() => match self.line.trial(Instant::now()) {
                Some((record, terms)) => (State::Probation, None, probation_text(&record, &terms)),
                None => (State::Active, None, String::new()),
            },
            (None, None) => (State::Checking, None, String::new()),
        }
    }

    /// The same, when an operator has switched the plugin off: a rejection stays in sight.
    fn state_of_disabled(&self, hold: Option<&Hold>) -> (State, Option<Reason>, String) {
        match self.state(hold) {
            (_, Some(reason), message) => (State::Disabled, Some(reason), message),
            _ => (State::Disabled, None, "an operator has switched it off".to_owned()),
        }
    }

    /// What people are told.
    pub(in crate::plugin) fn status(&self) -> Status {
        let current = self.line.current();
        let hold = self.hold();
        let (state, reason, message) = match self.is_disabled() {
            true => self.state_of_disabled(hold.as_ref()),
            false => self.state(hold.as_ref()),
        };
        Status {
            name: self.name.clone(),
            path: self.source.wasm.display().to_string(),
            state,
            since: self.progress.since(state),
            outcome: self.outcome.load(Ordering::Relaxed),
            steps: self.progress.took(),
            reason,
            message,
            failing: self.failing().filter(|_| hold.is_none()),
            hold,
            generation: current.as_ref().map_or(0, |current| current.profile.generation),
            digest: current.as_ref().map(|current| current.digest.clone()),
            manifest: current
                .as_ref()
                .map(|current| current.profile.manifest.shown.clone())
                .unwrap_or_default(),
            version: current.as_ref().map(|current| current.version.clone()).unwrap_or_default(),
            interfaces: current.as_ref().map(|current| current.interfaces.clone()).unwrap_or_default(),
            description: current.map(|current| current.description.clone()),
            calls: self.calls.load(Ordering::Relaxed),
            faults: self.faults.blamed(),
            faults_by_class: self.faults_by_class(),
            bindings: Vec::new(),
            stand_ins: Vec::new(),
            last_fault: self.last_fault.lock().clone(),
            rehearsal: self.rehearsal.lock().clone(),
        }
    }
}

/// When a suspension ends, as a time of day: what counts down would be news every second.
fn end_text(now: Timestamp, pause: Duration) -> String {
    if pause.is_zero() {
        return "the next call asks it again".to_owned();
    }
    let end = now.saturating_add(pause).unwrap_or(now);
    format!("asked again at {:.0}", end.round(Unit::Second).unwrap_or(end))
}

/// Keeps hold of a slot. Storing the same one at each call would cost more than looking.
pub(in crate::plugin) fn remember(last: &ArcSwapOption<Slot>, slot: &Arc<Slot>) {
    if !last.load().as_ref().is_some_and(|last| Arc::ptr_eq(last, slot)) {
        last.store(Some(Arc::clone(slot)));
    }
}

fn probation_text(record: &Record, terms: &Terms) -> String {
    let left = terms.duration.saturating_sub(record.lasted).as_secs();
    format!(
        "it {record}; the probation ends after {} calls or in {left} s, and the generation before stands by",
        terms.calls
    )
}

/// The pair that must not serve after a restart. A reload makes a new generation of the same files: to reject them would
/// reject the generation that serves.
fn abandoned(failing: &Generation, before: &Generation) -> Option<PairId> {
    Some(failing.pair()).filter(|pair| *pair != before.pair())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_suspension_is_told_in_the_same_words_while_it_comes_near() {
        let (start, pause) = (Timestamp::UNIX_EPOCH, Duration::from_millis(30_000));
        let later = start.saturating_add(Duration::from_millis(12_345)).unwrap();
        let told = end_text(start, pause);
        assert_eq!(told, "asked again at 1970-01-01T00:00:30Z");
        assert_eq!(end_text(later, pause - Duration::from_millis(12_345)), told);
        assert_eq!(end_text(later, Duration::ZERO), "the next call asks it again");
    }
}
