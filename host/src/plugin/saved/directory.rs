//! The saved files of plugins on disk.

use super::record::{PairId, Record, Rejections};
use crate::plugin::component::load::digest;
use crate::plugin::source::files::Source;
use crate::plugin::source::manifest::Manifest;
use crate::plugin::source::rights::Trust;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Maximum size of a record in bytes.
const RECORD_MAX: u64 = 256 << 10;
/// Maximum size of a manifest in bytes.
const MANIFEST_MAX: u64 = 1 << 20;
const RECORD: &str = "record.json";
/// Prefix of unfinished files and directories; each writer has only one.
const UNFINISHED: &str = ".new";

/// The saved state of one plugin at the start.
#[derive(Clone, Debug, Default)]
pub(in crate::plugin) struct Saved {
    /// The files to return to.
    pub good: Option<SavedPair>,
    /// The files that must not be tried again.
    pub rejected: Rejections,
}

/// Files that served without fault.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct SavedPair {
    pub id: PairId,
    /// The directory that contains them.
    pub source: Source,
}

impl SavedPair {
    /// The manifest, as it was when the pair served.
    ///
    /// # Errors
    /// The reason that it cannot be used.
    pub(in crate::plugin) fn manifest(&self) -> Result<(Option<String>, Manifest), String> {
        let Some(wanted) = &self.id.manifest else { return Ok((None, Manifest::absent())) };
        let bytes = read(&self.source.yaml, MANIFEST_MAX).map_err(|error| error.to_string())?;
        if digest(&bytes) != *wanted {
            return Err("its manifest is damaged".to_owned());
        }
        let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        let manifest = Manifest::parse(&self.source.name, &text)?;
        Ok((Some(text), manifest))
    }
}

/// The directory of all plugins.
#[derive(Clone, Debug)]
pub(super) struct SavedDirectory(pub PathBuf);

