//! `umbel store import`: brings exported or hand-written objects back.

use super::DataDirectory;
use super::incoming::{Incoming, read_all};
use crate::assembly::CommandError;
use crate::model::object::Object;
use crate::object::yaml_stream;
use crate::store::{self, FileStore, MemoryStore, OpenError, Record, Store, StoreError};
use bytes::Bytes;
use clap::{Args, ValueHint};
use jiff::Timestamp;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Flags of `umbel store import`.
#[derive(Args, Debug)]
pub(in crate::assembly) struct ImportFlags {
    #[command(flatten)]
    directory: DataDirectory,
    /// Check and tell what would happen, but write nothing
    #[arg(long)]
    dry_run: bool,
    /// File with a stream of YAML or JSON documents; `-` reads standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

/// What became of the objects.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    created: usize,
    updated: usize,
    unchanged: usize,
    told: String,
}

pub(super) fn run(flags: &ImportFlags) -> Result<(), CommandError> {
    let (name, text) = read(&flags.file)?;
    let nothing =
        |cause: String| CommandError::Failed(format!("{name}: {cause}\nNothing has been imported."));
    let incoming = read_all(yaml_stream::objects(&text)).map_err(|problems| nothing(problems.join("\n")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(CommandError::failed)?;
    let store = runtime.block_on(open(&flags.directory.data_dir, flags.dry_run))?;
    let mut tally = Tally::default();
    let result = runtime.block_on(import(&*store, incoming, &mut tally));
    let Tally { created, updated, unchanged, mut told } = tally;
    let dry = if flags.dry_run { " (dry run)" } else { "" };
    told.push_str(&format!("created {created}, updated {updated}, unchanged {unchanged}{dry}\n"));
    crate::assembly::print(&told)?;
    result.map_err(|error| {
        let advice = "Run it again: what has been imported then counts as unchanged.";
        CommandError::Failed(format!("{error}\n{advice}"))
    })
}

/// The store itself, or for a dry run a copy in memory that takes the writes.
async fn open(data_dir: &Path, dry_run: bool) -> Result<Box<dyn Store>, CommandError> {
    if !dry_run {
        let store = FileStore::open(data_dir).map_err(CommandError::failed)?;
        return Ok(Box::new(store));
    }
    let copy = MemoryStore::default();
    let records = match store::records(data_dir) {
        Err(OpenError::Absent { .. }) => Vec::new(),
        records => records.map_err(CommandError::failed)?,
    };
    for record in records {
        copy.create(record.key, record.value).await.map_err(CommandError::failed)?;
    }
    Ok(Box::new(copy))
}

fn read(file: &Path) -> Result<(String, String), CommandError> {
    let (name, text) = if file == Path::new("-") {
        let mut text = String::new();
        ("standard input".to_owned(), std::io::stdin().read_to_string(&mut text).map(|_| text))
    } else {
        (file.display().to_string(), std::fs::read_to_string(file))
    };
    match text {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(CommandError::Failed(format!("cannot read {name}: {error}"))),
    }
}

async fn import(store: &dyn Store, incoming: Vec<Incoming>, tally: &mut Tally) -> Result<(), StoreError> {
    let now = Timestamp::now();
    for document in incoming {
        let key = document.key.clone();
        if let Some(warning) = &document.warning {
            tally.told.push_str(&format!("warning: {warning}\n"));
        }
        let stored = store.get(&key).await?;
        let before = stored.as_ref().and_then(read_record);
        let object = document.complete(before.as_ref(), now);
        let outcome = match &stored {
            None => "created",
            Some(_) if before.as_ref() == Some(&object) => "unchanged",
            Some(_) => "updated",
        };
        if outcome != "unchanged" {
            write(store, &key, &object, stored, before.as_ref()).await?;
            tally.told.push_str(&format!("{key} {outcome}\n"));
        }
        match outcome {
            "created" => tally.created += 1,
            "updated" => tally.updated += 1,
            _ => tally.unchanged += 1,
        }
    }
    Ok(())
}

fn read_record(record: &Record) -> Option<Object> {
    let value = serde_json::from_slice(&record.value).ok()?;
    Object::from_value(value).ok()
}

async fn write(
    store: &dyn Store,
    key: &str,
    object: &Object,
    stored: Option<Record>,
    before: Option<&Object>,
) -> Result<(), StoreError> {
    let text = serde_json::to_vec(&object.0).map_err(|error| StoreError::Medium(error.to_string()))?;
    let value = Bytes::from(text);
    match stored {
        None => store.create(key.to_owned(), value).await,
        // Another object of the same name: watchers must see the old one go.
        Some(record) if before.is_none_or(|before| before.uid() != object.uid()) => {
            store.delete(key.to_owned(), record.revision).await?;
            store.create(key.to_owned(), value).await
        }
        Some(record) => store.update(key.to_owned(), record.revision, value).await,
    }?;
    Ok(())
}
