//! Which files are complete, and which are still being written.
//!
//! A writer that truncates a file and fills it later leaves an empty or partial file in between, which must not count
//! as the operator's intent. inotify reports when a writer closes a file. Where inotify reports nothing (network file
//! systems, writes through mapped memory), a file counts as complete once it has not changed for [`QUIET`]. A file
//! that was renamed into place is complete at once: its inode is another one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

/// A file without an event that says it is complete counts once it has not changed for this long.
pub(super) const QUIET: Duration = Duration::from_secs(5);

/// Distinguishes versions of a file without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileState {
    pub(super) modified: Option<SystemTime>,
    pub(super) size: u64,
    pub(super) inode: u64,
}

/// The files of the directory, by name.
pub(super) type Files = BTreeMap<String, FileState>;

/// The last event that the system reported for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileEvent {
    /// The name is new: a file that is about to be written, or a link.
    Created,
    /// A writer is writing to it.
    Written,
    /// Its writer has closed it, or it was renamed into place.
    Completed,
    /// The name is gone.
    Removed,
}

/// The last event of each file that was not applied since.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<String, FileEvent>);

impl Heard {
    pub(super) fn note(&mut self, name: &str, event: FileEvent) {
        match event {
            FileEvent::Removed => _ = self.0.remove(name),
            event => _ = self.0.insert(name.to_owned(), event),
        }
    }

    /// Events were lost, so earlier events do not count.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }
}

/// Which files must wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// These are being written; their contents do not count yet.
    pub(super) in_progress: BTreeSet<String>,
    /// These count, but may still grow: nothing is removed because they lack it.
    pub(super) young: BTreeSet<String>,
}

/// Follows the files of one directory.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Their state when they last counted.
    applied: Files,
    has_looked: bool,
    /// Files that are waited for: the last state that was seen, and since when.
    waiting: BTreeMap<String, (FileState, Instant)>,
}

impl Progress {
    /// Whether a file is smaller than when it last counted.
    pub(super) fn has_shrunk(&self, name: &str, state: &FileState) -> bool {
        self.applied.get(name).is_some_and(|applied| state.size < applied.size)
    }

    /// Judges the files as they are now.
    pub(super) fn judge(&mut self, files: &Files, heard: &Heard, now: Instant, clock: SystemTime) -> Verdict {
        let mut verdict = Verdict::default();
        self.waiting.retain(|name, _| files.contains_key(name));
        for (name, state) in files {
            let is_waited_for = match self.applied.get(name) {
                Some(applied) if applied == state => false,
                _ if !self.has_looked => false,
                applied => match heard.0.get(name) {
                    // Whatever opens a file and closes it completes it, such as `touch`, while another writer may
                    // have truncated it.
                    Some(FileEvent::Completed) => state.size == 0 && applied.is_some_and(|old| old.size > 0),
                    // A link to an existing file. A new file is empty until its writer has written.
                    Some(FileEvent::Created) => state.size == 0,
                    Some(_) => true,
                    None => applied.is_none_or(|applied| applied.inode == state.inode),
                },
            };
            let may_grow = !self.has_looked && is_young(state, clock);
            if is_waited_for && !self.is_quiet(name, state, now) {
                verdict.in_progress.insert(name.clone());
            } else if (may_grow || self.is_still_young(name, state)) && !self.is_quiet(name, state, now) {
                verdict.young.insert(name.clone());
            } else {
                self.waiting.remove(name);
            }
        }
        verdict
    }

    /// Whether a file was recent at the first scan and has not changed since.
    fn is_still_young(&self, name: &str, state: &FileState) -> bool {
        self.applied.get(name) == Some(state) && self.waiting.get(name).is_some_and(|(seen, _)| seen == state)
    }

    /// Whether a file that is waited for has not changed for long enough.
    fn is_quiet(&mut self, name: &str, state: &FileState, now: Instant) -> bool {
        let (seen, since) = self.waiting.entry(name.to_owned()).or_insert((*state, now));
        if seen != state {
            (*seen, *since) = (*state, now);
        }
        now.duration_since(*since) >= QUIET
    }

    /// Records the files that counted. Their events have been handled.
    pub(super) fn apply(&mut self, files: &Files, verdict: &Verdict, heard: &mut Heard) {
        self.has_looked = true;
        self.applied.retain(|name, _| files.contains_key(name));
        for (name, state) in files.iter().filter(|(name, _)| !verdict.in_progress.contains(*name)) {
            self.applied.insert(name.clone(), *state);
            if heard.0.get(name).is_some_and(|event| *event != FileEvent::Written) {
                heard.0.remove(name);
            }
        }
        heard.0.retain(|name, _| files.contains_key(name));
    }

    /// How long until a file that is waited for may count.
    pub(super) fn next_due(&self, now: Instant) -> Option<Duration> {
        self.waiting.values().map(|(_, since)| (*since + QUIET).saturating_duration_since(now)).min()
    }
}

