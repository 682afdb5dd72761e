//! `--manifest-dir`: files that say which objects there shall be.
//!
//! Rules, each held by a test:
//! - Files `*.yaml`, `*.yml` and `*.json` directly in the directory count, links to files too; names that begin with
//!   a dot do not. A file holds any number of documents, lists are taken apart.
//! - An object that a file declares is created, and marked with the annotation [`MARK`]: the file's name. While the
//!   mark is there the file rules: every other `spec` is put right again, and the log says whose edit that was.
//!   Labels, annotations and finalizers that others add stay.
//! - An object without the mark was made by hand and is never touched. The conflict is shown on the object and in
//!   the log. Adding the mark by hand gives the object to the file, removing it takes the object away from it.
//! - What a file declared and no longer declares is removed. Nothing is removed while the file that it came from
//!   cannot be understood in full or is being written, or while the directory cannot be read.
//! - When two files declare one object, the first by name has it and the conflict is shown.

mod apply;
mod declared;
mod directory;
mod plan;
mod problems;
mod progress;
mod report;
mod watching;

#[cfg(test)]
mod tests;

use crate::kind::{ALL, Kind};
use crate::model::failure::Failure;
use crate::observe::Supervisor;
use crate::registry::{ListOptions, Registry};
use std::path::PathBuf;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Annotation that marks an object as made from a manifest; its value is the name of the file.
pub use crate::model::annotations::MANIFEST as MARK;
/// Annotation that tells of a conflict on objects of kinds without conditions.
pub use crate::model::annotations::MANIFEST_CONFLICT as CONFLICT;
/// Type of the condition that tells of a conflict on objects of kinds with conditions.
pub const CONFLICT_CONDITION: &str = "ManifestConflict";
/// Who owns the fields that manifests set.
pub const MANAGER: &str = "umbel-manifests";

/// The running task; dropping it ends it and changes no object.
#[derive(Debug)]
pub struct Manifests {
    task: JoinHandle<()>,
    looked: watch::Receiver<bool>,
}

impl Manifests {
    /// Resolves when the directory has been looked at for the first time and what it declares is stored, or is
    /// reported. Cancel safe.
    pub async fn first_look(&self) {
        // The task outlives its handle only while it is being dropped.
        drop(self.looked.clone().wait_for(|done| *done).await);
    }
}

impl Drop for Manifests {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The kinds that files may hold. Nothing else is listed, so that events cost no comparison anything.
fn declarable() -> impl Iterator<Item = &'static Kind> {
    ALL.into_iter().filter(|kind| kind.verbs.contains(&"create"))
}

/// Whether any stored object carries the [`MARK`].
///
/// # Errors
/// When the stored objects cannot be read.
pub async fn has_made_any(registry: &Registry) -> Result<bool, Failure> {
    for kind in declarable() {
        let list = registry.list(kind, &ListOptions::default()).await?;
        if list.objects.iter().any(|object| object.annotation(MARK).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Applies the files of `directory` now and whenever they change. The directory need not be there yet, and may go
/// and come back. Must be called on the control runtime.
pub fn start(directory: PathBuf, registry: Registry) -> Manifests {
    let (done, looked) = watch::channel(false);
    let task = tokio::spawn(async move {
        let mut supervisor = Supervisor::new("applying manifest files");
        let run = || watching::run(directory.clone(), registry.clone(), done.clone());
        while supervisor.must_restart(run()).await {}
    });
    Manifests { task, looked }
}
