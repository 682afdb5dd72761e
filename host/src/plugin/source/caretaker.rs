//! The thread that looks after the directory. It waits for no plugin: it begins looks and steps, hears what came of
//! them, and swaps.

use crate::observe::{Supervisor, failpoint};
use crate::plugin::roster::Roster;
use crate::plugin::saved::Saved;
use crate::plugin::source::disk::Directory;
use crate::plugin::source::events::Events;
use crate::plugin::source::intake::{Intake, Machine};
use crate::plugin::source::look::View;
use crate::plugin::source::lookout::{Lookout, PATIENCE};
use crate::plugin::source::rights::Trust;
use crate::plugin::source::settling::{Change, Tracker};
use crate::plugin::source::waker::Waker;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Builder;

/// How much longer than a look the time between two of them is, when something happens and when nothing does: many
/// files shall not keep a processor busy.
const SHARES: [u32; 2] = [4, 100];
/// The longest time between two looks.
const REST_MAX: Duration = Duration::from_secs(10);
/// How often the clock is looked at while a look is being taken, however long that takes.
const TICK: Duration = Duration::from_secs(1);
/// How often people are told that the directory cannot be read.
const COMPLAINTS: Duration = Duration::from_secs(60);

/// Looks after one directory.
pub(in crate::plugin) struct Caretaker {
    pub directory: PathBuf,
    pub roster: Arc<Roster>,
    /// Whose files are taken.
    pub trust: Trust,
    /// What loads and calls components, or why there is nothing that can.
    pub machine: Result<Machine, String>,
    /// The saved state of an earlier process.
    pub saved: BTreeMap<String, Saved>,
}

impl Caretaker {
    /// Starts the thread. `ready` hears when what lay in the directory is loaded or refused, but for what takes long.
    pub(in crate::plugin) fn start(self, waker: Waker, ready: SyncSender<()>) -> std::io::Result<()> {
        let runtime = Builder::new_current_thread().enable_time().thread_name("plugin-files").build()?;
        std::thread::Builder::new().name("plugin-loader".to_owned()).spawn(move || {
            let mut rounds = Rounds::new(self, waker, ready);
            runtime.block_on(async {
                let mut supervisor = Supervisor::new("looking after plugin files");
                while supervisor.must_restart(rounds.go()).await {}
            });
            // A thread that hangs on a file would be waited for otherwise.
            runtime.shutdown_background();
        })?;
        Ok(())
    }
}

/// The rounds of the thread.
struct Rounds {
    directory: PathBuf,
    roster: Arc<Roster>,
    waker: Waker,
    events: Events,
    tracker: Tracker,
    intake: Intake,
    lookout: Lookout,
    /// The plugins that the last scan has found.
    names: BTreeSet<String>,
    /// Whether it was found out what holds without plugins.
    knows_manifests: bool,
    /// Hears when the start is over.
    ready: Option<SyncSender<()>>,
    /// When the look that is being taken began.
    began: Instant,
    /// When the next look is due, and when it may begin at the earliest.
    due: Instant,
    earliest: Instant,
    complained: Option<Instant>,
}

impl Rounds {
    fn new(caretaker: Caretaker, waker: Waker, ready: SyncSender<()>) -> Self {
        let Caretaker { directory, roster, trust, machine, saved } = caretaker;
        let now = Instant::now();
        Self {
            intake: Intake::new(directory.clone(), trust, Arc::clone(&roster), machine, saved),
            lookout: Lookout::new(Directory { path: directory.clone(), trust }, waker.clone()),
            directory,
            roster,
            waker,
            events: Events::default(),
            tracker: Tracker::default(),
            names: BTreeSet::new(),
            knows_manifests: false,
            ready: Some(ready),
            began: now,
            due: now,
            earliest: now,
            complained: None,
        }
    }

    async fn go(&mut self) {
        failpoint("plugin.loader");
        // What happens from here on tells of itself.
        self.events.follow(&self.directory, &self.waker);
        while !self.waker.is_stopped() {
            self.roster.look_at_clock(Instant::now());
            let is_busy = self.lookout.is_busy();
            let next = self.due.max(self.earliest);
            tokio::select! {
                () = self.waker.woken() => self.due = Instant::now(),
                () = tokio::time::sleep_until(next.into()), if !is_busy => self.begin_look(),
                seen = self.lookout.end(), if is_busy => self.look(seen),
                () = tokio::time::sleep(TICK), if is_busy => {}
                has_changed = self.intake.hear() => if has_changed {
                    self.roster.announce();
                },
            }
            self.events.collect(&self.directory, &self.waker);
            self.intake.collect();
            self.tracker.take_again(&self.intake.take_again());
            if self.intake.is_ripe() {
                self.due = Instant::now();
            }
            self.note_start();
        }
    }

