//! Which change in the plugin directory is ripe.

use crate::plugin::source::look::{Look, Pair};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

/// How far two equal looks must lie apart before a file is taken of which nobody said that it is whole.
const SETTLE: Duration = Duration::from_millis(200);
/// The same for a file that was closed or renamed: just long enough for the other half of a pair to follow.
const BRISK: Duration = Duration::from_millis(40);
/// How long a file must be away before it counts as removed: replacing by delete and copy shall not flap. With a
/// look each [`RESCAN`] a removal is in effect within two seconds even where no event tells of it.
const GRACE: Duration = Duration::from_millis(1_400);
/// How often the directory is looked at without an event: some file systems send none.
pub(super) const RESCAN: Duration = Duration::from_millis(500);
/// What has not changed for so long is not being written.
const RESTED: Duration = Duration::from_secs(2);
/// How long a plugin is waited for before people are told.
const RESTLESS: Duration = Duration::from_secs(5);
/// How long a writer may stay silent before nobody waits for it to close the file.
const SILENCE: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Load it, for the first time or again.
    Load(String),
    /// Forget it.
    Remove(String),
}

impl Change {
    /// What is to be forgotten.
    pub(super) fn removed(&self) -> Option<&str> {
        match self {
            Self::Remove(name) => Some(name),
            Self::Load(_) => None,
        }
    }
}

/// What an event says about a file of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// It is being written, and will be closed.
    Writing(String),
    /// It was closed by its writer, or renamed into place.
    Whole(String),
    /// A link to whole files changed, as Kubernetes' `..data` does.
    AllWhole,
    /// Events were lost, so that nothing heard before counts.
    Lost,
}

/// The plugin that a file of that name belongs to.
fn plugin_of(file: &str) -> Option<&str> {
    file.strip_suffix(".wasm").or_else(|| file.strip_suffix(".yaml"))
}

/// Remembers looks and tells which changes have settled.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    taken: Look,
    settling: BTreeMap<String, (Pair, Instant)>,
    /// Since when plugins are waited for, whatever they looked like in between.
    waiting: BTreeMap<String, Instant>,
    missing: BTreeMap<String, Instant>,
    /// Files that are being written, and when that was last seen.
    writing: BTreeMap<String, Instant>,
    /// Plugins of which a file was said to be whole.
    whole: BTreeSet<String>,
    /// Plugins that are taken once more as they are.
    again: BTreeSet<String>,
    /// Plugins that are waited for without a look of their own.
    arriving: BTreeSet<String>,
    looked: bool,
}

impl Tracker {
    /// Takes an event into account. Events are only hints: a look decides, and finds what no event told.
    pub(super) fn hear(&mut self, hint: Hint, now: Instant) {
        match hint {
            Hint::Writing(file) => {
                if let Some(name) = plugin_of(&file) {
                    self.whole.remove(name);
                    self.writing.insert(file, now);
                }
            }
            Hint::Whole(file) => {
                self.writing.remove(&file);
                if let Some(name) = plugin_of(&file) {
                    self.whole.insert(name.to_owned());
                    // What is written through memory changes neither size nor time.
                    if self.taken.contains_key(name) {
                        self.again.insert(name.to_owned());
                    }
                }
            }
            Hint::AllWhole => {
                self.whole.extend(self.taken.keys().cloned());
                self.whole.extend(self.settling.keys().cloned());
            }
            Hint::Lost => self.writing.clear(),
        }
    }

    /// Takes one look into account. `arriving` says whether a plugin's component seems to be there in part only.
    pub(super) fn observe(
        &mut self,
        look: &Look,
        now: Instant,
        clock: SystemTime,
        arriving: impl Fn(&str) -> bool,
    ) -> Vec<Change> {
        self.settling.retain(|name, _| look.contains_key(name));
        self.waiting.retain(|name, _| look.contains_key(name));
        self.missing.retain(|name, _| !look.contains_key(name));
        self.writing.retain(|_, last| now.duration_since(*last) < SILENCE);
        self.arriving.clear();
        let mut changes = Vec::new();
        for (name, pair) in look {
            if self.taken.get(name) == Some(pair) && !self.again.contains(name) {
                self.settling.remove(name);
                self.waiting.remove(name);
                self.whole.remove(name);
                continue;
            }
            let settled = self.settling.get(name).filter(|(seen, _)| seen == pair).map(|(_, since)| *since);
            let since = settled.unwrap_or(now);
            self.settling.insert(name.clone(), (*pair, since));
            self.waiting.entry(name.clone()).or_insert(now);
            let waits = self.is_written(name)
                || now.duration_since(since) < self.settling_time(name, pair, clock)
                || (!self.whole.contains(name) && arriving(name) && self.arriving.insert(name.clone()));
            if !waits {
                self.settling.remove(name);
                self.waiting.remove(name);
                self.whole.remove(name);
                self.again.remove(name);
                self.taken.insert(name.clone(), *pair);
                changes.push(Change::Load(name.clone()));
            }
        }
        self.looked = true;
        changes.extend(self.removals(look, now));
        changes
    }

