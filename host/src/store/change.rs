//! One write: what was asked for, and the change it makes once it is allowed.

use std::sync::Arc;

use bytes::Bytes;

use super::{Event, Record, Revision, StoreError};

/// A value and the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) revision: Revision,
    pub(crate) value: Bytes,
}

/// A change that happened, or is about to happen, at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) revision: Revision,
    pub(crate) key: Arc<str>,
    /// `None` for a delete.
    pub(crate) value: Option<Bytes>,
    /// `None` for a create.
    pub(crate) previous: Option<Stored>,
}

impl Change {
    /// What it counts against the bound of the history, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let value = self.value.as_ref().map_or(0, Bytes::len);
        let previous = self.previous.as_ref().map_or(0, |stored| stored.value.len());
        self.key.len() + value + previous
    }

    /// The same as watchers see it.
    pub(crate) fn event(&self) -> Event {
        Event {
            revision: self.revision,
            key: self.key.to_string(),
            value: self.value.clone(),
            previous: self.previous.as_ref().map(|stored| stored.value.clone()),
        }
    }
}

/// What a caller wants written.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Create { key: String, value: Bytes },
    Update { key: String, expected: Revision, value: Bytes },
    Delete { key: String, expected: Revision },
}

impl Write {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Create { key, .. } | Self::Update { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// The change that this write makes at `revision` when `current` stands at its key, or why it must not.
    pub(crate) fn against(self, current: Option<&Stored>, revision: Revision) -> Result<Change, StoreError> {
        let (key, value) = match self {
            Self::Create { key, value } => {
                if current.is_some() {
                    return Err(StoreError::Exists { key });
                }
                (key, Some(value))
            }
            Self::Update { key, expected, value } => (at_expected(key, expected, current)?, Some(value)),
            Self::Delete { key, expected } => (at_expected(key, expected, current)?, None),
        };
        Ok(Change { revision, key: key.into(), value, previous: current.cloned() })
    }
}

fn at_expected(key: String, expected: Revision, current: Option<&Stored>) -> Result<String, StoreError> {
    match current {
        Some(stored) if stored.revision == expected => Ok(key),
        other => {
            let current = other.map(|stored| Record {
                key: key.clone(),
                value: stored.value.clone(),
                revision: stored.revision,
            });
            Err(StoreError::Conflict { key, current })
        }
    }
}
