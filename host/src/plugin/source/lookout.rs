//! Looks at the directory on a thread that may be held up: a file system that does not answer holds back what lies
//! on it and nothing else.

use crate::plugin::adapter::complaint::Complaint;
use crate::plugin::source::board::{Board, File, Finding, Next, Patience, Step};
use crate::plugin::source::disk::Disk;
use crate::plugin::source::look::View;
use crate::plugin::source::waker::Waker;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a file system may take to answer.
pub(super) const PATIENCE: Patience =
    Patience { file: Duration::from_millis(250), names: Duration::from_secs(5) };

/// Takes looks, one at a time.
pub(super) struct Lookout {
    disk: Arc<dyn Disk>,
    waker: Waker,
    board: Arc<Mutex<Board>>,
    last: Arc<View>,
    under_way: Option<oneshot::Receiver<io::Result<()>>>,
    patience: Patience,
    /// What people were told, so that a file that is slow each time is one complaint.
    complaints: BTreeMap<Step, Complaint>,
}

impl Lookout {
    pub(super) fn new(disk: impl Disk, waker: Waker) -> Self {
        Self {
            disk: Arc::new(disk),
            waker,
            board: Arc::default(),
            last: Arc::default(),
            under_way: None,
            patience: PATIENCE,
            complaints: BTreeMap::new(),
        }
    }

    /// Whether a look is being taken.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins a look, on a thread of its own: those of the runtime may all be held up by files.
    pub(super) fn begin(&mut self) {
        let number = self.board.lock().begin(Instant::now());
        let (disk, board, waker) = (Arc::clone(&self.disk), Arc::clone(&self.board), self.waker.clone());
        let walk = Walk { number, disk, board, last: Arc::clone(&self.last), waker };
        let (ended, under_way) = oneshot::channel();
        let thread = std::thread::Builder::new().name("plugin-look".to_owned());
        let begun = thread.spawn(move || {
            // Nobody listens to a look that was given up.
            ended.send(walk.go()).ok();
        });
        if let Err(cause) = begun {
            tracing::debug!(%cause, "no thread can be started to look at the plugin directory");
        }
        self.under_way = Some(under_way);
    }

    /// What the look has found; waits for ever where none was begun. May be dropped and asked again.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) async fn end(&mut self) -> io::Result<Arc<View>> {
        let Some(under_way) = self.under_way.as_mut() else { return std::future::pending().await };
        let walked = loop {
            // Counted from when the step began, however often this is asked again.
            let deadline = self.board.lock().deadline(Instant::now(), self.patience);
            if let Ok(ended) = tokio::time::timeout_at(deadline.into(), &mut *under_way).await {
                break ended.map_err(|_| io::Error::other("the thread that looks at it is gone")).flatten();
            }
            let held_up = self.board.lock().give_up(Instant::now(), self.patience);
            let Some(step) = held_up else { continue };
            if self.complaints.entry(step.clone()).or_default().is_due("", Instant::now()) {
                complain(&step);
            }
            if matches!(step, Step::File(_)) {
                break Ok(());
            }
        };
        self.under_way = None;
        walked?;
        let mut board = self.board.lock();
        self.last = Arc::new(board.view(&self.last));
        self.complaints.retain(|step, _| board.has(step));
        drop(board);
        Ok(Arc::clone(&self.last))
    }
}

fn complain(step: &Step) {
    match step {
        Step::Names => tracing::warn!(
            "the file system of the plugin directory does not answer; what was loaded serves on"
        ),
        Step::File(File::Manifest(plugin)) => {
            tracing::warn!(plugin, "the file system does not say what the plugin's manifest is");
        }
        Step::File(File::Component(plugin)) => {
            tracing::warn!(plugin, "the file system does not say what the plugin's files are");
        }
    }
}

/// The side of one thread.
struct Walk {
    number: u64,
    disk: Arc<dyn Disk>,
    board: Arc<Mutex<Board>>,
    last: Arc<View>,
    waker: Waker,
}

