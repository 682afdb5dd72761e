//! What lies in the plugin directory, and which change is ripe.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How far two equal looks must lie apart before a file is taken of which nobody said that it is whole.
const SETTLE: Duration = Duration::from_millis(200);
/// The same for a file that was closed or renamed: just long enough for the other half of a pair to follow.
const BRISK: Duration = Duration::from_millis(40);
/// How long a file must be away before it counts as removed: replacing by delete and copy shall not flap. With a
/// look each [`RESCAN`] a removal is in effect within two seconds even where no event tells of it.
const GRACE: Duration = Duration::from_millis(1_400);
/// How often the directory is looked at without an event: some file systems send none.
pub(in crate::plugin) const RESCAN: Duration = Duration::from_millis(500);
/// What has not changed for so long is not being written.
const RESTED: Duration = Duration::from_secs(2);
/// How long a component that ends in the middle may stay as it is before it counts as broken, not as being copied.
const COPYING: Duration = Duration::from_secs(10);
/// How long a writer may stay silent before nobody waits for it to close the file.
const SILENCE: Duration = Duration::from_secs(60);

/// Tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file has been as it is for that long. A clock that differs from the disk's says no.
    fn unchanged_for(&self, least: Duration, clock: SystemTime) -> bool {
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(self.changed.0), u32::try_from(self.changed.1))
        else {
            return false;
        };
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        clock.duration_since(changed).is_ok_and(|age| age >= least)
    }
}

/// The files of one plugin at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Pair {
    pub component: Fingerprint,
    pub manifest: Option<Fingerprint>,
    /// Who may write the directory, and the one that a link leads to: files are refused or taken by that as well.
    pub places: [Option<Rights>; 2],
}

/// Mode and owner of a directory.
type Rights = (u32, u32);

/// Everything at one look, by plugin name.
pub(in crate::plugin) type Look = BTreeMap<String, Pair>;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Change {
    /// Load it, for the first time or again.
    Load(String),
    /// Forget it.
    Remove(String),
}

impl Change {
    /// What is to be forgotten.
    pub(in crate::plugin) fn removed(&self) -> Option<&str> {
        match self {
            Self::Remove(name) => Some(name),
            Self::Load(_) => None,
        }
    }
}

/// Looks at the directory. Names that begin with a dot and editors' temporary files do not count.
///
/// # Errors
/// When the directory cannot be read.
pub(in crate::plugin) fn look(directory: &Path) -> std::io::Result<Look> {
    let mut found = Look::new();
    let home = rights(directory);
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(file_name) = entry.file_name().into_string() else { continue };
        let Some(name) = file_name.strip_suffix(".wasm").filter(|name| !name.starts_with('.')) else {
            continue;
        };
        let Some(component) = fingerprint(&directory.join(&file_name)) else { continue };
        let manifest = fingerprint(&directory.join(format!("{name}.yaml")));
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let target = is_link.then(|| entry.path().canonicalize().ok()).flatten();
        let places = [home, target.as_deref().and_then(Path::parent).and_then(rights)];
        found.insert(name.to_owned(), Pair { component, manifest, places });
    }
    Ok(found)
}

fn rights(directory: &Path) -> Option<Rights> {
    directory.metadata().ok().map(|found| (found.mode(), found.uid()))
}

/// Of what a link leads to, or of the link itself when it leads nowhere.
fn fingerprint(path: &Path) -> Option<Fingerprint> {
    path.metadata().or_else(|_| path.symlink_metadata()).ok().as_ref().map(Fingerprint::of)
}

/// What an event says about a file of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Hint {
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

/// Whether a component may still be arriving: it ends in the middle, and changed a moment ago.
pub(in crate::plugin) fn is_arriving(directory: &Path, name: &str, clock: SystemTime) -> bool {
    let path = directory.join(format!("{name}.wasm"));
    let Ok(metadata) = path.metadata() else { return false };
    metadata.is_file()
        && !Fingerprint::of(&metadata).unchanged_for(COPYING, clock)
        && super::sections::is_cut_off(&path).unwrap_or(false)
}