    fn removals(&mut self, look: &Look, now: Instant) -> Vec<Change> {
        let gone: Vec<String> = self.taken.keys().filter(|name| !look.contains_key(*name)).cloned().collect();
        let mut changes = Vec::new();
        for name in gone {
            let since = *self.missing.entry(name.clone()).or_insert(now);
            if now.duration_since(since) >= GRACE {
                self.missing.remove(&name);
                self.taken.remove(&name);
                self.whole.remove(&name);
                self.again.remove(&name);
                changes.push(Change::Remove(name));
            }
        }
        changes
    }

    fn is_written(&self, name: &str) -> bool {
        ["wasm", "yaml"].iter().any(|suffix| self.writing.contains_key(&format!("{name}.{suffix}")))
    }

    fn settling_time(&self, name: &str, pair: &Pair, clock: SystemTime) -> Duration {
        let had_manifest = self.taken.get(name).is_some_and(|taken| taken.manifest.is_some());
        if had_manifest && pair.manifest.is_none() {
            // An editor may be about to put it back, and without it the plugin would lose its grants.
            return GRACE;
        }
        let files = [Some(pair.component), pair.manifest];
        let rested = files.iter().flatten().all(|file| file.unchanged_for(RESTED, clock));
        match (rested, self.looked) {
            (true, false) => Duration::ZERO,
            (true, true) => BRISK,
            (false, _) if self.whole.contains(name) => BRISK,
            (false, _) => SETTLE,
        }
    }

    /// Plugins whose files have not come to rest for a while.
    pub(super) fn restless(&self, now: Instant) -> BTreeMap<String, Instant> {
        let is_long = |since: Instant| now.saturating_duration_since(since) >= RESTLESS;
        self.waiting
            .iter()
            .filter(|(_, since)| is_long(**since))
            .map(|(n, since)| (n.clone(), *since))
            .collect()
    }

    /// Takes these once more, though nothing has changed.
    pub(super) fn take_again(&mut self, names: &BTreeSet<String>) {
        self.again.extend(names.iter().filter(|name| self.taken.contains_key(*name)).cloned());
    }

    /// Whether there was a look at all.
    pub(super) fn has_looked(&self) -> bool {
        self.looked
    }

    /// When the next look is due: soon where something settles, and when a removal is to take effect. What is still
    /// being written tells by an event.
    pub(super) fn next_look(&self, now: Instant) -> Duration {
        let usual = match (self.is_unsettled(), self.missing.is_empty()) {
            (true, _) => BRISK,
            (false, false) => SETTLE,
            (false, true) => RESCAN,
        };
        let left = self.missing.values().min().map(|since| (*since + GRACE).saturating_duration_since(now));
        left.map_or(usual, |left| left.min(usual))
    }