    fn begin_look(&mut self) {
        self.began = Instant::now();
        for hint in self.waker.take_hints() {
            self.tracker.hear(hint, self.began);
        }
        let again = self.waker.take_again();
        self.intake.forget(&again);
        self.tracker.take_again(&again);
        self.lookout.begin();
        // Whatever happens from now on asks for another one.
        self.due = self.began + REST_MAX;
    }

    fn look(&mut self, seen: std::io::Result<Arc<View>>) {
        let now = Instant::now();
        let is_cut_short = seen.as_ref().is_ok_and(|view| view.is_cut_short);
        // Waiting keeps no processor busy.
        let waited = if is_cut_short { PATIENCE.file } else { Duration::ZERO };
        let took = (now - self.began).saturating_sub(waited);
        self.earliest = now + took * SHARES[0];
        match seen {
            Ok(view) => self.compare(&view, now),
            Err(cause) => self.complain(&cause, now),
        }
        // The next look goes on without what held this one up.
        let rest = if is_cut_short { Duration::ZERO } else { rest(&self.tracker, took, now) };
        self.due = self.due.min(now + rest);
    }

    fn compare(&mut self, view: &View, now: Instant) {
        self.complained = None;
        self.knows_manifests |= view.knows_manifests;
        if self.events.is_elsewhere(view.place, now) {
            // What happened before the new place was watched is seen by another look.
            self.events.follow(&self.directory, &self.waker);
            self.due = now;
        }
        let arriving = |name: &str| view.partial.contains(name);
        let changes = self.tracker.observe(&view.look, now, SystemTime::now(), arriving);
        let gone: BTreeSet<String> = changes.iter().filter_map(Change::removed).map(str::to_owned).collect();
        // First, so that there is no moment at which nothing says what holds without a plugin.
        let holds_otherwise = self.roster.set_standing(&view.manifests);
        if !gone.is_empty() {
            self.intake.remove(&gone);
        }
        self.names = view.look.keys().cloned().collect();
        let has_changed = self.intake.see(&view.look) || holds_otherwise;
        if has_changed || !gone.is_empty() {
            self.roster.announce();
        }
        for change in changes {
            let Change::Load(name) = change else { continue };
            if let Some(pair) = view.look.get(&name) {
                self.intake.take(&name, *pair);
            }
        }
        if self.intake.show_restless(&self.tracker.restless(now), &view.look) {
            self.roster.announce();
        }
    }

    /// Nothing is unloaded because a disk is away for a moment.
    fn complain(&mut self, cause: &std::io::Error, now: Instant) {
        self.events.lose();
        if self.complained.is_none_or(|last| now - last >= COMPLAINTS) {
            self.complained = Some(now);
            let directory = self.directory.display();
            tracing::warn!(%directory, %cause, "the plugin directory cannot be read; what was loaded serves on");
        }
    }

    /// Tells when what lay in the directory at the start is known, and when it serves.
    fn note_start(&mut self) {
        let has_looked = self.knows_manifests && self.tracker.has_looked() && !self.tracker.is_unsettled();
        if has_looked && !self.roster.has_looked() && self.intake.knows_all() {
            // What is being compiled may take long, and is shown as such meanwhile.
            self.intake.forget_absent(&self.names);
            self.roster.note_look();
            self.roster.announce();
        }
        if has_looked && self.intake.is_idle() {
            // Whoever started the host may have stopped waiting.
            match self.ready.take().map(|ready| ready.try_send(())) {
                None | Some(Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(()))) => {}
            }
        }
    }
}

/// How long until the next look after one that took so long. Long only while nobody waits for what it will find.
fn rest(tracker: &Tracker, took: Duration, now: Instant) -> Duration {
    let next = tracker.next_look(now);
    if tracker.is_unsettled() || tracker.is_missing_any() {
        return next;
    }
    next.max(took * SHARES[1]).min(REST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::source::look::{Look, Pair};

    #[test]
    fn slow_looks_do_not_put_off_a_removal() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        let took = Duration::from_millis(50);
        let there = Look::from([("a".to_owned(), Pair::default())]);
        let mut observe = |look: &Look, now| tracker.observe(look, now, SystemTime::now(), |_| false);
        assert_eq!(observe(&there, now), [Change::Load("a".to_owned())]);
        assert_eq!(observe(&Look::new(), now), [], "it may come back");
        assert!(rest(&tracker, took, now) <= tracker.next_look(now), "somebody waits for the next look");
        let later = now + Duration::from_secs(2);
        let changes = tracker.observe(&Look::new(), later, SystemTime::now(), |_| false);
        assert_eq!(changes, [Change::Remove("a".to_owned())]);
        assert_eq!(rest(&tracker, took, later), took * SHARES[1], "nobody does");
    }
}
