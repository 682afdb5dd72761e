//! The task that asks backends in turn and publishes what they say.

use super::download::{Connect, DownloadFault};
use super::fetch::{Known, ask};
use super::kept::Kept;
use super::schedule::{Pace, Turn};
use super::source::{Source, Sources};
use crate::control::SnapshotParts;
use crate::merge::openapi::OwnDocuments;
use crate::observe::{catch_panic_in, failpoint};
use crate::route::{BackendId, OpenApiDocuments, Shared};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// How many backends are asked at a time.
const AT_A_TIME: usize = 8;

/// A backend's place in the plan.
struct Entry {
    source: Source,
    turn: Turn,
    known: Arc<Known>,
}

type Outcome = (BackendId, Result<Option<Known>, DownloadFault>);

fn panicked() -> DownloadFault {
    DownloadFault::Unanswered("reading them panicked; the log shows where".to_owned())
}

pub(super) struct Collector {
    parts: SnapshotParts,
    shared: Arc<Shared>,
    own: Arc<OwnDocuments>,
    connect: Connect,
    pace: Pace,
    entries: BTreeMap<BackendId, Entry>,
    kept: Kept,
    running: JoinSet<Outcome>,
    uniting: JoinSet<OpenApiDocuments>,
    slots: Arc<Semaphore>,
    /// When gathered changes are to be united.
    unite_at: Option<Instant>,
}

impl Collector {
    pub(super) fn new(
        parts: SnapshotParts,
        shared: Arc<Shared>,
        own: OwnDocuments,
        connect: Connect,
        pace: Pace,
    ) -> Self {
        Self {
            parts,
            shared,
            own: Arc::new(own),
            connect,
            pace,
            entries: BTreeMap::new(),
            kept: Kept::default(),
            running: JoinSet::new(),
            uniting: JoinSet::new(),
            slots: Arc::new(Semaphore::new(AT_A_TIME)),
            unite_at: None,
        }
    }

    /// Works until the control plane ends.
    pub(super) async fn run(&mut self) {
        failpoint("control.openapi");
        let mut changed = self.parts.routes_changed();
        self.read_snapshot();
        loop {
            let next = self.ask_due();
            let may_unite = self.uniting.is_empty();
            tokio::select! {
                alive = changed.changed() => match alive {
                    Ok(()) => self.read_snapshot(),
                    Err(_) => return,
                },
                Some(done) = self.running.join_next() => self.take(done),
                Some(done) = self.uniting.join_next() => self.publish(done),
                () = sleep_until(self.unite_at), if may_unite => self.unite(),
                () = sleep_until(next) => {}
            }
        }
    }

    /// Learns of new, gone and recovered backends.
    fn read_snapshot(&mut self) {
        let sources = Sources::read(&self.shared.load(), &self.own);
        let went = self.kept.drop_unregistered(&sources);
        self.entries.retain(|id, _| sources.backends.contains_key(id));
        self.parts.openapi_faults.send_if_modified(|faults| {
            let is_gone = |id: &BackendId| !sources.backends.contains_key(id);
            if !faults.keys().any(is_gone) {
                return false;
            }
            Arc::make_mut(faults).retain(|id, _| !is_gone(id));
            true
        });
        for (id, source) in sources.backends {
            match self.entries.get_mut(&id) {
                Some(entry) => {
                    let is_news = source.is_open && !entry.source.is_open
                        || source.group_versions != entry.source.group_versions;
                    entry.source = source;
                    if is_news && entry.turn.due().is_some() {
                        entry.turn = Turn::now();
                    }
                }
                None => {
                    self.entries.insert(id, Entry { source, turn: Turn::now(), known: Arc::default() });
                }
            }
        }
        if went {
            self.gather();
        }
    }

    /// Starts a round for every backend that is due; says when the next one is.
    fn ask_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut next = None;
        for (id, entry) in &mut self.entries {
            let Some(due) = entry.turn.due().filter(|_| entry.source.is_open) else { continue };
            if due > now {
                next = Some(next.map_or(due, |other: Instant| other.min(due)));
                continue;
            }
            entry.turn.begin();
            let (id, source, known) = (*id, entry.source.clone(), Arc::clone(&entry.known));
            let (connect, slots) = (Arc::clone(&self.connect), Arc::clone(&self.slots));
            self.running.spawn(async move {
                let _slot = slots.acquire_owned().await;
                let download = connect(Arc::clone(&source.backend));
                let asked = catch_panic_in(ask(download.as_ref(), &source, &known)).await;
                (id, asked.unwrap_or_else(|| Err(panicked())))
            });
        }
        next
    }

    fn take(&mut self, done: Result<Outcome, JoinError>) {
        let (id, outcome) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a round of OpenAPI downloads broke off");
                return;
            }
        };
        // Gone meanwhile: its successor asks for itself.
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.turn.end(outcome.is_ok(), &self.pace);
        match outcome {
            Ok(None) => {
                let fault = entry.known.v2_fault.clone();
                self.report(id, fault);
            }
            Ok(Some(known)) => {
                let fault = known.v2_fault.clone();
                let known = Arc::new(known);
                let is_news = self.kept.take(&entry.source.backend.service, &known.asked_for, &known);
                if known.asked_for != entry.source.group_versions {
                    entry.turn = Turn::now();
                }
                entry.known = known;
                self.report(id, fault);
                if is_news {
                    self.gather();
                }
            }
            Err(cause) => {
                let service = &entry.source.backend.service;
                tracing::warn!(%service, %cause, "no OpenAPI documents; what was known stays served");
                if let DownloadFault::Unusable(fault) = cause {
                    self.report(id, Some(fault));
                }
            }
        }
    }

    /// Reports the error of a backend's documents while it lasts.
    fn report(&self, id: BackendId, fault: Option<String>) {
        self.parts.openapi_faults.send_if_modified(|faults| {
            if faults.get(&id) == fault.as_ref() {
                return false;
            }
            let faults = Arc::make_mut(faults);
            match fault {
                Some(fault) => drop(faults.insert(id, fault)),
                None => drop(faults.remove(&id)),
            }
            true
        });
    }

    /// Lets the changes of the next moments be united together.
    fn gather(&mut self) {
        self.unite_at.get_or_insert_with(|| Instant::now() + self.pace.gather);
    }

    fn unite(&mut self) {
        self.unite_at = None;
        let (own, kept) = (Arc::clone(&self.own), self.kept.clone());
        self.uniting.spawn_blocking(move || kept.unite(&own));
    }

    fn publish(&self, done: Result<OpenApiDocuments, JoinError>) {
        match done {
            Ok(documents) => self.parts.set_openapi(documents),
            Err(error) => tracing::error!(%error, "uniting the OpenAPI documents broke off"),
        }
    }
}

/// Never, without a time.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
