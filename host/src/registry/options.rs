//! What callers of the registry can ask for.

use crate::model::object::Object;
use crate::object::selector::{FieldSelector, LabelSelector};
use crate::store::Revision;

/// Which objects are meant, by labels and by fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// What their labels must be.
    pub labels: LabelSelector,
    /// What their fields must be.
    pub fields: FieldSelector,
}

impl Selector {
    /// Whether every object is meant.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether an object is meant.
    pub fn matches(&self, object: &Object) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Main,
    /// The status only.
    Status,
}

/// How to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Who owns the written fields.
    pub manager: String,
    /// Whether to go through everything and store nothing.
    pub dry_run: bool,
    /// The stored object must have this uid.
    pub uid: Option<String>,
    /// The size of what came in, in bytes: the work on large input is kept from holding up others.
    pub input_size: usize,
}

impl WriteOptions {
    /// A plain write by `manager`.
    pub fn by(manager: impl Into<String>) -> Self {
        Self { manager: manager.into(), ..Self::default() }
    }
}

/// How to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Whether to store nothing.
    pub dry_run: bool,
    /// The object must have this uid.
    pub uid: Option<String>,
    /// The object must be at this resource version.
    pub resource_version: Option<String>,
}

/// How a resource version is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// That one.
    Exact,
    /// That one or a later one.
    NotOlderThan,
}

/// Which objects to list, and as of when.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Only in this namespace; `""` means everywhere.
    pub namespace: String,
    /// Only what matches.
    pub selector: Selector,
    /// Resource version as given, `""` when absent.
    pub resource_version: String,
    /// How it is meant, where it was said.
    pub version_match: Option<VersionMatch>,
    /// At most so many items; 0 means all.
    pub limit: usize,
    /// Where to go on, from [`super::List::continue_token`].
    pub continue_token: String,
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchStart {
    /// With what is there, as `ADDED`, then every change.
    #[default]
    Current,
    /// The same, provided that the store has reached this revision.
    CurrentNotOlderThan(Revision),
    /// With every change after this revision.
    After(Revision),
    /// With every change from now on.
    Now,
}

/// Which objects to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Only in this namespace; `""` means everywhere.
    pub namespace: String,
    /// Only what matches.
    pub selector: Selector,
    /// Where to start.
    pub start: WatchStart,
}