/// Whether a file may be half written although no event reported a writer.
fn is_young(state: &FileState, clock: SystemTime) -> bool {
    state.modified.is_none_or(|modified| clock.duration_since(modified).is_ok_and(|age| age < QUIET))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        progress: Progress,
        heard: Heard,
        start: Instant,
    }

    fn state(size: u64, inode: u64) -> FileState {
        FileState { modified: Some(SystemTime::UNIX_EPOCH), size, inode }
    }

    impl Bench {
        /// Has seen `a.yaml` with 100 bytes and inode 1.
        fn new() -> Self {
            let mut bench =
                Self { progress: Progress::default(), heard: Heard::default(), start: Instant::now() };
            assert_eq!(bench.look(&[("a.yaml", state(100, 1))], 0), "");
            bench
        }

        /// The files that are in progress `at` these seconds.
        fn look(&mut self, files: &[(&str, FileState)], at: u64) -> String {
            let files: Files = files.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect();
            let now = self.start + Duration::from_secs(at);
            let verdict = self.progress.judge(&files, &self.heard, now, SystemTime::now());
            assert_eq!(verdict.young, BTreeSet::new());
            self.progress.apply(&files, &verdict, &mut self.heard);
            verdict.in_progress.into_iter().collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn a_file_counts_once_its_writer_has_closed_it() {
        let mut bench = Bench::new();
        bench.heard.note("a.yaml", FileEvent::Written);
        assert_eq!(bench.look(&[("a.yaml", state(0, 1))], 1), "a.yaml");
        assert_eq!(bench.look(&[("a.yaml", state(40, 1))], 4), "a.yaml");
        assert_eq!(bench.look(&[("a.yaml", state(60, 1))], 8), "a.yaml");
        bench.heard.note("a.yaml", FileEvent::Completed);
        assert_eq!(bench.look(&[("a.yaml", state(60, 1))], 9), "");
        // Another writer is waited for again.
        bench.heard.note("a.yaml", FileEvent::Written);
        assert_eq!(bench.look(&[("a.yaml", state(0, 1))], 10), "a.yaml");
    }

    #[test]
    fn a_file_that_became_empty_waits_for_a_second_writer() {
        let mut bench = Bench::new();
        bench.heard.note("a.yaml", FileEvent::Completed);
        assert_eq!(bench.look(&[("a.yaml", state(0, 1))], 1), "a.yaml");
        bench.heard.note("a.yaml", FileEvent::Completed);
        assert_eq!(bench.look(&[("a.yaml", state(90, 1))], 2), "");
        bench.heard.note("a.yaml", FileEvent::Completed);
        assert_eq!(bench.look(&[("a.yaml", state(0, 1))], 3), "a.yaml");
        assert_eq!(bench.look(&[("a.yaml", state(0, 1))], 8), "", "it stays empty");
    }

    #[test]
    fn a_file_that_is_never_closed_counts_when_it_is_quiet() {
        let mut bench = Bench::new();
        bench.heard.note("a.yaml", FileEvent::Written);
        assert_eq!(bench.look(&[("a.yaml", state(0, 1))], 1), "a.yaml");
        assert_eq!(
            bench.progress.next_due(bench.start + Duration::from_secs(2)),
            Some(Duration::from_secs(4))
        );
        assert_eq!(bench.look(&[("a.yaml", state(0, 1))], 5), "a.yaml");
        assert_eq!(bench.look(&[("a.yaml", state(0, 1))], 6), "");
        assert_eq!(bench.progress.next_due(bench.start), None);
    }

    #[test]
    fn without_events_a_file_counts_when_it_is_quiet() {
        for size in [0, 50, 100, 150] {
            let mut bench = Bench::new();
            let changed = FileState { modified: Some(SystemTime::now()), ..state(size, 1) };
            assert_eq!(bench.look(&[("a.yaml", changed)], 1), "a.yaml", "{size}");
            assert_eq!(bench.look(&[("a.yaml", changed)], 6), "", "{size}");
        }
    }

    #[test]
    fn a_file_that_was_renamed_into_place_counts_at_once() {
        let mut bench = Bench::new();
        assert_eq!(bench.look(&[("a.yaml", state(50, 2))], 1), "");
        bench.heard.note("b.yaml", FileEvent::Completed);
        assert_eq!(bench.look(&[("a.yaml", state(50, 2)), ("b.yaml", state(1, 3))], 2), "");
        // A new file that is written in place is not complete.
        bench.heard.note("c.yaml", FileEvent::Created);
        assert_eq!(bench.look(&[("c.yaml", state(0, 4))], 3), "c.yaml");
        bench.heard.note("c.yaml", FileEvent::Written);
        assert_eq!(bench.look(&[("c.yaml", state(10, 4))], 4), "c.yaml");
        bench.heard.note("c.yaml", FileEvent::Completed);
        assert_eq!(bench.look(&[("c.yaml", state(20, 4))], 5), "");
        // A link is complete as soon as it is there.
        bench.heard.note("d.yaml", FileEvent::Created);
        assert_eq!(bench.look(&[("d.yaml", state(10, 5))], 6), "");
    }

    #[test]
    fn one_file_does_not_hold_up_another() {
        let mut bench = Bench::new();
        bench.heard.note("a.yaml", FileEvent::Written);
        bench.heard.note("b.yaml", FileEvent::Completed);
        assert_eq!(bench.look(&[("a.yaml", state(0, 1)), ("b.yaml", state(10, 2))], 1), "a.yaml");
        assert!(bench.progress.has_shrunk("a.yaml", &state(99, 1)));
        assert!(!bench.progress.has_shrunk("b.yaml", &state(10, 2)));
    }

    #[test]
    fn a_file_that_was_written_just_before_the_first_look_may_still_grow() {
        let clock = SystemTime::now();
        let young = FileState { modified: Some(clock), ..state(10, 1) };
        let files: Files = [("a.yaml".to_owned(), young), ("b.yaml".to_owned(), state(10, 2))].into();
        let (mut progress, mut heard, start) = (Progress::default(), Heard::default(), Instant::now());
        for (at, expected) in [(0, 1), (2, 1), (5, 0), (9, 0)] {
            let verdict = progress.judge(&files, &heard, start + Duration::from_secs(at), clock);
            assert_eq!((verdict.in_progress.len(), verdict.young.len()), (0, expected), "{at}");
            progress.apply(&files, &verdict, &mut heard);
        }
    }
}
