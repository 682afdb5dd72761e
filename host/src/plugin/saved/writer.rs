//! Saves the files of plugins on a separate thread, so that no call waits for a disk.

use super::directory::{Saved, SavedDirectory};
use super::record::{PairId, Record, Rejections};
use crate::plugin::component::load::digest;
use crate::plugin::source::files::Source;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the process waits for pending writes before it exits.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// The files of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Files {
    pub id: PairId,
    pub manifest: Option<Arc<str>>,
}

/// The state of a plugin that must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct ToSave {
    /// The place of the newest files.
    pub source: Source,
    /// The files that serve.
    pub serves: Option<Files>,
    /// The standby, while the serving files are on probation.
    pub stands_by: Option<Files>,
    pub rejected: Rejections,
}

#[derive(Debug)]
enum Wish {
    Save(Box<ToSave>),
    Forget,
}

#[derive(Debug, Default)]
struct Queue {
    /// The newest request for each plugin. Earlier ones no longer matter, so the number of plugins bounds the queue.
    wishes: BTreeMap<String, Wish>,
    is_writing: bool,
    is_closed: bool,
}

type Shared = Arc<(Mutex<Queue>, Condvar)>;

/// Saves the last good files of plugins, and which files were rejected.
#[derive(Debug)]
pub(in crate::plugin) struct SavedPlugins(Shared);

impl SavedPlugins {
    /// Opens the directory, which need not exist, and returns the saved state.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(in crate::plugin) fn open(root: PathBuf) -> io::Result<(Arc<Self>, BTreeMap<String, Saved>)> {
        let directory = SavedDirectory(root);
        let found = directory.load();
        let shared = Shared::default();
        let queue = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("plugin-saver".to_owned())
            .spawn(move || work(&queue, &directory))?;
        Ok((Arc::new(Self(shared)), found))
    }

    pub(in crate::plugin) fn save(&self, plugin: &str, wanted: ToSave) {
        self.wish(plugin, Wish::Save(Box::new(wanted)));
    }

    /// Deletes the state of a removed plugin: another plugin of that name starts without it.
    pub(in crate::plugin) fn forget(&self, plugin: &str) {
        self.wish(plugin, Wish::Forget);
    }

    fn wish(&self, plugin: &str, wish: Wish) {
        let (queue, changed) = &*self.0;
        queue.lock().wishes.insert(plugin.to_owned(), wish);
        changed.notify_all();
    }

    /// Waits for pending writes, for a limited time.
    pub(in crate::plugin) fn flush(&self) {
        let (queue, changed) = &*self.0;
        let deadline = Instant::now() + FLUSH_MAX;
        let mut queue = queue.lock();
        while queue.is_writing || !queue.wishes.is_empty() {
            if changed.wait_until(&mut queue, deadline).timed_out() {
                return;
            }
        }
    }
}

impl Drop for SavedPlugins {
    fn drop(&mut self) {
        let (queue, changed) = &*self.0;
        queue.lock().is_closed = true;
        changed.notify_all();
    }
}

fn work(shared: &Shared, directory: &SavedDirectory) {
    let (queue, changed) = &**shared;
    loop {
        let mut waiting = queue.lock();
        let (plugin, wish) = loop {
            if let Some(next) = waiting.wishes.pop_first() {
                break next;
            }
            if waiting.is_closed {
                return;
            }
            changed.wait(&mut waiting);
        };
        waiting.is_writing = true;
        drop(waiting);
        let written = match wish {
            Wish::Save(wanted) => save(directory, &plugin, &wanted),
            Wish::Forget => directory.remove(&plugin),
        };
        if let Err(cause) = written {
            tracing::warn!(
                plugin,
                %cause,
                "the plugin's files cannot be saved; after a restart a file that was rolled back may serve again"
            );
        }
        queue.lock().is_writing = false;
        changed.notify_all();
    }
}

fn save(directory: &SavedDirectory, plugin: &str, wanted: &ToSave) -> io::Result<()> {
    let before = directory.read_record(plugin).unwrap_or_default().unwrap_or_default();
    for files in [&wanted.stands_by, &wanted.serves].into_iter().flatten() {
        if !directory.has(plugin, &files.id) {
            add(directory, plugin, wanted, files)?;
        }
    }
    let good = wanted.stands_by.as_ref().or(wanted.serves.as_ref()).map(|files| &files.id);
    // If files were replaced before they could be copied, the previous good pair remains.
    let good = good.filter(|id| directory.has(plugin, id)).or(before.good.as_ref());
    let record = Record::new(good.cloned(), wanted.rejected.clone());
    if record != before {
        directory.write_record(plugin, &record)?;
    }
    let alive = [&wanted.stands_by, &wanted.serves].into_iter().flatten().map(|files| &files.id);
    let kept: Vec<&PairId> = alive.chain(record.good.as_ref()).collect();
    directory.retain(plugin, &kept)
}

