//! What lies in the plugin directory at one moment.

use crate::plugin::source::board::File;
use crate::plugin::source::files::Source;
use crate::plugin::source::standing::StandingRules;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long a component that ends in the middle may stay as it is before it counts as broken, not as being copied.
const COPYING: Duration = Duration::from_secs(10);

/// Tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) modified: (i64, i64),
    pub(super) changed: (i64, i64),
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
    pub(super) fn unchanged_for(&self, least: Duration, clock: SystemTime) -> bool {
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(self.changed.0), u32::try_from(self.changed.1))
        else {
            return false;
        };
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        clock.duration_since(changed).is_ok_and(|age| age >= least)
    }
}

/// The files of one plugin at one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::plugin) struct Pair {
    pub(super) component: Fingerprint,
    pub(super) manifest: Option<Fingerprint>,
    /// Who may write the directory, and the one that a link leads to: files are refused or taken by that as well.
    pub(super) places: [Option<Rights>; 2],
    /// Whether the manifest has a name that is not read.
    pub(super) misnamed: bool,
}

/// Mode and owner of a directory.
pub(super) type Rights = (u32, u32);

/// Everything at one look, by plugin name.
pub(in crate::plugin) type Look = BTreeMap<String, Pair>;

/// Which directory a path leads to. Numbers are given again when a directory is deleted, times are not.
pub(super) type Place = (u64, u64, Option<SystemTime>);

/// What one look at the directory tells.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// The plugins.
    pub look: Look,
    /// Components that seem to be there in part only: they end in the middle and changed a moment ago.
    pub partial: BTreeSet<String>,
    /// What its manifests say, loaded or not.
    pub manifests: StandingRules,
    /// Where it is.
    pub place: Option<Place>,
    /// Whether each manifest was read that answers.
    pub knows_manifests: bool,
    /// Whether a file did not answer, so that those after it were not looked at.
    pub is_cut_short: bool,
}

/// The names in the directory, before anything is known about the files. Those of plain files first: a link may
/// lead to where nobody answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    /// Plugin names, and whether the component is a link.
    pub components: Vec<(String, bool)>,
    /// Those that have a manifest, and whether it is a link.
    pub manifests: BTreeMap<String, bool>,
    misnamed: BTreeSet<String>,
    home: Option<Rights>,
    /// Where the directory is.
    pub place: Option<Place>,
}

/// Reads the names. Those that begin with a dot and editors' temporary files do not count.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn list(directory: &Path) -> std::io::Result<Listing> {
    let metadata = directory.metadata()?;
    let place = Some((metadata.dev(), metadata.ino(), metadata.created().ok()));
    let mut listing = Listing { home: Some((metadata.mode(), metadata.uid())), place, ..Listing::default() };
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let is_link = || entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let Ok(file) = entry.file_name().into_string() else { continue };
        match file.rsplit_once('.') {
            _ if file.starts_with('.') => {}
            Some((name, "wasm")) => listing.components.push((name.to_owned(), is_link())),
            Some((name, "yaml")) => _ = listing.manifests.insert(name.to_owned(), is_link()),
            Some((name, "yml")) => _ = listing.misnamed.insert(name.to_owned()),
            _ => {}
        }
    }
    listing.components.sort_by(|(a, a_links), (b, b_links)| (a_links, a).cmp(&(b_links, b)));
    Ok(listing)
}

impl Listing {
    /// All files in the order in which they are looked at, and whether each is a link. Manifests first, for what they
    /// say about failures holds whatever becomes of the components; plain files before links among them.
    pub(super) fn files(&self) -> Vec<(File, bool)> {
        let mut manifests: Vec<(&String, bool)> =
            self.manifests.iter().map(|(name, link)| (name, *link)).collect();
        manifests.retain(|(name, _)| Source::check_name(name).is_ok());
        manifests.sort_by_key(|(_, is_link)| *is_link);
        let manifests = manifests.into_iter().map(|(name, is_link)| (File::Manifest(name.clone()), is_link));
        let components = self.components.iter().map(|(name, link)| (File::Component(name.clone()), *link));
        manifests.chain(components).collect()
    }

