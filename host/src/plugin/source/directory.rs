//! What lies in the plugin directory, and which change is ripe.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How far two equal looks must lie apart before a file is taken: it may still be written.
pub(in crate::plugin) const SETTLE: Duration = Duration::from_millis(200);
/// How long a file must be away before it counts as removed: replacing by delete and copy shall not flap.
const GRACE: Duration = Duration::from_secs(1);

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
}

/// The files of one plugin at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Pair {
    pub component: Fingerprint,
    pub manifest: Option<Fingerprint>,
}

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

/// Looks at the directory. Names that begin with a dot and editors' temporary files do not count.
///
/// # Errors
/// When the directory cannot be read.
pub(in crate::plugin) fn look(directory: &Path) -> std::io::Result<Look> {
    let mut found = Look::new();
    for entry in std::fs::read_dir(directory)? {
        let Ok(file_name) = entry?.file_name().into_string() else { continue };
        let Some(name) = file_name.strip_suffix(".wasm").filter(|name| !name.starts_with('.')) else {
            continue;
        };
        let Some(component) = fingerprint(&directory.join(&file_name)) else { continue };
        let manifest = fingerprint(&directory.join(format!("{name}.yaml")));
        found.insert(name.to_owned(), Pair { component, manifest });
    }
    Ok(found)
}

/// Of what a link leads to, or of the link itself when it leads nowhere.
fn fingerprint(path: &Path) -> Option<Fingerprint> {
    path.metadata().or_else(|_| path.symlink_metadata()).ok().as_ref().map(Fingerprint::of)
}

/// Remembers looks and tells which changes have settled.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Tracker {
    taken: Look,
    settling: BTreeMap<String, (Pair, Instant)>,
    missing: BTreeMap<String, Instant>,
}

impl Tracker {
    /// Takes one look into account.
    pub(in crate::plugin) fn observe(&mut self, look: &Look, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        self.settling.retain(|name, _| look.contains_key(name));
        self.missing.retain(|name, _| !look.contains_key(name));
        for (name, pair) in look {
            if self.taken.get(name) == Some(pair) {
                self.settling.remove(name);
                continue;
            }
            let (seen, since) = *self.settling.entry(name.clone()).or_insert((*pair, now));
            if seen != *pair {
                self.settling.insert(name.clone(), (*pair, now));
            } else if now.duration_since(since) >= SETTLE {
                self.settling.remove(name);
                self.taken.insert(name.clone(), *pair);
                changes.push(Change::Load(name.clone()));
            }
        }
        let gone: BTreeSet<String> =
            self.taken.keys().filter(|name| !look.contains_key(*name)).cloned().collect();
        for name in gone {
            let since = *self.missing.entry(name.clone()).or_insert(now);
            if now.duration_since(since) >= GRACE {
                self.missing.remove(&name);
                self.taken.remove(&name);
                changes.push(Change::Remove(name));
            }
        }
        changes
    }

    /// Takes these for new, though nothing has changed.
    pub(in crate::plugin) fn forget(&mut self, names: &BTreeSet<String>) {
        self.taken.retain(|name, _| !names.contains(name));
    }

    /// Whether another look is due soon.
    pub(in crate::plugin) fn is_unsettled(&self) -> bool {
        !self.settling.is_empty() || !self.missing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(size: u64) -> Pair {
        let component = Fingerprint { device: 1, inode: 1, size, modified: (0, 0), changed: (0, 0) };
        Pair { component, manifest: None }
    }

    fn at(size: u64) -> Look {
        Look::from([("a".to_owned(), pair(size))])
    }

    #[test]
    fn a_file_is_taken_when_two_looks_agree() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(tracker.observe(&at(1), start), []);
        assert_eq!(tracker.observe(&at(2), after(200)), [], "it grows");
        assert_eq!(tracker.observe(&at(2), after(300)), [], "too soon");
        assert!(tracker.is_unsettled());
        assert_eq!(tracker.observe(&at(2), after(400)), [Change::Load("a".to_owned())]);
        assert_eq!(tracker.observe(&at(2), after(900)), [], "once only");
        assert!(!tracker.is_unsettled());
    }

    #[test]
    fn a_short_absence_is_no_removal() {
        let (mut tracker, start) = (Tracker::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        tracker.observe(&at(1), start);
        tracker.observe(&at(1), after(200));
        assert_eq!(tracker.observe(&Look::new(), after(400)), []);
        assert_eq!(tracker.observe(&at(1), after(900)), [], "it is back as it was");
        assert_eq!(tracker.observe(&Look::new(), after(1_000)), []);
        assert_eq!(tracker.observe(&Look::new(), after(1_900)), []);
        assert_eq!(tracker.observe(&Look::new(), after(2_000)), [Change::Remove("a".to_owned())]);
        assert_eq!(tracker.observe(&Look::new(), after(9_000)), []);
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
}