    /// Whether a removal is about to take effect.
    pub(super) fn is_missing_any(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Whether something is about to settle, other than what is still being written.
    pub(super) fn is_unsettled(&self) -> bool {
        self.settling.keys().any(|name| !self.arriving.contains(name) && !self.is_written(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::source::look::Fingerprint;

    fn pair(size: u64) -> Pair {
        Pair { component: Fingerprint { size, ..Fingerprint::default() }, ..Pair::default() }
    }

    /// A look at a disk whose clock agrees with none, so that no file counts as rested.
    fn observe(tracker: &mut Tracker, look: &Look, now: Instant) -> Vec<Change> {
        tracker.observe(look, now, SystemTime::UNIX_EPOCH, |_| false)
    }

    fn load() -> [Change; 1] {
        [Change::Load("a".to_owned())]
    }

    fn at(size: u64) -> Look {
        Look::from([("a".to_owned(), pair(size))])
    }

    #[test]
    fn a_file_is_taken_when_two_looks_agree() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(observe(&mut tracker, &at(1), start), []);
        assert_eq!(observe(&mut tracker, &at(2), after(200)), [], "it grows");
        assert_eq!(observe(&mut tracker, &at(2), after(300)), [], "too soon");
        assert!(tracker.is_unsettled());
        assert_eq!(observe(&mut tracker, &at(2), after(400)), [Change::Load("a".to_owned())]);
        assert_eq!(observe(&mut tracker, &at(2), after(900)), [], "once only");
        assert!(!tracker.is_unsettled());
    }

    #[test]
    fn a_short_absence_is_no_removal() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        observe(&mut tracker, &at(1), start);
        observe(&mut tracker, &at(1), after(200));
        assert_eq!(observe(&mut tracker, &Look::new(), after(400)), []);
        assert_eq!(observe(&mut tracker, &at(1), after(900)), [], "it is back as it was");
        assert_eq!(observe(&mut tracker, &Look::new(), after(1_000)), []);
        assert_eq!(observe(&mut tracker, &Look::new(), after(2_300)), []);
        assert_eq!(observe(&mut tracker, &Look::new(), after(2_400)), [Change::Remove("a".to_owned())]);
        assert_eq!(observe(&mut tracker, &Look::new(), after(9_000)), []);
    }

    #[test]
    fn a_file_that_was_renamed_into_place_is_taken_at_once() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        tracker.hear(Hint::Whole("a.wasm".to_owned()), start);
        assert_eq!(observe(&mut tracker, &at(1), start), []);
        assert_eq!(observe(&mut tracker, &at(1), start + BRISK), load());
        assert_eq!(observe(&mut tracker, &at(1), start + SETTLE * 9), [], "once");
    }

    #[test]
    fn a_pair_that_follows_closely_is_one_change() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        tracker.hear(Hint::Whole("a.wasm".to_owned()), start);
        assert_eq!(observe(&mut tracker, &at(1), start), []);
        let mut both = at(1);
        both.insert("a".to_owned(), Pair { manifest: Some(pair(2).component), ..pair(1) });
        tracker.hear(Hint::Whole("a.yaml".to_owned()), after(30));
        assert_eq!(observe(&mut tracker, &both, after(30)), []);
        assert_eq!(observe(&mut tracker, &both, after(70)), load());
        assert_eq!(observe(&mut tracker, &both, after(900)), []);
        assert_eq!(observe(&mut tracker, &at(1), after(1_000)), [], "an editor moved the manifest away");
        assert_eq!(observe(&mut tracker, &at(1), after(1_900)), [], "and takes its time");
        assert_eq!(observe(&mut tracker, &both, after(2_000)), [], "and put it back");
    }