/// Remembers looks and tells which changes have settled.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Tracker {
    taken: Look,
    settling: BTreeMap<String, (Pair, Instant)>,
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
    pub(in crate::plugin) fn hear(&mut self, hint: Hint, now: Instant) {
        match hint {
            Hint::Writing(file) => {
                if let Some(name) = plugin_of(&file) {
                    self.whole.remove(name);
                    self.writing.insert(file, now);
                }
            }
            Hint::Whole(file) => {
                self.writing.remove(&file);
                self.whole.extend(plugin_of(&file).map(str::to_owned));
            }
            Hint::AllWhole => {
                self.whole.extend(self.taken.keys().cloned());
                self.whole.extend(self.settling.keys().cloned());
            }
            Hint::Lost => self.writing.clear(),
        }
    }

    /// Takes one look into account. `arriving` says whether a plugin's component seems to be there in part only.
    pub(in crate::plugin) fn observe(
        &mut self,
        look: &Look,
        now: Instant,
        clock: SystemTime,
        arriving: impl Fn(&str) -> bool,
    ) -> Vec<Change> {
        self.settling.retain(|name, _| look.contains_key(name));
        self.missing.retain(|name, _| !look.contains_key(name));
        self.writing.retain(|_, last| now.duration_since(*last) < SILENCE);
        self.arriving.clear();
        let mut changes = Vec::new();
        for (name, pair) in look {
            if self.taken.get(name) == Some(pair) && !self.again.contains(name) {
                self.settling.remove(name);
                self.whole.remove(name);
                continue;
            }
            let settled = self.settling.get(name).filter(|(seen, _)| seen == pair).map(|(_, since)| *since);
            let since = settled.unwrap_or(now);
            self.settling.insert(name.clone(), (*pair, since));
            let waits = self.is_written(name)
                || now.duration_since(since) < self.settling_time(name, pair, clock)
                || (!self.whole.contains(name) && arriving(name) && self.arriving.insert(name.clone()));
            if !waits {
                self.settling.remove(name);
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

    /// Takes these once more, though nothing has changed.
    pub(in crate::plugin) fn take_again(&mut self, names: &BTreeSet<String>) {
        self.again.extend(names.iter().filter(|name| self.taken.contains_key(*name)).cloned());
    }

    /// When the next look is due: soon where something settles, and when a removal is to take effect. What is still
    /// being written tells by an event.
    pub(in crate::plugin) fn next_look(&self, now: Instant) -> Duration {
        let usual = match (self.is_unsettled(), self.missing.is_empty()) {
            (true, _) => BRISK,
            (false, false) => SETTLE,
            (false, true) => RESCAN,
        };
        let left = self.missing.values().min().map(|since| (*since + GRACE).saturating_duration_since(now));
        left.map_or(usual, |left| left.min(usual))
    }

    /// Whether something is about to settle, other than what is still being written.
    pub(in crate::plugin) fn is_unsettled(&self) -> bool {
        self.settling.keys().any(|name| !self.arriving.contains(name) && !self.is_written(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(size: u64) -> Pair {
        let component = Fingerprint { device: 1, inode: 1, size, modified: (0, 0), changed: (0, 0) };
        Pair { component, manifest: None, places: [None; 2] }
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
        assert_eq!(observe(&mut tracker, &both, after(2_000)), [], "and put it back");
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

    #[test]
    fn only_plugins_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("..2026_01");
        std::fs::create_dir(&data).unwrap();
        for name in ["a.wasm", "a.yaml", ".b.wasm", "c.wasm~", "d.wasm.tmp", "e.wasm.part", "f.yaml", "g.txt"]
        {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        std::fs::write(data.join("h.wasm"), b"x").unwrap();
        let link =
            |target: &str, name: &str| std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        link("..2026_01", "..data");
        link("..data/h.wasm", "h.wasm");
        link("nowhere", "i.wasm");
        let found = look(dir.path()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "h", "i"]);
        assert!(found["a"].manifest.is_some() && found["h"].manifest.is_none());
    }

    #[test]
    fn a_swap_of_the_data_link_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let link =
            |target: &str, name: &str| std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        for data in ["..1", "..2"] {
            std::fs::create_dir(dir.path().join(data)).unwrap();
            std::fs::write(dir.path().join(data).join("h.wasm"), b"x").unwrap();
        }
        link("..1", "..data");
        link("..data/h.wasm", "h.wasm");
        let before = look(dir.path()).unwrap();
        link("..2", "..data_tmp");
        std::fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        assert_ne!(look(dir.path()).unwrap(), before);
    }

    #[test]
    fn taking_a_right_away_from_a_directory_is_a_change() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let versions = dir.path().join("versions");
        std::fs::create_dir(&versions).unwrap();
        std::fs::write(versions.join("1.wasm"), b"x").unwrap();
        std::os::unix::fs::symlink("versions/1.wasm", dir.path().join("a.wasm")).unwrap();
        for place in [dir.path(), &versions] {
            let before = look(dir.path()).unwrap();
            assert_eq!(look(dir.path()).unwrap(), before);
            std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o750)).unwrap();
            assert_ne!(look(dir.path()).unwrap(), before);
        }
    }
}