    /// Looks at the files of one plugin; `None` when the component is gone by now.
    pub(super) fn look_at(&self, directory: &Path, name: &str, is_link: bool) -> Option<Pair> {
        let path = directory.join(format!("{name}.wasm"));
        let component = fingerprint(&path)?;
        let manifest = self.manifests.contains_key(name);
        let manifest = manifest.then(|| fingerprint(&directory.join(format!("{name}.yaml")))).flatten();
        let target = is_link.then(|| path.canonicalize().ok()).flatten();
        let places = [self.home, target.as_deref().and_then(Path::parent).and_then(rights)];
        Some(Pair { component, manifest, places, misnamed: self.misnamed.contains(name) })
    }
}

/// Whether a component may still be arriving: it ends in the middle, and changed a moment ago.
pub(super) fn is_partial(directory: &Path, name: &str, pair: &Pair, clock: SystemTime) -> bool {
    !pair.component.unchanged_for(COPYING, clock)
        && super::sections::is_cut_off(&directory.join(format!("{name}.wasm"))).unwrap_or(false)
}

fn rights(directory: &Path) -> Option<Rights> {
    directory.metadata().ok().map(|found| (found.mode(), found.uid()))
}

/// Of what a link leads to, or of the link itself when it leads nowhere.
pub(super) fn fingerprint(path: &Path) -> Option<Fingerprint> {
    path.metadata().or_else(|_| path.symlink_metadata()).ok().as_ref().map(Fingerprint::of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn look(directory: &Path) -> Look {
        let listing = list(directory).unwrap();
        let pair = |(name, is_link): &(String, bool)| {
            Some((name.clone(), listing.look_at(directory, name, *is_link)?))
        };
        listing.components.iter().filter_map(pair).collect()
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
        std::fs::write(dir.path().join("h.yml"), b"x").unwrap();
        let link = |target: &str, name: &str| symlink(target, dir.path().join(name)).unwrap();
        link("..2026_01", "..data");
        link("..data/h.wasm", "h.wasm");
        link("nowhere", "i.wasm");
        let found = look(dir.path());
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "h", "i"]);
        assert!(found["a"].manifest.is_some() && found["h"].manifest.is_none());
        assert!(found["h"].misnamed && !found["a"].misnamed);
    }

    #[test]
    fn a_swap_of_the_data_link_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let link = |target: &str, name: &str| symlink(target, dir.path().join(name)).unwrap();
        for data in ["..1", "..2"] {
            std::fs::create_dir(dir.path().join(data)).unwrap();
            std::fs::write(dir.path().join(data).join("h.wasm"), b"x").unwrap();
        }
        link("..1", "..data");
        link("..data/h.wasm", "h.wasm");
        let before = look(dir.path());
        link("..2", "..data_tmp");
        std::fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        assert_ne!(look(dir.path()), before);
    }

    #[test]
    fn taking_a_right_away_from_a_directory_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let versions = dir.path().join("versions");
        std::fs::create_dir(&versions).unwrap();
        std::fs::write(versions.join("1.wasm"), b"x").unwrap();
        symlink("versions/1.wasm", dir.path().join("a.wasm")).unwrap();
        for place in [dir.path(), &versions] {
            let set = |mode| {
                std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).unwrap();
                look(dir.path())
            };
            assert_ne!(set(0o775), set(0o755), "{}", place.display());
        }
    }

    #[test]
    fn a_directory_that_was_made_again_is_another_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins");
        let mut places = Vec::new();
        for _ in 0..3 {
            std::fs::create_dir(&path).unwrap();
            let place = list(&path).unwrap().place;
            assert!(place.is_some() && !places.contains(&place), "{places:?}");
            places.push(place);
            std::fs::remove_dir(&path).unwrap();
            assert!(list(&path).is_err());
        }
    }

    #[test]
    fn a_component_that_ends_in_the_middle_arrives_while_it_is_young() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.wasm");
        // The head of a component, and a section that is longer than the file.
        std::fs::write(&path, b"\0asm\x0d\0\x01\0\0\x09x").unwrap();
        let pair = look(dir.path())["p"];
        let (seconds, nanoseconds) = pair.component.changed;
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds as u64, nanoseconds as u32);
        let is_arriving = |clock: SystemTime| is_partial(dir.path(), "p", &pair, clock);
        assert!(is_arriving(changed));
        assert!(is_arriving(changed - COPYING), "the clock differs from the disk's");
        assert!(is_arriving(changed + COPYING - Duration::from_nanos(1)));
        assert!(!is_arriving(changed + COPYING));
        std::fs::write(&path, b"\0asm\x0d\0\x01\0\0\x01x").unwrap();
        assert!(!is_arriving(changed), "it is whole");
    }
}
