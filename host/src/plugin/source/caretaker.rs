//! The thread that looks after the directory: it watches, loads and swaps, and never compiles itself.

use crate::plugin::code::priority::step_back;
use crate::plugin::roster::Roster;
use crate::plugin::source::directory::{self, Change, Hint, Tracker};
use crate::plugin::source::intake::{Intake, Machine};
use crate::plugin::source::rights::Trust;
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{RecursiveMode, Watcher};
use parking_lot::Mutex;
use std::collections::{BTreeSet, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Instant, SystemTime};

/// Events that may wait. When there are more, they are lost, and a look finds what they told.
const HINTS_MAX: usize = 1024;

/// Wakes the thread, or ends it.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct Waker {
    queue: SyncSender<()>,
    stopped: Arc<AtomicBool>,
    hints: Arc<Mutex<VecDeque<Hint>>>,
    /// Plugins to be read again although nothing has changed.
    again: Arc<Mutex<BTreeSet<String>>>,
}

impl Waker {
    /// The other end is for the thread.
    pub(in crate::plugin) fn new() -> (Self, Receiver<()>) {
        let (queue, wakes) = sync_channel(1);
        let waker = Self { queue, stopped: Arc::default(), hints: Arc::default(), again: Arc::default() };
        (waker, wakes)
    }

    /// Something happened in the directory. A full queue means that the thread is awake already.
    pub(in crate::plugin) fn wake(&self) {
        match self.queue.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// Keeps what an event says, and wakes the thread.
    fn tell(&self, told: impl IntoIterator<Item = Hint>) {
        let mut hints = self.hints.lock();
        hints.extend(told);
        if hints.len() > HINTS_MAX {
            hints.clear();
            hints.push_back(Hint::Lost);
        }
        drop(hints);
        self.wake();
    }

    /// Reads the files of a plugin again, changed or not.
    pub(in crate::plugin) fn look_again(&self, plugin: &str) {
        self.again.lock().insert(plugin.to_owned());
        self.wake();
    }

    pub(in crate::plugin) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.wake();
    }
}

/// Looks after one directory.
pub(in crate::plugin) struct Caretaker {
    pub directory: PathBuf,
    pub roster: Arc<Roster>,
    /// Whose files are taken.
    pub trust: Trust,
    /// What loads and calls components, or why there is nothing that can.
    pub machine: Result<Machine, String>,
}

impl Caretaker {
    /// Starts the thread. `ready` hears when the first look is over.
    pub(in crate::plugin) fn start(
        self,
        waker: Waker,
        wakes: Receiver<()>,
        ready: SyncSender<()>,
    ) -> std::io::Result<()> {
        std::thread::Builder::new().name("plugin-loader".to_owned()).spawn(move || {
            self.run(&waker, &wakes, &ready);
        })?;
        Ok(())
    }

    fn run(self, waker: &Waker, wakes: &Receiver<()>, ready: &SyncSender<()>) {
        let Self { directory, roster, trust, machine } = self;
        let mut watched = watch_or_warn(&directory, waker);
        let mut tracker = Tracker::default();
        let mut intake = Intake::new(directory.clone(), trust, Arc::clone(&roster), machine);
        let mut starting = true;
        while !waker.stopped.load(Ordering::Relaxed) {
            let place = place(&directory);
            if place.is_some() && place != watched.1 {
                // The directory itself was replaced, and events tell of the old one.
                watched = watch_or_warn(&directory, waker);
            }
            let now = Instant::now();
            for hint in std::mem::take(&mut *waker.hints.lock()) {
                tracker.hear(hint, now);
            }
            let again = std::mem::take(&mut *waker.again.lock());
            intake.forget(&again);
            tracker.take_again(&again);
            roster.look_at_clock(now);
            look(&directory, &roster, &mut tracker, &mut intake);
            if !tracker.is_unsettled() && !roster.has_looked() {
                // What is being compiled may take long, and is shown as such meanwhile.
                roster.note_look();
                roster.announce();
            }
            if starting && !tracker.is_unsettled() && intake.is_idle() {
                starting = false;
                step_back();
                // Whoever started the host may have stopped waiting.
                match ready.try_send(()) {
                    Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
                }
            }
            // Events come in bursts. The settling time counts from the first look, so looking early does no harm.
            match wakes.recv_timeout(tracker.next_look(Instant::now())) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// What watches the directory, if that can be, and which directory that is.
fn watch_or_warn(directory: &Path, waker: &Waker) -> (Option<impl Watcher + use<>>, Option<(u64, u64)>) {
    let place = place(directory);
    let watcher = watch(directory, waker.clone());
    if let Err(cause) = &watcher {
        tracing::warn!(
            directory = %directory.display(),
            cause,
            "the plugin directory cannot be watched; it is looked at twice a second instead"
        );
    }
    (watcher.ok(), place)
}

fn look(directory: &Path, roster: &Roster, tracker: &mut Tracker, intake: &mut Intake) {
    let look = match directory::look(directory) {
        Ok(look) => look,
        Err(cause) => {
            // Nothing is unloaded because a disk is away for a moment.
            tracing::warn!(directory = %directory.display(), %cause, "the plugin directory cannot be read");
            return;
        }
    };
    let clock = SystemTime::now();
    let arriving = |name: &str| directory::is_arriving(directory, name, clock);
    let changes = tracker.observe(&look, Instant::now(), clock, arriving);
    let gone: BTreeSet<String> = changes.iter().filter_map(Change::removed).map(str::to_owned).collect();
    if !gone.is_empty() {
        intake.remove(&gone);
        roster.announce();
    }
    for change in changes {
        let Change::Load(name) = change else { continue };
        if let Some(pair) = look.get(&name) {
            intake.take(&name, *pair);
            roster.announce();
        }
    }
    let collected = intake.collect(&look);
    tracker.take_again(&collected.again);
    if collected.has_changed {
        roster.announce();
    }
}

fn watch(directory: &Path, waker: Waker) -> Result<impl Watcher + use<>, String> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        match event {
            Ok(event) if event.need_rescan() => waker.tell([Hint::Lost]),
            // Reading the files is an event of its own, and must not wake the reader again.
            Ok(event) if is_only_read(event.kind) => {}
            Ok(event) => waker.tell(hint(&event)),
            Err(_) => waker.tell([Hint::Lost]),
        }
    })
    .map_err(|error| error.to_string())?;
    watcher.watch(directory, RecursiveMode::NonRecursive).map_err(|error| error.to_string())?;
    Ok(watcher)
}

fn is_only_read(kind: EventKind) -> bool {
    kind.is_access() && kind != EventKind::Access(AccessKind::Close(AccessMode::Write))
}

/// What an event says about the file that it names last, which is the new name where there are two.
fn hint(event: &notify::Event) -> Option<Hint> {
    let path = event.paths.last()?;
    let file = path.file_name()?.to_str()?.to_owned();
    match event.kind {
        EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) if file.starts_with("..") => {
            Some(Hint::AllWhole)
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
        | EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Hint::Whole(file)),
        EventKind::Modify(ModifyKind::Data(_)) => Some(Hint::Writing(file)),
        // A link that was made is whole, and nobody will close it.
        EventKind::Create(CreateKind::File) => {
            let fresh = path.symlink_metadata().is_ok_and(|found| found.is_file() && found.nlink() == 1);
            fresh.then_some(Hint::Writing(file))
        }
        _ => None,
    }
}

/// Which directory a path leads to.
fn place(directory: &Path) -> Option<(u64, u64)> {
    directory.metadata().ok().map(|found| (found.dev(), found.ino()))
}
