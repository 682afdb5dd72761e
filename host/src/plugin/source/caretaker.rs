//! The thread that looks after the directory: it watches, compiles and swaps, at the lowest priority.

use crate::plugin::component::call_state::CallState;
use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::load::load;
use crate::plugin::component::runner::Runner;
use crate::plugin::roster::Roster;
use crate::plugin::source::directory::{self, Change, SETTLE, Tracker};
use crate::plugin::source::files::Source;
use crate::plugin::status::Reason;
use notify::{RecursiveMode, Watcher};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};
use wasmtime::component::Linker;

/// How often the directory is looked at without an event: some file systems send none.
const RESCAN: Duration = Duration::from_secs(1);
/// Of 0 to 99, where 99 is a niceness of -20 and 0 one of 19.
const PRIORITY: u8 = 25;

/// Wakes the thread, or ends it.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct Waker {
    queue: SyncSender<()>,
    stopped: Arc<AtomicBool>,
    /// Plugins to be read again although nothing has changed.
    again: Arc<Mutex<BTreeSet<String>>>,
}

impl Waker {
    /// Something happened in the directory. A full queue means that the thread is awake already.
    fn wake(&self) {
        match self.queue.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
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
    /// What loads and calls components, or why there is nothing that can.
    pub machine: Result<(Arc<Runner>, Linker<CallState>), String>,
}

impl Caretaker {
    /// Starts the thread. `ready` hears when the first look is over.
    pub(in crate::plugin) fn start(self, ready: SyncSender<()>) -> std::io::Result<Waker> {
        let (queue, wakes) = sync_channel(1);
        let waker = Waker { queue, stopped: Arc::default(), again: Arc::default() };
        let own_waker = waker.clone();
        std::thread::Builder::new().name("plugin-loader".to_owned()).spawn(move || {
            self.run(&own_waker, &wakes, &ready);
        })?;
        Ok(waker)
    }

    fn run(&self, waker: &Waker, wakes: &Receiver<()>, ready: &SyncSender<()>) {
        let watcher = watch(&self.directory, waker.clone());
        if let Err(cause) = &watcher {
            tracing::warn!(
                directory = %self.directory.display(),
                cause,
                "the plugin directory cannot be watched; it is looked at every second instead"
            );
        }
        let mut tracker = Tracker::default();
        let mut starting = true;
        while !waker.stopped.load(Ordering::Relaxed) {
            tracker.forget(&std::mem::take(&mut *waker.again.lock()));
            self.look(&mut tracker);
            if starting && !tracker.is_unsettled() {
                starting = false;
                self.roster.note_look();
                lower_priority();
                // Whoever started the host may have stopped waiting.
                match ready.try_send(()) {
                    Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
                }
            }
            let pause = if tracker.is_unsettled() { SETTLE } else { RESCAN };
            // Events come in bursts. The settling time counts from the first look, so looking early does no harm.
            match wakes.recv_timeout(pause) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&self, tracker: &mut Tracker) {
        let look = match directory::look(&self.directory) {
            Ok(look) => look,
            Err(cause) => {
                // Nothing is unloaded because a disk is away for a moment.
                tracing::warn!(directory = %self.directory.display(), %cause, "the plugin directory cannot be read");
                return;
            }
        };
        for change in tracker.observe(&look, Instant::now()) {
            match change {
                Change::Load(name) => self.take(&name),
                Change::Remove(name) => {
                    tracing::info!(plugin = name, "the plugin is gone from the directory");
                    self.roster.remove_slot(&name);
                }
            }
            self.roster.announce();
        }
    }

    fn take(&self, name: &str) {
        let source = Source::new(&self.directory, name);
        let slot = self.roster.open_slot(name, source.wasm.clone());
        let began = Instant::now();
        let loaded = Source::check_name(name).and_then(|()| match &self.machine {
            Ok((runner, linker)) => {
                let all = self.roster.all();
                let siblings: Vec<_> = all.values().filter_map(|slot| slot.current()).collect();
                load(runner, linker, &source, slot.next_number(), &siblings)
            }
            Err(cause) => Err(LoadFault::new(Reason::EngineUnavailable, cause.clone())),
        });
        match loaded {
            Ok(generation) => {
                tracing::info!(
                    plugin = name,
                    generation = generation.profile.generation,
                    interfaces = generation.interfaces.join(", "),
                    description = generation.description,
                    milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "the plugin serves"
                );
                slot.publish(generation);
            }
            Err(fault) => {
                let serves =
                    if slot.current().is_some() { "the generation before it" } else { "the built-in" };
                tracing::error!(
                    plugin = name,
                    reason = %fault.reason,
                    "the plugin cannot be loaded, {serves} serves: {}",
                    fault.message
                );
                slot.refuse(fault);
            }
        }
    }
}

fn watch(directory: &Path, waker: Waker) -> Result<impl Watcher, String> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the files is an event of its own, and must not wake the reader again.
        let only_read = event.as_ref().is_ok_and(|event| event.kind.is_access());
        if !only_read {
            waker.wake();
        }
    })
    .map_err(|error| error.to_string())?;
    watcher.watch(directory, RecursiveMode::NonRecursive).map_err(|error| error.to_string())?;
    Ok(watcher)
}

/// Compiling must not take time from requests, so once there may be some it steps back to a niceness of 10. At 19
/// a busy machine would keep a new plugin waiting for minutes. Not being allowed to is no reason to stop.
fn lower_priority() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    let Ok(priority) = ThreadPriorityValue::try_from(PRIORITY).map(ThreadPriority::Crossplatform) else {
        return;
    };
    if let Err(cause) = set_thread_priority_and_policy(thread_native_id(), priority, policy) {
        tracing::debug!(?cause, "the plugin loader keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_loader_steps_back() {
        let stat = std::thread::spawn(|| {
            super::lower_priority();
            std::fs::read_to_string("/proc/thread-self/stat").unwrap()
        })
        .join()
        .unwrap();
        // The name may hold spaces, so fields are counted from its end; nice is the 19th of all.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let niceness: i32 = fields[16].parse().unwrap();
        assert!((8..=12).contains(&niceness), "{niceness}");
    }
}