impl Walk {
    fn go(&self) -> io::Result<()> {
        let listing = Arc::new(self.disk.list()?);
        let files = listing.files();
        self.board.lock().note_names(&listing);
        for (file, is_link) in files {
            let next = self.board.lock().next(self.number, &file, is_link, Instant::now());
            match next {
                Next::Look => {}
                Next::Skip => continue,
                Next::End => return Ok(()),
            }
            let finding = match &file {
                File::Manifest(name) => {
                    Finding::Manifest(self.disk.manifest(name, self.last.manifests.get(name)))
                }
                File::Component(name) => {
                    Finding::Component(self.disk.component(&listing, name, is_link, &self.last))
                }
            };
            let is_late = self.board.lock().note(self.number, file, finding);
            if is_late {
                self.waker.wake();
                return Ok(());
            }
        }
        self.board.lock().note_end(self.number);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::source::disk::{Component, Directory};
    use crate::plugin::source::look::Listing;
    use crate::plugin::source::rights::Trust;
    use crate::plugin::source::standing::Standing;
    use parking_lot::Condvar;
    use std::collections::BTreeSet;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// Much longer than anything here takes.
    const BOUND: Duration = Duration::from_secs(30);

    /// A directory on a disk that can be told not to answer.
    #[derive(Clone)]
    struct Sick {
        real: Directory,
        state: Arc<(Mutex<State>, Condvar)>,
    }

    #[derive(Default)]
    struct State {
        hung: BTreeSet<String>,
        /// What was asked for, in order.
        asked: Vec<String>,
        /// How long each answer takes.
        pauses: Vec<Duration>,
    }

    impl Sick {
        fn ask(&self, what: &str) {
            let (state, changed) = &*self.state;
            let mut state = state.lock();
            state.asked.push(what.to_owned());
            changed.notify_all();
            let pause = state.pauses.pop();
            while state.hung.contains(what) {
                changed.wait(&mut state);
            }
            drop(state);
            pause.inspect(|pause| std::thread::sleep(*pause));
        }

        fn hang(&self, what: &[&str]) {
            let (state, changed) = &*self.state;
            state.lock().hung = what.iter().map(|what| (*what).to_owned()).collect();
            changed.notify_all();
        }

        fn take_asked(&self) -> Vec<String> {
            std::mem::take(&mut self.state.0.lock().asked)
        }
    }

    impl Disk for Sick {
        fn list(&self) -> io::Result<Listing> {
            self.ask("names");
            self.real.list()
        }

        fn component(&self, listing: &Listing, name: &str, is_link: bool, last: &View) -> Option<Component> {
            self.ask(&format!("{name}.wasm"));
            self.real.component(listing, name, is_link, last)
        }

        fn manifest(&self, name: &str, last: Option<&Standing>) -> Option<Standing> {
            self.ask(&format!("{name}.yaml"));
            self.real.manifest(name, last)
        }
    }

    /// Files of these names, and links that lead to others.
    fn sick(files: &[&str], links: &[&str]) -> (TempDir, Sick, Lookout, Waker) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(dir.path().join(file), b"x").unwrap();
        }
        for link in links {
            let target = format!("..{link}");
            std::fs::write(dir.path().join(&target), b"x").unwrap();
            symlink(target, dir.path().join(link)).unwrap();
        }
        let real = Directory { path: dir.path().to_owned(), trust: Trust::Everybody };
        let sick = Sick { real, state: Arc::default() };
        let waker = Waker::default();
        let lookout = Lookout::new(sick.clone(), waker.clone());
        (dir, sick, lookout, waker)
    }

    async fn look(lookout: &mut Lookout) -> Arc<View> {
        lookout.begin();
        tokio::time::timeout(BOUND, lookout.end()).await.expect("the look does not end").unwrap()
    }

    fn names(view: &View) -> Vec<&str> {
        view.look.keys().map(String::as_str).collect()
    }

    #[tokio::test]
    async fn manifests_are_read_before_components_and_links_follow_plain_files() {
        let (_dir, sick, mut lookout, _) =
            sick(&["a.yaml", "b.wasm", "c.wasm"], &["a.wasm", "0.yaml", "d.yaml"]);
        let view = look(&mut lookout).await;
        assert_eq!(sick.take_asked(), ["names", "a.yaml", "0.yaml", "d.yaml", "b.wasm", "c.wasm", "a.wasm"]);
        assert!(view.knows_manifests && !view.is_cut_short);
        assert_eq!(view.manifests.len(), 3);
        assert!(view.look.values().all(|pair| pair.component.size == 1), "{view:?}");
    }

    #[tokio::test]
    async fn a_file_that_hangs_holds_up_itself_only_and_what_it_says_late_counts() {
        let (_dir, sick, mut lookout, waker) = sick(&["a.wasm", "a.yaml", "b.wasm"], &["k.wasm", "l.wasm"]);
        sick.hang(&["k.wasm"]);
        let view = look(&mut lookout).await;
        assert!(view.is_cut_short && view.knows_manifests && view.manifests.contains_key("a"));
        assert_eq!(names(&view), ["a", "b", "k"], "it is to be refused, the one after it is not known yet");
        let view = look(&mut lookout).await;
        assert!(!view.is_cut_short);
        assert_eq!(names(&view), ["a", "b", "k", "l"]);
        assert_eq!(view.look["k"].component.size, 0, "nothing is known of it");
        assert_eq!(sick.take_asked().iter().filter(|what| *what == "k.wasm").count(), 1, "one thread hangs");
        sick.hang(&[]);
        tokio::time::timeout(BOUND, waker.woken()).await.expect("nobody hears that it answered");
        let view = look(&mut lookout).await;
        assert_eq!(view.look["k"].component.size, 1);
        assert!(!sick.take_asked().contains(&"k.wasm".to_owned()), "it has said it already");
        look(&mut lookout).await;
        assert!(sick.take_asked().contains(&"k.wasm".to_owned()), "what it said does not count for ever");
    }

    #[tokio::test]
    async fn manifests_that_hang_hold_up_neither_others_nor_the_start() {
        let (_dir, sick, mut lookout, _) = sick(&["b.wasm", "b.yaml"], &["k.yaml", "l.yaml"]);
        sick.hang(&["k.yaml", "l.yaml"]);
        for knows in [false, false, true] {
            let view = look(&mut lookout).await;
            assert!(view.manifests.contains_key("b"), "it is read in the first look");
            assert_eq!(view.knows_manifests, knows);
        }
        assert_eq!(names(&lookout.last), ["b"]);
        sick.hang(&[]);
    }

    #[tokio::test]
    async fn whoever_is_woken_all_the_time_gives_up_as_well() {
        let (_dir, sick, mut lookout, _) = sick(&["b.wasm"], &["k.wasm"]);
        sick.hang(&["k.wasm"]);
        lookout.begin();
        let began = Instant::now();
        let view = loop {
            assert!(began.elapsed() < BOUND, "nobody gives up");
            tokio::select! {
                view = lookout.end() => break view.unwrap(),
                () = tokio::time::sleep(PATIENCE.file / 10) => {}
            }
        };
        assert!(view.is_cut_short && view.look.contains_key("b"));
        sick.hang(&[]);
    }

    #[tokio::test]
    async fn names_that_do_not_come_are_waited_for_by_one_thread() {
        let (_dir, sick, mut lookout, _) = sick(&["b.wasm"], &[]);
        lookout.patience.names = Duration::from_millis(5);
        sick.hang(&["names"]);
        lookout.begin();
        let began = Instant::now();
        while lookout.complaints.is_empty() {
            assert!(began.elapsed() < BOUND, "nobody is told");
            tokio::time::timeout(Duration::from_millis(20), lookout.end()).await.unwrap_err();
        }
        assert!(lookout.is_busy());
        assert!(!lookout.complaints[&Step::Names].is_due("", Instant::now()), "it was said");
        sick.hang(&[]);
        let view = tokio::time::timeout(BOUND, lookout.end()).await.expect("it is not waited for").unwrap();
        assert_eq!(
            (names(&view), sick.take_asked()),
            (vec!["b"], vec!["names".to_owned(), "b.wasm".to_owned()])
        );
        assert!(lookout.complaints.is_empty(), "the next time is another one");
    }

    #[tokio::test]
    async fn threads_that_come_back_while_they_are_given_up_lock_nobody_out() {
        let files: Vec<String> = (0..8).flat_map(|n| [format!("f{n}.wasm"), format!("f{n}.yaml")]).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let (_dir, sick, mut lookout, _) = sick(&files, &[]);
        lookout.patience.file = Duration::from_millis(2);
        for round in 0..50 {
            // One of them answers at about the moment at which it is given up.
            let pauses =
                (0..17).map(|n| Duration::from_micros(if n == round % 17 { 1_900 + round * 8 } else { 0 }));
            sick.state.0.lock().pauses = pauses.collect();
            look(&mut lookout).await;
        }
        lookout.patience = PATIENCE;
        sick.state.0.lock().pauses.clear();
        let began = Instant::now();
        while look(&mut lookout).await.is_cut_short || !lookout.board.lock().is_free() {
            assert!(began.elapsed() < BOUND, "a file counts as hung that is not");
            tokio::task::yield_now().await;
        }
        assert_eq!(lookout.last.look.len(), 8);
    }
}