    #[test]
    fn what_was_written_without_a_trace_is_read_again_when_it_is_closed() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        observe(&mut tracker, &at(1), start);
        assert_eq!(observe(&mut tracker, &at(1), start + SETTLE), load());
        tracker.hear(Hint::Whole("a.wasm".to_owned()), start + SETTLE * 2);
        assert_eq!(observe(&mut tracker, &at(1), start + SETTLE * 2), []);
        assert_eq!(observe(&mut tracker, &at(1), start + SETTLE * 3), load());
        assert_eq!(observe(&mut tracker, &at(1), start + SETTLE * 9), [], "once");
    }

    #[test]
    fn files_that_never_rest_are_told() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let mut now = start;
        for size in 0..60 {
            now = start + RESTLESS * size / 50;
            assert_eq!(observe(&mut tracker, &at(u64::from(size)), now), []);
            assert_eq!(tracker.restless(now).contains_key("a"), size >= 50, "{size}");
        }
        observe(&mut tracker, &at(59), now + SETTLE);
        assert!(tracker.restless(now + RESTLESS * 2).is_empty());
    }

    #[test]
    fn a_file_in_its_writers_hands_is_not_taken_however_slow_the_writer() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        for second in 0..10 {
            tracker.hear(Hint::Writing("a.wasm".to_owned()), after(second));
            assert_eq!(observe(&mut tracker, &at(second), after(second)), []);
            assert!(!tracker.is_unsettled(), "nothing to look for until it is closed");
        }
        assert_eq!(observe(&mut tracker, &at(9), after(19)), [], "a pause of the writer");
        tracker.hear(Hint::Whole("a.wasm".to_owned()), after(20));
        assert_eq!(observe(&mut tracker, &at(9), after(20)), load());
    }

    #[test]
    fn a_writer_that_never_closes_its_file_is_not_waited_for_without_end() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        tracker.hear(Hint::Writing("a.wasm".to_owned()), start);
        assert_eq!(observe(&mut tracker, &at(1), start), []);
        assert_eq!(observe(&mut tracker, &at(1), start + SILENCE / 2), []);
        assert_eq!(observe(&mut tracker, &at(1), start + SILENCE), load(), "it has been silent for long");
    }

    #[test]
    fn a_manifest_that_stays_away_is_gone() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let both = Look::from([("a".to_owned(), Pair { manifest: Some(pair(2).component), ..pair(1) })]);
        observe(&mut tracker, &both, start);
        assert_eq!(observe(&mut tracker, &both, start + SETTLE), load());
        assert_eq!(observe(&mut tracker, &at(1), start + SETTLE * 2), []);
        assert_eq!(observe(&mut tracker, &at(1), start + SETTLE * 2 + GRACE), load());
    }

    #[test]
    fn without_events_a_component_in_part_is_waited_for() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        tracker.hear(Hint::Writing("a.wasm".to_owned()), start);
        tracker.hear(Hint::Lost, start);
        for second in 0..9 {
            let changes = tracker.observe(&at(1), after(second), SystemTime::UNIX_EPOCH, |_| true);
            assert_eq!(changes, []);
        }
        assert_eq!(observe(&mut tracker, &at(1), after(9)), load());
    }

    #[test]
    fn what_lies_there_at_the_start_is_taken_at_the_first_look() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        assert_eq!(tracker.observe(&at(1), start, clock, |_| false), load());
        let late = Look::from([("a".to_owned(), pair(1)), ("b".to_owned(), pair(1))]);
        assert_eq!(tracker.observe(&late, start, clock, |_| false), [], "later a pair may follow");
        tracker.hear(Hint::AllWhole, start);
        assert_eq!(tracker.observe(&late, start + BRISK, clock, |_| false), [Change::Load("b".to_owned())]);
    }

    #[test]
    fn a_file_that_vanishes_after_a_reload_was_asked_for_is_removed() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        observe(&mut tracker, &at(1), start);
        assert_eq!(observe(&mut tracker, &at(1), start + SETTLE), load());
        tracker.take_again(&BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        let gone = start + SETTLE * 2;
        assert_eq!(observe(&mut tracker, &Look::new(), gone), []);
        let removed = [Change::Remove("a".to_owned())];
        assert_eq!(observe(&mut tracker, &Look::new(), gone + GRACE), removed);
        observe(&mut tracker, &at(1), gone + GRACE);
        assert_eq!(observe(&mut tracker, &at(1), gone + GRACE + SETTLE), load());
        tracker.take_again(&BTreeSet::from(["a".to_owned()]));
        observe(&mut tracker, &at(1), gone + GRACE + SETTLE * 2);
        assert_eq!(observe(&mut tracker, &at(1), gone + GRACE + SETTLE * 3), load(), "unchanged and again");
        assert_eq!(observe(&mut tracker, &at(1), gone + GRACE + SETTLE * 9), [], "once");
    }

    #[test]
    fn a_removal_is_not_slept_through() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        observe(&mut tracker, &at(1), start);
        observe(&mut tracker, &at(1), start + SETTLE);
        let mut now = start + Duration::from_secs(1);
        let gone = now;
        assert_eq!(observe(&mut tracker, &Look::new(), now), []);
        // An event of another file.
        now += BRISK;
        assert_eq!(observe(&mut tracker, &Look::new(), now), []);
        loop {
            now += tracker.next_look(now);
            if observe(&mut tracker, &Look::new(), now) == [Change::Remove("a".to_owned())] {
                break;
            }
        }
        assert_eq!(now - gone, GRACE, "no later than it may");
    }
}
