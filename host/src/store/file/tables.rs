//! How contents lie in redb: the tables, what is written in one commit, and what is checked when read back.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::store::Revision;
use crate::store::change::{Change, Stored};
use crate::store::contents::Contents;

/// key → revision of the last write, value.
const VALUES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("values");
/// revision → key, value (`None`: deleted), value before with its revision (`None`: created).
const HISTORY: TableDefinition<'_, u64, HistoryRow<'static>> = TableDefinition::new("history");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

type HistoryRow<'a> = (&'a str, Option<&'a [u8]>, Option<(u64, &'a [u8])>);

const META_FORMAT: &str = "format";
const META_REVISION: &str = "revision";
const META_COMPACTED: &str = "compacted";

/// The layout that this version writes and reads.
pub(super) const FORMAT: u64 = 1;

/// Why a file could not be read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFault {
    #[error(transparent)]
    Redb(#[from] redb::Error),
    #[error("{0}")]
    Contradiction(String),
    #[error("it has layout {0}")]
    Format(u64),
}

macro_rules! from_redb {
    ($($error:ident),+) => { $(
        impl From<redb::$error> for ReadFault {
            fn from(error: redb::$error) -> Self {
                Self::Redb(error.into())
            }
        }
    )+ };
}
from_redb!(TransactionError, TableError, StorageError);

fn contradiction(text: impl Into<String>) -> ReadFault {
    ReadFault::Contradiction(text.into())
}

/// Writes the tables of a store at revision 0.
pub(super) fn initialise(db: &Database) -> Result<(), redb::Error> {
    let transaction = begin(db)?;
    transaction.open_table(VALUES)?;
    transaction.open_table(HISTORY)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_FORMAT, FORMAT)?;
        meta.insert(META_REVISION, 0)?;
        meta.insert(META_COMPACTED, 0)?;
    }
    Ok(transaction.commit()?)
}

