//! When the directory is read.

use super::apply::apply;
use super::directory::{Fingerprint, counts, fingerprint, read};
use super::progress::{FileEvent, Heard, Progress, QUIET, Verdict};
use crate::observe::failpoint;
use crate::registry::Registry;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

/// How often names, times and sizes are compared, for directories that send no events and for those that went and
/// came back.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the objects are compared with the files though no file has changed: somebody may have edited or
/// deleted one.
const COMPARE_EVERY: Duration = Duration::from_secs(60);
/// The same while something stands in the way, which may go.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// A directory counts as settled when nothing has happened in it for so long: writers write in pieces.
const SETTLED_AFTER: Duration = Duration::from_millis(150);
/// After so long it is read though it is not settled.
const SETTLED_AT_LAST: Duration = Duration::from_secs(2);

struct Watching {
    directory: PathBuf,
    registry: Registry,
    events: mpsc::Sender<()>,
    /// Present while the directory is; its events end when the directory is deleted.
    watcher: Option<RecommendedWatcher>,
    /// The events of the files.
    heard: Arc<Mutex<Heard>>,
    progress: Progress,
    seen: Option<(Fingerprint, Verdict)>,
    compared: Option<Instant>,
    /// What has been told, so that it is told once.
    told: BTreeSet<String>,
}

/// Works until the task is aborted; `looked` turns true after the first look.
pub(super) async fn run(directory: PathBuf, registry: Registry, looked: watch::Sender<bool>) {
    failpoint("control.manifests");
    let (events, mut happened) = mpsc::channel(1);
    let mut watching = Watching {
        directory,
        registry,
        events,
        watcher: None,
        heard: Arc::default(),
        progress: Progress::default(),
        seen: None,
        compared: None,
        told: BTreeSet::new(),
    };
    loop {
        watching.look().await;
        looked.send_replace(true);
        let due = watching.progress.next_due(std::time::Instant::now()).unwrap_or(LOOK_EVERY);
        if timeout(due.clamp(SETTLED_AFTER, LOOK_EVERY), happened.recv()).await.is_ok() {
            settle(&mut happened).await;
        }
    }
}

/// Waits until nothing happens any more.
async fn settle(happened: &mut mpsc::Receiver<()>) {
    let last = Instant::now() + SETTLED_AT_LAST;
    while timeout(SETTLED_AFTER, happened.recv()).await.is_ok() && Instant::now() < last {
        sleep(Duration::from_millis(10)).await;
    }
}

impl Watching {
    async fn look(&mut self) {
        let directory = self.directory.clone();
        let looked = tokio::task::spawn_blocking(move || fingerprint(&directory)).await;
        let found = match looked {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                self.watcher = None;
                self.seen = None;
                self.progress = Progress::default();
                let path = self.directory.display();
                self.tell([format!(
                    "the manifest directory {path} cannot be read: {error}; objects made from it stay as they are until it is there; what its files do not declare then is removed"
                )]);
                return;
            }
            Err(_) => return,
        };
        if self.seen.as_ref().is_none_or(|(seen, _)| seen.directory != found.directory) {
            self.watcher = None;
            self.heard.lock().forget_all();
            self.progress = Progress::default();
        }
        self.watch();
        if found.files.iter().any(|(name, state)| self.progress.has_shrunk(name, state)) {
            // The event of a writer that has just truncated a file may still be pending.
            sleep(SETTLED_AFTER).await;
        }
        let heard = Arc::clone(&self.heard);
        let verdict =
            self.progress.judge(&found.files, &heard.lock(), std::time::Instant::now(), SystemTime::now());
        self.tell_waiting(&verdict);
        let pause = if self.told.is_empty() { COMPARE_EVERY } else { RETRY_EVERY };
        let is_time = self.compared.is_none_or(|at| at.elapsed() >= pause);
        let is_new = self.seen.as_ref().is_none_or(|(seen, judged)| *seen != found || *judged != verdict);
        if is_new || is_time {
            self.compare(found, verdict).await;
        }
    }

    async fn compare(&mut self, found: Fingerprint, mut verdict: Verdict) {
        let directory = self.directory.clone();
        let looked = tokio::task::spawn_blocking(move || {
            read(&directory, &found.files, &mut verdict).map(|files| (files, found, verdict))
        });
        let Ok(Ok((files, found, verdict))) = looked.await else {
            // It went between the two looks; the next one tells.
            return;
        };
        match apply(&self.registry, &files).await {
            Ok(problems) => {
                self.progress.apply(&found.files, &verdict, &mut self.heard.lock());
                self.seen = Some((found, verdict));
                self.compared = Some(Instant::now());
                self.tell(problems);
            }
            Err(failure) => {
                self.tell([format!("manifests cannot be compared with the store: {}", failure.message)]);
            }
        }
    }

    /// Logs the files that it waits for, once for each wait.
    fn tell_waiting(&self, verdict: &Verdict) {
        let before = self.seen.as_ref().map(|(_, verdict)| &verdict.in_progress);
        for file in &verdict.in_progress {
            if before.is_none_or(|before| !before.contains(file)) {
                tracing::info!(
                    file,
                    "a manifest file is being written and does not count yet: waiting until its writer closes it, \
                     or until it has not changed for {} s",
                    QUIET.as_secs()
                );
            }
        }
    }

    /// Asks for events. The watch is renewed at each look where it has been lost; without one the looks suffice.
    fn watch(&mut self) {
        if self.watcher.is_some() {
            return;
        }
        let (events, heard) = (self.events.clone(), Arc::clone(&self.heard));
        let wake = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| note(&event, &mut heard.lock())) {
                // A full queue wakes the reader already.
                let _: Result<(), _> = events.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(wake).and_then(|mut watcher| {
            watcher.watch(&self.directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        self.watcher = watcher
            .inspect_err(|error| tracing::debug!(%error, "no events from the manifest directory"))
            .ok();
    }

    /// Logs what is new; forgets what has gone, so that it is told again when it comes back.
    fn tell(&mut self, problems: impl IntoIterator<Item = String>) {
        let problems: BTreeSet<String> = problems.into_iter().collect();
        for problem in problems.difference(&self.told) {
            tracing::warn!(problem, "a manifest has no effect in part");
        }
        if problems.is_empty() && !self.told.is_empty() {
            tracing::info!("every manifest has its effect again");
        }
        self.told = problems;
    }
}

/// Records an event; returns whether something has changed.
fn note(event: &notify::Event, heard: &mut Heard) -> bool {
    if event.need_rescan() {
        heard.forget_all();
        return true;
    }
    let what = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => FileEvent::Completed,
        // Reading the files causes events as well; they must not wake the reader again.
        EventKind::Access(_) => return false,
        EventKind::Create(_) => FileEvent::Created,
        EventKind::Modify(ModifyKind::Data(_)) => FileEvent::Written,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => FileEvent::Removed,
        _ => return true,
    };
    let names = event.paths.iter().filter_map(|path| path.file_name()?.to_str());
    names.filter(|name| counts(name)).for_each(|name| heard.note(name, what));
    true
}
