//! Looks at the directory on a thread that may be held up: a file system that does not answer holds back what lies
//! on it and nothing else.

use crate::plugin::source::files::Source;
use crate::plugin::source::look::{Listing, Pair, View, is_partial, list};
use crate::plugin::source::rights::Trust;
use crate::plugin::source::standing::Standing;
use crate::plugin::source::waker::Waker;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::task::{JoinHandle, spawn_blocking};

/// How long one file may take to say what it is before the others are looked at without it.
const PATIENCE: Duration = Duration::from_millis(250);
/// Threads that may be held up at once. When there are more, links are not followed until some come back.
const STUCK_MAX: usize = 64;

/// Plugins whose files do not answer.
type Stuck = Arc<Mutex<BTreeSet<String>>>;

/// Takes looks, one at a time.
pub(super) struct Lookout {
    directory: PathBuf,
    /// Whose files are read.
    trust: Trust,
    waker: Waker,
    stuck: Stuck,
    last: Arc<View>,
    under_way: Option<(JoinHandle<io::Result<()>>, Arc<Trail>)>,
}

/// What a thread has seen so far.
#[derive(Debug, Default)]
struct Trail(Mutex<Walk>);

#[derive(Debug, Default)]
struct Walk {
    listing: Listing,
    view: View,
    /// The plugin whose files are being looked at, and since when.
    at: Option<(String, Instant)>,
    /// Nobody waits for this thread any more.
    is_given_up: bool,
}

impl Lookout {
    pub(super) fn new(directory: PathBuf, trust: Trust, waker: Waker) -> Self {
        Self { directory, trust, waker, stuck: Stuck::default(), last: Arc::default(), under_way: None }
    }

    /// Whether a look is being taken.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins a look, on a thread of the runtime.
    pub(super) fn begin(&mut self) {
        let trail = Arc::new(Trail::default());
        let (own, last) = (Arc::clone(&trail), Arc::clone(&self.last));
        let (directory, stuck, waker) = (self.directory.clone(), Arc::clone(&self.stuck), self.waker.clone());
        let trust = self.trust;
        let thread = spawn_blocking(move || {
            own.walk(&directory, &last, &stuck, &waker)?;
            own.read_manifests(&directory, trust, (&last, &stuck, &waker));
            Ok(())
        });
        self.under_way = Some((thread, trail));
    }

    /// What the look has found; waits for ever where none was begun. May be dropped and asked again.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) async fn end(&mut self) -> io::Result<Arc<View>> {
        let Some((thread, trail)) = self.under_way.as_mut() else { return std::future::pending().await };
        let walked = loop {
            if let Ok(ended) = tokio::time::timeout(PATIENCE, &mut *thread).await {
                break ended.map_err(io::Error::other).flatten();
            }
            if trail.give_up(&self.stuck) {
                break Ok(());
            }
        };
        let view = trail.view(&self.last, &self.stuck.lock());
        self.under_way = None;
        walked?;
        self.last = Arc::new(view);
        Ok(Arc::clone(&self.last))
    }
}

impl Trail {
    fn walk(&self, directory: &Path, last: &View, stuck: &Stuck, waker: &Waker) -> io::Result<()> {
        let listing = list(directory)?;
        self.0.lock().listing = listing.clone();
        let clock = SystemTime::now();
        for (name, is_link) in &listing.components {
            {
                let stuck = stuck.lock();
                if stuck.contains(name) || (*is_link && stuck.len() >= STUCK_MAX) {
                    continue;
                }
            }
            self.0.lock().at = Some((name.clone(), Instant::now()));
            let pair = listing.look_at(directory, name, *is_link);
            let is_partial = pair.is_some_and(|pair| match last.look.get(name) {
                Some(before) if *before == pair && !last.partial.contains(name) => false,
                _ => is_partial(directory, name, &pair, clock),
            });
            let mut walk = self.0.lock();
            if walk.is_given_up {
                stuck.lock().remove(name);
                waker.wake();
                return Ok(());
            }
            walk.at = None;
            walk.view.look.extend(pair.map(|pair| (name.clone(), pair)));
            walk.view.partial.extend(is_partial.then(|| name.clone()));
        }
        Ok(())
    }

    /// Reads what manifests say, also of plugins without a component.
    fn read_manifests(&self, directory: &Path, trust: Trust, (last, stuck, waker): (&View, &Stuck, &Waker)) {
        let names = self.0.lock().listing.manifests.clone();
        for name in names.into_iter().filter(|name| Source::check_name(name).is_ok()) {
            if stuck.lock().contains(&name) || self.0.lock().is_given_up {
                continue;
            }
            self.0.lock().at = Some((name.clone(), Instant::now()));
            let source = Source::new(directory, &name, trust);
            let standing = Standing::look(&source, last.manifests.get(&name));
            let mut walk = self.0.lock();
            if walk.is_given_up {
                stuck.lock().remove(&name);
                waker.wake();
                return;
            }
            walk.at = None;
            walk.view.manifests.extend(standing.map(|standing| (name, standing)));
        }
    }

    /// Goes on without the file that holds the thread up, where one does.
    fn give_up(&self, stuck: &Stuck) -> bool {
        let mut walk = self.0.lock();
        let Some((name, _)) = walk.at.take_if(|(_, since)| since.elapsed() >= PATIENCE) else { return false };
        tracing::warn!(plugin = name, "the file system does not say what the plugin's files are");
        stuck.lock().insert(name);
        walk.is_given_up = true;
        true
    }

    /// What was seen; what was not is as it was.
    fn view(&self, last: &View, stuck: &BTreeSet<String>) -> View {
        let mut walk = self.0.lock();
        let Listing { components, manifests, place, .. } = std::mem::take(&mut walk.listing);
        let mut view = std::mem::take(&mut walk.view);
        view.place = place;
        for (name, standing) in &last.manifests {
            let is_missed = walk.is_given_up || stuck.contains(name);
            if is_missed && manifests.contains(name) && !view.manifests.contains_key(name) {
                view.manifests.insert(name.clone(), standing.clone());
            }
        }
        for (name, _) in components {
            let is_missed = stuck.contains(&name) || !walk.is_given_up;
            match (view.look.contains_key(&name), last.look.get(&name)) {
                (true, _) => {}
                // Its directory may have become unreadable, which is no removal.
                (false, Some(pair)) => _ = view.look.insert(name, *pair),
                // Reading it will show what is wrong with it.
                (false, None) if is_missed => _ = view.look.insert(name, Pair::default()),
                (false, None) => {}
            }
        }
        view
    }
}
