//! The record of one plugin.

use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::load::digest;
use crate::plugin::source::manifest::Manifest;
use crate::plugin::status::Reason;
use serde::{Deserialize, Serialize};

/// The format version of records that this program writes and reads.
const VERSION: u32 = 1;

/// A component with its manifest, identified by their contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::plugin) struct PairId {
    /// SHA-256 of the component, in hexadecimal.
    pub component: String,
    /// SHA-256 of the manifest, if it exists.
    pub manifest: Option<String>,
}

impl PairId {
    pub(in crate::plugin) fn of(component: &str, manifest: &Manifest) -> Self {
        let manifest = manifest.text.as_deref().map(|text| digest(text.as_bytes()));
        Self { component: component.to_owned(), manifest }
    }

    /// The name of its directory.
    pub(super) fn directory_name(&self) -> String {
        format!("{}-{}", self.component, self.manifest.as_deref().unwrap_or("none"))
    }

    /// The pair whose directory has this name.
    pub(super) fn of_directory(name: &str) -> Option<Self> {
        let (component, manifest) = name.split_once('-')?;
        let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fits = is_digest(component) && (manifest == "none" || is_digest(manifest));
        let manifest = (manifest != "none").then(|| manifest.to_owned());
        fits.then(|| Self { component: component.to_owned(), manifest })
    }
}

/// Files that were rejected, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::plugin) struct Rejection {
    pub pair: PairId,
    pub reason: Reason,
    pub message: String,
}

impl Rejection {
    /// The rejection, if loading the same files again would not find the fault.
    pub(in crate::plugin) fn of(pair: PairId, fault: &LoadFault) -> Option<Self> {
        let is_found_by_calls = matches!(
            fault.reason,
            Reason::RolledBack
                | Reason::RehearsalTrap
                | Reason::RehearsalTimeout
                | Reason::RehearsalDifferent
        );
        is_found_by_calls.then(|| Self { pair, reason: fault.reason, message: fault.message.clone() })
    }

    pub(in crate::plugin) fn fault(&self) -> LoadFault {
        LoadFault::new(self.reason, &self.message)
    }
}

/// The files of a plugin that were rejected last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::plugin) struct Rejections(Vec<Rejection>);

impl Rejections {
    /// Maximum number of rejections that are kept; the oldest one is dropped first.
    const MAX: usize = 8;

    /// Adds a rejection, in place of an earlier one of the same files.
    pub(in crate::plugin) fn add(&mut self, rejection: Rejection) {
        self.remove(&rejection.pair);
        if self.0.len() == Self::MAX {
            self.0.remove(0);
        }
        self.0.push(rejection);
    }

    /// Adds the rejections of another process.
    pub(in crate::plugin) fn extend(&mut self, others: Self) {
        others.0.into_iter().for_each(|rejection| self.add(rejection));
    }

    /// Removes the rejection of files that serve after all.
    pub(in crate::plugin) fn remove(&mut self, pair: &PairId) {
        self.0.retain(|rejection| rejection.pair != *pair);
    }

    /// The rejection of these files.
    pub(in crate::plugin) fn find(&self, pair: &PairId) -> Option<&Rejection> {
        self.0.iter().find(|rejection| rejection.pair == *pair)
    }
}

/// The contents of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// The pair to return to.
    pub good: Option<PairId>,
    pub rejected: Rejections,
}

impl Record {
    pub(super) fn new(good: Option<PairId>, rejected: Rejections) -> Self {
        Self { version: VERSION, good, rejected }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The error in the record.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match record.version {
            VERSION => Ok(record),
            other => Err(format!("it has version {other}, and this program reads version {VERSION}")),
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Only strings and numbers, so serialization cannot fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl FromIterator<Rejection> for Rejections {
        fn from_iter<I: IntoIterator<Item = Rejection>>(rejections: I) -> Self {
            let mut all = Self::default();
            rejections.into_iter().for_each(|rejection| all.add(rejection));
            all
        }
    }

    impl Rejections {
        pub(in crate::plugin::saved) fn pairs(&self) -> Vec<PairId> {
            self.0.iter().map(|rejection| rejection.pair.clone()).collect()
        }
    }

    #[test]
    fn the_last_rejections_are_kept() {
        let pair = |number: usize| PairId { component: number.to_string(), manifest: None };
        let rolled_back = |number| {
            Rejection::of(pair(number), &LoadFault::new(Reason::RolledBack, format!("fault {number}")))
                .unwrap()
        };
        let mut all: Rejections = (0..Rejections::MAX + 2).map(rolled_back).collect();
        assert_eq!(all.pairs(), (2..Rejections::MAX + 2).map(pair).collect::<Vec<_>>());
        all.add(rolled_back(2));
        assert_eq!(all.pairs().len(), Rejections::MAX);
        assert_eq!(all.find(&pair(2)).map(|found| found.message.as_str()), Some("fault 2"));
        all.remove(&pair(2));
        assert_eq!(all.find(&pair(2)), None);
        assert!(all.find(&pair(3)).is_some());
    }

    fn pair(manifest: Option<&str>) -> PairId {
        let manifest = manifest.map(|digit| digit.repeat(64));
        PairId { component: "a".repeat(64), manifest }
    }

    #[test]
    fn a_directory_names_the_pair_that_it_holds() {
        for id in [pair(None), pair(Some("b"))] {
            assert_eq!(PairId::of_directory(&id.directory_name()), Some(id));
        }
        for name in ["", "x", "none-none", "../..", &format!("{}-../x", "a".repeat(64)), &"a".repeat(64)] {
            assert_eq!(PairId::of_directory(name), None, "{name}");
        }
    }

    #[test]
    fn only_what_loading_does_not_find_again_is_kept() {
        for reason in Reason::ALL {
            let kept = Rejection::of(pair(None), &LoadFault::new(*reason, "m")).is_some();
            let name = reason.to_string();
            assert_eq!(kept, name == "RolledBack" || name.starts_with("Rehearsal"), "{name}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_damage_is_told() {
        let fault = LoadFault::new(Reason::RolledBack, "it \u{1b} trapped");
        let record =
            Record::new(Some(pair(Some("b"))), Rejection::of(pair(None), &fault).into_iter().collect());
        let bytes = record.to_bytes();
        assert_eq!(Record::parse(&bytes), Ok(record.clone()));
        assert_eq!(record.rejected.find(&pair(None)).unwrap().fault(), fault);
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            assert!(Record::parse(&bytes[..length]).is_err(), "{length}");
        }
        let newer = String::from_utf8(bytes).unwrap().replace("\"version\": 1", "\"version\": 2");
        assert!(Record::parse(newer.as_bytes()).unwrap_err().contains("version 2"));
    }
}