fn add(directory: &SavedDirectory, plugin: &str, wanted: &ToSave, files: &Files) -> io::Result<()> {
    let component = wanted.source.read_component().ok().filter(|bytes| digest(bytes) == files.id.component);
    match component {
        Some(component) => directory.add(plugin, &files.id, (&component, files.manifest.as_deref())),
        None => {
            tracing::debug!(plugin, "the plugin's component was replaced before it could be saved");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::component::fault::LoadFault;
    use crate::plugin::saved::Rejection;
    use crate::plugin::source::rights::Trust;
    use crate::plugin::status::Reason;
    use std::path::Path;
    use tempfile::TempDir;

    /// Bytes that look like a component.
    fn component(number: u8) -> Vec<u8> {
        [&b"\0asm\x0d\0\x01\0"[..], &[number]].concat()
    }

    fn files(number: u8) -> Files {
        Files { id: PairId { component: digest(&component(number)), manifest: None }, manifest: None }
    }

    struct Bench {
        home: TempDir,
        saved: Arc<SavedPlugins>,
    }

    impl Bench {
        fn open() -> Self {
            let home = tempfile::tempdir().unwrap();
            let (saved, found) = SavedPlugins::open(home.path().join("state")).unwrap();
            assert!(found.is_empty());
            Self { home, saved }
        }

        /// Puts a component into the plugin directory and saves what serves then.
        fn save(&self, lies_there: u8, [serves, stands_by]: [Option<u8>; 2], rejected: Option<u8>) -> Saved {
            let source = Source::new(self.home.path(), "p", Trust::Everybody);
            std::fs::write(&source.wasm, component(lies_there)).unwrap();
            let fault = LoadFault::new(Reason::RolledBack, "m");
            let rejected =
                rejected.and_then(|number| Rejection::of(files(number).id, &fault)).into_iter().collect();
            let [serves, stands_by] = [serves, stands_by].map(|number| number.map(files));
            self.saved.save("p", ToSave { source, serves, stands_by, rejected });
            self.found().remove("p").unwrap_or_default()
        }

        fn found(&self) -> BTreeMap<String, Saved> {
            self.saved.flush();
            self.state().load()
        }

        fn state(&self) -> SavedDirectory {
            SavedDirectory(Path::new(self.home.path()).join("state"))
        }
    }

    fn good(saved: &Saved) -> Option<PairId> {
        saved.good.as_ref().map(|good| good.id.clone())
    }

    #[test]
    fn the_pair_to_return_to_is_the_one_that_stands_by() {
        let bench = Bench::open();
        let first = bench.save(1, [Some(1), None], None);
        assert_eq!((good(&first), first.rejected.pairs()), (Some(files(1).id), Vec::new()));
        let on_probation = bench.save(2, [Some(2), Some(1)], None);
        assert_eq!(good(&on_probation), Some(files(1).id));
        assert!(bench.state().has("p", &files(2).id), "it may settle while its file is replaced");
        let settled = bench.save(9, [Some(2), None], None);
        assert_eq!(good(&settled), Some(files(2).id));
        assert!(!bench.state().has("p", &files(1).id), "what is not returned to is removed");
    }

    #[test]
    fn a_rollback_is_kept_until_other_files_serve() {
        let bench = Bench::open();
        bench.save(1, [Some(1), None], None);
        bench.save(2, [Some(2), Some(1)], None);
        let back = bench.save(2, [Some(1), None], Some(2));
        assert_eq!(good(&back), Some(files(1).id));
        assert_eq!(back.rejected.pairs(), [files(2).id]);
        let third = bench.save(3, [Some(3), Some(1)], None);
        assert_eq!((good(&third), third.rejected.pairs()), (Some(files(1).id), Vec::new()));
    }

    #[test]
    fn what_cannot_be_saved_costs_nothing_that_was() {
        let bench = Bench::open();
        bench.save(1, [Some(1), None], None);
        let replaced = bench.save(9, [Some(2), None], None);
        assert_eq!(good(&replaced), Some(files(1).id), "the copy of the second one came too late");
        let none = bench.save(9, [None, None], None);
        assert_eq!(good(&none), Some(files(1).id), "nothing serves, which proves nothing");
        bench.saved.forget("p");
        assert!(bench.found().is_empty());
        assert_eq!(good(&bench.save(3, [Some(3), None], None)), Some(files(3).id), "it begins anew");
    }
}
