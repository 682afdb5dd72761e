//! Events of the directory. They only say where to look sooner: a look decides.

use crate::plugin::source::look::Place;
use crate::plugin::source::settling::Hint;
use crate::plugin::source::waker::Waker;
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// How often watching is tried again where it cannot be.
const RETRY: Duration = Duration::from_secs(30);

/// Watches one directory, by whatever place its path leads to.
#[derive(Debug, Default)]
pub(super) struct Events {
    watcher: Option<RecommendedWatcher>,
    /// One that is being made, which takes as long as the file system likes.
    coming: Option<Receiver<notify::Result<RecommendedWatcher>>>,
    /// Whether the one that is being made may watch a place where the directory was before.
    is_outdated: bool,
    /// The place that is watched, once that is known.
    place: Option<Place>,
    tried: Option<Instant>,
    has_complained: bool,
}

impl Events {
    /// Begins to watch the place where the directory is now, and wakes when that is so.
    pub(super) fn follow(&mut self, directory: &Path, waker: &Waker) {
        self.tried = Some(Instant::now());
        self.is_outdated = self.coming.is_some();
        if self.is_outdated {
            return;
        }
        let (made, coming) = sync_channel(1);
        let (path, waker) = (directory.to_owned(), waker.clone());
        let begun = std::thread::Builder::new().name("plugin-watch".to_owned()).spawn(move || {
            // Nobody listens once the host is gone.
            made.send(watch(&path, waker.clone())).ok();
            waker.wake();
        });
        match begun {
            Ok(_) => self.coming = Some(coming),
            Err(cause) => self.take(directory, Err(cause.into())),
        }
    }

    /// Takes what was begun, where it is done.
    pub(super) fn collect(&mut self, directory: &Path, waker: &Waker) {
        let Some(made) = self.coming.as_ref().and_then(|coming| coming.try_recv().ok()) else { return };
        self.coming = None;
        if self.is_outdated {
            return self.follow(directory, waker);
        }
        self.take(directory, made);
    }

    fn take(&mut self, directory: &Path, made: notify::Result<RecommendedWatcher>) {
        match made {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.has_complained = false;
            }
            Err(cause) => {
                self.watcher = None;
                if !std::mem::replace(&mut self.has_complained, true) {
                    let directory = directory.display();
                    tracing::warn!(%directory, %cause, "the plugin directory cannot be watched; it is looked at \
                                                        twice a second instead");
                }
            }
        }
    }

    /// Whether what is watched is another place than the one where the directory was seen: it was replaced, and no
    /// event tells of the new one. Also where it could not be watched for a while.
    pub(super) fn is_elsewhere(&mut self, place: Option<Place>, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.place, place);
        let may_retry = self.tried.is_none_or(|tried| now.saturating_duration_since(tried) >= RETRY);
        (before.is_some() && before != place) || (self.watcher.is_none() && may_retry)
    }

    /// The directory is not there; what comes in its place is another one, whatever its number.
    pub(super) fn lose(&mut self) {
        (self.watcher, self.tried) = (None, None);
        self.is_outdated = self.coming.is_some();
    }
}

fn watch(directory: &Path, waker: Waker) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        match event {
            Ok(event) if event.need_rescan() => waker.tell([Hint::Lost]),
            // Reading the files is an event of its own, and must not wake the reader again.
            Ok(event) if is_only_read(event.kind) => {}
            Ok(event) => waker.tell(hint(&event)),
            Err(_) => waker.tell([Hint::Lost]),
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
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
