//! One plugin name and what serves under it.

use super::budget::Facet;
use super::fault::{CallFault, LoadFault};
use super::generation::Generation;
use super::health_memory::HealthMemory;
use super::last_good::LastGood;
use super::status::{Condition, Reason, Status};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Faults in a row after which the generation before serves again.
const FAULTS_TO_ROLL_BACK: u32 = 5;

/// One name. Lives as long as a file of that name does; generations come and go.
#[derive(Debug)]
pub(super) struct Slot {
    pub name: String,
    path: PathBuf,
    current: ArcSwapOption<Generation>,
    previous: ArcSwapOption<Generation>,
    newest: Mutex<Option<LoadFault>>,
    generations: AtomicU64,
    calls: AtomicU64,
    faults: AtomicU64,
    last_fault: Mutex<Option<String>>,
    /// What health checks under this name remember.
    pub memory: HealthMemory,
    /// Answers to fall back on.
    pub last_good: LastGood,
}

impl Slot {
    pub(super) fn new(name: &str, path: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            path,
            current: ArcSwapOption::empty(),
            previous: ArcSwapOption::empty(),
            newest: Mutex::new(None),
            generations: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            last_fault: Mutex::new(None),
            memory: HealthMemory::default(),
            last_good: LastGood::default(),
        }
    }

    /// What serves.
    pub(super) fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// The number that the next generation gets.
    pub(super) fn next_number(&self) -> u64 {
        self.generations.load(Ordering::Relaxed) + 1
    }

    /// Takes a generation into service; calls in flight keep the one before.
    pub(super) fn publish(&self, generation: Arc<Generation>) {
        self.generations.store(generation.profile.generation, Ordering::Relaxed);
        *self.newest.lock() = None;
        let before = self.current.swap(Some(generation));
        self.previous.store(before);
    }

    /// Notes why the newest file cannot serve.
    pub(super) fn refuse(&self, fault: LoadFault) {
        *self.newest.lock() = Some(fault);
    }

    /// What may be asked for a decision, the newest first.
    pub(super) fn candidates(&self, facet: Facet) -> impl Iterator<Item = Arc<Generation>> {
        let both = [self.current.load_full(), self.previous.load_full()];
        both.into_iter().flatten().filter(move |generation| generation.has(facet))
    }

    /// Why nothing here answers for a decision, for people.
    pub(super) fn absence(&self, facet: Facet) -> String {
        let name = &self.name;
        match (self.newest.lock().as_ref(), self.current.load().as_ref()) {
            (Some(fault), None) => format!("plugin {name:?} cannot be loaded: {fault}"),
            (_, Some(generation)) => format!(
                "plugin {name:?} is no {}: it implements {}",
                facet.noun(),
                generation.interfaces.join(", ")
            ),
            (None, None) => format!("plugin {name:?} is being loaded"),
        }
    }

    /// Counts a call that was answered.
    pub(super) fn note_answer(&self, generation: &Generation) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        generation.faults_in_row.store(0, Ordering::Relaxed);
    }

    /// Counts a fault, logs it, and goes back to the generation before when there are too many in a row. Says
    /// whether it went back.
    pub(super) fn note_fault(&self, generation: &Arc<Generation>, fault: &CallFault) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.faults.fetch_add(1, Ordering::Relaxed);
        *self.last_fault.lock() = Some(format!("generation {} {fault}", generation.profile.generation));
        tracing::warn!(plugin = self.name, generation = generation.profile.generation, "the plugin {fault}");
        if !fault.blames_plugin() {
            return false;
        }
        let in_row = generation.faults_in_row.fetch_add(1, Ordering::Relaxed) + 1;
        in_row >= FAULTS_TO_ROLL_BACK && self.roll_back(generation, fault)
    }

    fn roll_back(&self, failing: &Arc<Generation>, fault: &CallFault) -> bool {
        let Some(before) = self.previous.load_full() else { return false };
        let now = self.current.compare_and_swap(failing, Some(before));
        if !now.as_ref().is_some_and(|now| Arc::ptr_eq(now, failing)) {
            return false;
        }
        self.previous.store(None);
        let text = format!(
            "generation {} failed {FAULTS_TO_ROLL_BACK} times in a row, the last time because it {fault}",
            failing.profile.generation
        );
        tracing::error!(plugin = self.name, "rolled back: {text}");
        self.refuse(LoadFault::new(Reason::RolledBack, text));
        true
    }

    /// What people are told.
    pub(super) fn status(&self) -> Status {
        let current = self.current.load_full();
        let newest = self.newest.lock().clone();
        let condition = match (&current, &newest) {
            (Some(_), None) => Condition::Active,
            (Some(_), Some(_)) => Condition::LastGood,
            (None, _) => Condition::Failed,
        };
        Status {
            name: self.name.clone(),
            path: self.path.display().to_string(),
            condition,
            reason: newest.as_ref().map(|fault| fault.reason),
            message: newest.map(|fault| fault.message).unwrap_or_default(),
            generation: current.as_ref().map_or(0, |current| current.profile.generation),
            digest: current.as_ref().map(|current| current.digest.clone()),
            interfaces: current.as_ref().map(|current| current.interfaces.clone()).unwrap_or_default(),
            description: current.map(|current| current.description.clone()),
            calls: self.calls.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
            last_fault: self.last_fault.lock().clone(),
        }
    }
}