impl SavedDirectory {
    /// The saved state, by plugin. Entries that cannot be read are logged and left out.
    pub(super) fn load(&self) -> BTreeMap<String, Saved> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
            Err(cause) => {
                let directory = self.0.display();
                tracing::warn!(%directory, %cause, "saved plugins cannot be read; a file that was rolled back before may serve again");
                return BTreeMap::new();
            }
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let names = names.filter(|name| Source::check_name(name).is_ok());
        names.map(|name| (name.clone(), self.load_plugin(&name))).collect()
    }

    fn load_plugin(&self, plugin: &str) -> Saved {
        let pairs = self.pairs(plugin);
        let record = match self.read_record(plugin) {
            Ok(record) => record,
            Err(cause) => {
                tracing::warn!(plugin, cause, "the record of the plugin's saved files is damaged");
                None
            }
        };
        let named =
            record.as_ref().and_then(|record| record.good.clone()).filter(|good| pairs.contains(good));
        // Without a record, the older of two pairs has served longer, so it counts as the good one.
        let good = named.or_else(|| pairs.first().cloned());
        let good = good.map(|id| {
            let source = Source::new(&self.pair_directory(plugin, &id), plugin, Trust::OwnersOnly);
            SavedPair { id, source }
        });
        Saved { good, rejected: record.map(|record| record.rejected).unwrap_or_default() }
    }

    /// The saved pairs, the oldest first.
    fn pairs(&self, plugin: &str) -> Vec<PairId> {
        let entries = fs::read_dir(self.0.join(plugin)).into_iter().flatten().flatten();
        let pairs = entries.filter_map(|entry| {
            let id = PairId::of_directory(entry.file_name().to_str()?)?;
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            Some((modified, id))
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by_key(|(modified, _)| *modified);
        pairs.into_iter().map(|(_, id)| id).collect()
    }

    /// The record of a plugin, if it exists.
    ///
    /// # Errors
    /// The error in the record.
    pub(super) fn read_record(&self, plugin: &str) -> Result<Option<Record>, String> {
        match read(&self.0.join(plugin).join(RECORD), RECORD_MAX) {
            Ok(bytes) => Record::parse(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Replaces the record of a plugin atomically.
    ///
    /// # Errors
    /// When that fails; the previous one is still there.
    pub(super) fn write_record(&self, plugin: &str, record: &Record) -> io::Result<()> {
        let directory = self.0.join(plugin);
        make_directory(&directory)?;
        let unfinished = directory.join(format!("{UNFINISHED}-{RECORD}"));
        write(&unfinished, &record.to_bytes())?;
        fs::rename(&unfinished, directory.join(RECORD))?;
        sync(&directory)
    }

    /// Whether the pair is saved.
    pub(super) fn has(&self, plugin: &str, id: &PairId) -> bool {
        self.pair_directory(plugin, id).is_dir()
    }

    /// Adds a pair atomically.
    ///
    /// # Errors
    /// When that fails.
    pub(super) fn add(
        &self,
        plugin: &str,
        id: &PairId,
        (component, manifest): (&[u8], Option<&str>),
    ) -> io::Result<()> {
        let directory = self.0.join(plugin);
        make_directory(&directory)?;
        let unfinished = directory.join(UNFINISHED);
        remove_directory(&unfinished)?;
        make_directory(&unfinished)?;
        write(&unfinished.join(format!("{plugin}.wasm")), component)?;
        if let Some(manifest) = manifest {
            write(&unfinished.join(format!("{plugin}.yaml")), manifest.as_bytes())?;
        }
        sync(&unfinished)?;
        fs::rename(&unfinished, self.pair_directory(plugin, id))?;
        sync(&directory)
    }

    /// Removes the pairs of a plugin that are not among these.
    ///
    /// # Errors
    /// When that fails.
    pub(super) fn retain(&self, plugin: &str, kept: &[&PairId]) -> io::Result<()> {
        let kept: BTreeSet<String> = kept.iter().map(|id| id.directory_name()).collect();
        for id in self.pairs(plugin) {
            if !kept.contains(&id.directory_name()) {
                remove_directory(&self.pair_directory(plugin, &id))?;
            }
        }
        Ok(())
    }

    /// Removes all saved files of a plugin.
    ///
    /// # Errors
    /// When that fails.
    pub(super) fn remove(&self, plugin: &str) -> io::Result<()> {
        remove_directory(&self.0.join(plugin))
    }

    fn pair_directory(&self, plugin: &str, id: &PairId) -> PathBuf {
        self.0.join(plugin).join(id.directory_name())
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        ended => ended,
    }
}

fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it has more than {max} bytes")));
    }
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::component::fault::LoadFault;
    use crate::plugin::saved::Rejection;
    use crate::plugin::status::Reason;
    use tempfile::TempDir;

    const MANIFEST: &str = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: {settings: {a: 1}}\n";

    fn id(component: &[u8], manifest: Option<&str>) -> PairId {
        PairId { component: digest(component), manifest: manifest.map(|text| digest(text.as_bytes())) }
    }

    fn opened() -> (TempDir, SavedDirectory) {
        let home = tempfile::tempdir().unwrap();
        let directory = SavedDirectory(home.path().join("plugin-state"));
        (home, directory)
    }

    #[test]
    fn what_was_saved_is_found_again() {
        let (_home, directory) = opened();
        assert!(directory.load().is_empty(), "there is no directory yet");
        let (first, second) = (id(b"one", Some(MANIFEST)), id(b"two", None));
        directory.add("p", &first, (b"one", Some(MANIFEST))).unwrap();
        directory.add("p", &second, (b"two", None)).unwrap();
        let fault = LoadFault::new(Reason::RolledBack, "m");
        let rejected: Rejections = Rejection::of(second.clone(), &fault).into_iter().collect();
        directory.write_record("p", &Record::new(Some(first.clone()), rejected.clone())).unwrap();
        fs::create_dir(directory.0.join("No Plugin")).unwrap();
        let all = directory.load();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["p"]);
        let Saved { good: Some(good), rejected: found } = all["p"].clone() else { panic!("{all:?}") };
        assert_eq!((good.id.clone(), found), (first.clone(), rejected));
        assert_eq!(fs::read(&good.source.wasm).unwrap(), b"one");
        let (text, manifest) = good.manifest().unwrap();
        assert_eq!((text.as_deref(), manifest.settings.as_str()), (Some(MANIFEST), "{\"a\":1}"));
        directory.retain("p", &[&second]).unwrap();
        assert!(!directory.has("p", &first) && directory.has("p", &second));
        directory.remove("p").unwrap();
        directory.remove("p").unwrap();
        assert!(directory.load().is_empty());
    }

    #[test]
    fn damage_costs_as_little_as_it_can() {
        let (_home, directory) = opened();
        let (first, second) = (id(b"one", Some(MANIFEST)), id(b"two", None));
        directory.add("p", &first, (b"one", Some(MANIFEST))).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        directory.add("p", &second, (b"two", None)).unwrap();
        let record = directory.0.join("p").join(RECORD);
        for damage in [&b""[..], b"{", b"{\"version\": 9}", &[0xff; 100], &[b' '; 1 << 19]] {
            fs::write(&record, damage).unwrap();
            let saved = &directory.load()["p"];
            assert_eq!(saved.good.as_ref().map(|good| &good.id), Some(&first), "the older one");
            assert_eq!(saved.rejected, Rejections::default());
        }
        directory.write_record("p", &Record::new(Some(id(b"gone", None)), Rejections::default())).unwrap();
        assert_eq!(directory.load()["p"].good.as_ref().map(|good| good.id.clone()), Some(first.clone()));
        let good = directory.load()["p"].good.clone().unwrap();
        fs::write(&good.source.yaml, "kind: Other\n").unwrap();
        assert_eq!(good.manifest().unwrap_err(), "its manifest is damaged");
        fs::remove_file(&good.source.yaml).unwrap();
        good.manifest().unwrap_err();
        fs::write(directory.0.join("q"), "a file where a directory belongs").unwrap();
        assert!(directory.load()["q"].good.is_none());
    }
}