/// A transaction that is on the disk when its commit returns.
///
/// Two phases: after a crash the newest commit is then known to have been whole, so damage to it is reported
/// instead of being taken for an unfinished commit, which would silently bring back the one before.
fn begin(db: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = db.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// Commits changes and forgets history after `forgotten` up to and including `compacted`.
pub(super) fn commit(
    db: &Database,
    changes: &[Change],
    forgotten: Revision,
    compacted: Revision,
) -> Result<(), redb::Error> {
    let transaction = begin(db)?;
    {
        let mut values = transaction.open_table(VALUES)?;
        let mut history = transaction.open_table(HISTORY)?;
        let mut meta = transaction.open_table(META)?;
        for change in changes {
            match &change.value {
                Some(value) => values.insert(&*change.key, (change.revision, &**value))?,
                None => values.remove(&*change.key)?,
            };
            let previous = change.previous.as_ref().map(|stored| (stored.revision, &*stored.value));
            history.insert(change.revision, (&*change.key, change.value.as_deref(), previous))?;
        }
        for revision in forgotten + 1..=compacted {
            history.remove(revision)?;
        }
        if let Some(last) = changes.last() {
            meta.insert(META_REVISION, last.revision)?;
        }
        meta.insert(META_COMPACTED, compacted)?;
    }
    Ok(transaction.commit()?)
}

/// Reads everything back and checks that it fits together.
pub(super) fn read(db: &Database) -> Result<Contents, ReadFault> {
    let (revision, compacted) = read_meta(db)?;
    let history = read_history(db, compacted)?;
    let newest = history.back().map_or(compacted, |change| change.revision);
    if newest != revision {
        return Err(contradiction(format!("its revision is {revision}, but its history ends at {newest}")));
    }
    let values = read_values(db, &history)?;
    Ok(Contents::restore(values, history, compacted))
}

/// The newest revision, the revision up to which history is forgotten, and the changes after `known`.
pub(super) fn read_after(
    db: &Database,
    known: Revision,
) -> Result<(Revision, Revision, Vec<Change>), ReadFault> {
    let (revision, compacted) = read_meta(db)?;
    let missed = if revision > known { read_history(db, known.max(compacted))?.into() } else { Vec::new() };
    Ok((revision, compacted, missed))
}

fn read_meta(db: &Database) -> Result<(Revision, Revision), ReadFault> {
    let meta = db.begin_read()?.open_table(META)?;
    let number = |name: &str| match meta.get(name)? {
        Some(number) => Ok(number.value()),
        None => Err(contradiction(format!("it does not say its {name}"))),
    };
    match number(META_FORMAT)? {
        FORMAT => Ok((number(META_REVISION)?, number(META_COMPACTED)?)),
        other => Err(ReadFault::Format(other)),
    }
}

fn read_history(db: &Database, after: Revision) -> Result<VecDeque<Change>, ReadFault> {
    let table = db.begin_read()?.open_table(HISTORY)?;
    let mut history = VecDeque::new();
    // A value stands in the file twice, as new and later as previous; in memory it is shared.
    let mut shared: HashMap<Arc<str>, Stored> = HashMap::new();
    for (row, due) in table.range(after + 1..)?.zip(after + 1..) {
        let (revision, row) = row?;
        let (revision, (key, value, previous)) = (revision.value(), row.value());
        if revision != due {
            return Err(contradiction(format!("its history lacks revision {due}")));
        }
        let known = shared.remove_entry(key);
        let previous = previous.map(|(revision, value)| match &known {
            Some((_, stored)) if stored.revision == revision && stored.value == value => stored.clone(),
            _ => Stored { revision, value: Bytes::copy_from_slice(value) },
        });
        let key = known.map_or_else(|| Arc::from(key), |(key, _)| key);
        let value = value.map(Bytes::copy_from_slice);
        if let Some(value) = &value {
            shared.insert(Arc::clone(&key), Stored { revision, value: value.clone() });
        }
        history.push_back(Change { revision, key, value, previous });
    }
    Ok(history)
}

fn read_values(db: &Database, history: &VecDeque<Change>) -> Result<BTreeMap<Arc<str>, Stored>, ReadFault> {
    let last: HashMap<&str, &Change> = history.iter().map(|change| (&*change.key, change)).collect();
    let kept_after = history.front().map_or(Revision::MAX, |change| change.revision - 1);
    let table = db.begin_read()?.open_table(VALUES)?;
    let mut values = BTreeMap::new();
    for row in table.iter()? {
        let (key, row) = row?;
        let (key, (revision, value)) = (key.value(), row.value());
        let (key, value) = match last.get(key) {
            Some(Change { key, value: Some(newest), revision: at, .. })
                if *at == revision && newest == value =>
            {
                (Arc::clone(key), newest.clone())
            }
            None if revision <= kept_after => (Arc::from(key), Bytes::copy_from_slice(value)),
            _ => return Err(contradiction(format!("the value of {key} is not what its history ends with"))),
        };
        values.insert(key, Stored { revision, value });
    }
    let lost = last.values().find(|change| change.value.is_some() && !values.contains_key(&change.key));
    match lost {
        Some(change) => Err(contradiction(format!("{} is in its history, but has no value", change.key))),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::ReadableTableMetadata as _;
    use redb::backends::InMemoryBackend;

    fn created(revision: Revision) -> Change {
        let key = Arc::from(format!("k/{revision}"));
        Change { revision, key, value: Some(Bytes::from_static(b"x")), previous: None }
    }

    fn fresh() -> Database {
        let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        initialise(&db).unwrap();
        db
    }

    #[test]
    fn forgotten_history_leaves_the_file() {
        let db = fresh();
        let changes: Vec<_> = (1..=9).map(created).collect();
        commit(&db, &changes, 0, 2).unwrap();
        commit(&db, &[created(10)], 2, 7).unwrap();
        let history = db.begin_read().unwrap().open_table(HISTORY).unwrap();
        assert_eq!(history.len().unwrap(), 3);
        let contents = read(&db).unwrap();
        assert_eq!((contents.revision(), contents.compacted(), contents.len()), (10, 7, 10));
    }

    #[test]
    fn contents_that_do_not_fit_together_are_refused() {
        type Harm = fn(&WriteTransaction);
        let harms: [(&str, Harm); 7] = [
            ("its history lacks revision 2", |t| drop(t.open_table(HISTORY).unwrap().remove(2).unwrap())),
            ("its history ends at 2", |t| drop(t.open_table(HISTORY).unwrap().remove(3).unwrap())),
            ("its revision is 9", |t| drop(t.open_table(META).unwrap().insert(META_REVISION, 9).unwrap())),
            ("does not say its compacted", |t| {
                drop(t.open_table(META).unwrap().remove(META_COMPACTED).unwrap());
            }),
            ("it has layout 7", |t| drop(t.open_table(META).unwrap().insert(META_FORMAT, 7).unwrap())),
            ("k/2 is in its history, but has no value", |t| {
                drop(t.open_table(VALUES).unwrap().remove("k/2").unwrap());
            }),
            ("the value of k/2 is not what its history ends with", |t| {
                drop(t.open_table(VALUES).unwrap().insert("k/2", (2, b"y".as_slice())).unwrap());
            }),
        ];
        for (expected, harm) in harms {
            let db = fresh();
            commit(&db, &[created(1), created(2), created(3)], 0, 1).unwrap();
            let transaction = begin(&db).unwrap();
            harm(&transaction);
            transaction.commit().unwrap();
            let text = read(&db).unwrap_err().to_string();
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
