//! `umbel store export`: every object as a YAML document.

use super::DataDirectory;
use crate::assembly::CommandError;
use crate::model::object::Object;
use crate::model::yaml;
use crate::store::{self, Record};
use clap::{Args, ValueHint};
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Flags of `umbel store export`.
#[derive(Args, Debug)]
pub(in crate::assembly) struct ExportFlags {
    #[command(flatten)]
    directory: DataDirectory,
    /// File to write; it is replaced only once all is written [default: standard output]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

pub(super) fn run(flags: &ExportFlags) -> Result<(), CommandError> {
    let records = store::records(&flags.directory.data_dir).map_err(CommandError::failed)?;
    let (stream, unreadable) = write_stream(&records);
    match &flags.output {
        None => crate::assembly::print(&stream)?,
        Some(file) => replace(file, &stream).map_err(|error| {
            CommandError::Failed(format!("cannot write {}: {error}; it is as it was before", file.display()))
        })?,
    }
    if unreadable.is_empty() {
        return Ok(());
    }
    Err(CommandError::Failed(format!(
        "these are no objects and have been left out, all others have been exported: {}",
        unreadable.join(", ")
    )))
}

/// The documents, and the keys of what is no object.
fn write_stream(records: &[Record]) -> (String, Vec<String>) {
    let mut stream = String::new();
    let mut unreadable = Vec::new();
    for record in records {
        match write_document(record) {
            Some(document) => {
                stream.push_str("---\n");
                stream.push_str(&document);
            }
            None => unreadable.push(record.key.clone()),
        }
    }
    (stream, unreadable)
}

fn write_document(record: &Record) -> Option<String> {
    let value: Value = serde_json::from_slice(&record.value).ok()?;
    let mut object = Object::from_value(value).ok()?;
    // It belongs to this store's sequence and means nothing elsewhere.
    object.take(&["metadata", "resourceVersion"]);
    Some(yaml::write(&object.into_value()))
}

/// Writes beside the file and renames, so that a failure never costs the export before; private to the user.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut unfinished = tempfile::NamedTempFile::new_in(directory)?;
    unfinished.write_all(text.as_bytes())?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(file).map_err(|error| error.error)?;
    Ok(())
}
