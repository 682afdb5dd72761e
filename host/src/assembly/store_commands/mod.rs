//! `umbel store`: looks at, saves and fills the store of a stopped Umbel.

mod export;
mod import;
mod incoming;

use super::CommandError;
use crate::store;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Check the store of a stopped Umbel without changing it: exit code 0 when it is whole, 1 when it is not
    Verify(DataDirectory),
    /// Write every object of a stopped Umbel as a stream of YAML documents
    Export(export::ExportFlags),
    /// Create and update objects of a stopped Umbel from such a stream; objects that it does not name stay
    Import(import::ImportFlags),
}

/// The flag that all these commands share.
#[derive(Args, Debug)]
pub(super) struct DataDirectory {
    /// Umbel's data directory; Umbel must not run
    #[arg(long, value_name = "DIR", default_value = "./umbel-data", value_hint = ValueHint::DirPath)]
    data_dir: PathBuf,
}

/// Runs one of the commands.
pub(super) fn run(command: &StoreCommand) -> Result<(), CommandError> {
    match command {
        StoreCommand::Verify(flags) => verify(flags),
        StoreCommand::Export(flags) => export::run(flags),
        StoreCommand::Import(flags) => import::run(flags),
    }
}

fn verify(flags: &DataDirectory) -> Result<(), CommandError> {
    let found = store::verify(&flags.data_dir).map_err(CommandError::failed)?;
    super::print(&format!(
        "{} is whole: {} objects, revision {}, history from revision {}, {} bytes\n",
        found.file.display(),
        found.records,
        found.revision,
        found.oldest,
        found.file_bytes,
    ))
}
