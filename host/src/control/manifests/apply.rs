//! Carrying out a plan.

use super::declared::Declared;
use super::plan::{Action, describe, overruled, plan, propose};
use super::problems::Problems;
use super::report::{Conflict, tell};
use super::{MANAGER, MARK, declarable, declared::ManifestFile};
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::registry::{DeleteOptions, ListOptions, ObjectKey, Part, Registry, WriteOptions};
use jiff::Timestamp;

/// Makes the store hold what the files declare; returns everything that stands in the way, in an order that stays
/// the same.
///
/// # Errors
/// When the stored objects cannot be read.
pub(super) async fn apply(registry: &Registry, files: &[ManifestFile]) -> Result<Vec<String>, Failure> {
    let (mut problems, has_created) = round(registry, files).await?;
    if has_created && !problems.is_empty() {
        // What is new may have to tell of a conflict.
        (problems, _) = round(registry, files).await?;
    }
    Ok(problems.into_texts())
}

/// The problems, and whether anything was created.
async fn round(registry: &Registry, files: &[ManifestFile]) -> Result<(Problems, bool), Failure> {
    let mut stored = Vec::new();
    for kind in declarable() {
        let list = registry.list(kind, &ListOptions::default()).await?;
        stored.extend(list.objects.into_iter().map(|object| (kind, object)));
    }
    let plan = plan(files, &stored);
    let (mut problems, mut has_created) = (plan.problems, false);
    for action in plan.actions {
        let is_create = matches!(action, Action::Create(_));
        match carry_out(registry, action).await {
            Ok(()) => has_created |= is_create,
            Err((file, problem)) => problems.add(&file, problem),
        }
    }
    Ok((problems, has_created))
}

/// The error comes with the file that it is about.
async fn carry_out(registry: &Registry, action: Action) -> Result<(), (String, String)> {
    match action {
        Action::Create(declared) => {
            let outcome = create(registry, &declared).await;
            told("created", &declared.kind, &declared.key, &declared.origin.file, &outcome);
            outcome.map(|written| warn(&declared, &written)).map_err(|failure| about(&declared, &failure))
        }
        Action::Update { declared, stored } => {
            let outcome = update(registry, &declared).await;
            tell_update(&declared, &stored, &outcome);
            outcome.map(|written| warn(&declared, &written)).map_err(|failure| about(&declared, &failure))
        }
        Action::Remove { kind, key, resource_version, file } => {
            // Whoever changed it meanwhile is looked at in the next round.
            let options =
                DeleteOptions { resource_version: Some(resource_version), ..DeleteOptions::default() };
            let outcome = registry.delete(kind, &key, &options).await;
            told("removed", &kind, &key, &file, &outcome);
            match outcome {
                Err(failure) if failure.code != 404 => {
                    let what = describe(kind, &key);
                    let text = format!("{what} of {file} cannot be removed: {}", failure.message);
                    Err((file, text))
                }
                _ => Ok(()),
            }
        }
        Action::Report { kind, key, conflict } => {
            let outcome = report(registry, kind, &key, conflict.as_ref()).await;
            outcome.map(drop).map_err(|failure| {
                let text = format!("{}: {}", describe(kind, &key), failure.message);
                ("conflicts".to_owned(), text)
            })
        }
    }
}

fn about(declared: &Declared, failure: &Failure) -> (String, String) {
    (declared.origin.file.clone(), format!("{}: {}", declared.origin, failure.message))
}

/// Logs the warnings that a client would receive.
fn warn(declared: &Declared, written: &Object) {
    for warning in declared.kind.rules.warnings(written) {
        let object = describe(declared.kind, &declared.key);
        tracing::warn!(
            object,
            file = declared.origin.file,
            warning,
            "a manifest says something that does nothing"
        );
    }
}

fn told<T>(done: &str, kind: &&Kind, key: &ObjectKey, file: &str, outcome: &Result<T, Failure>) {
    if outcome.is_ok() {
        tracing::info!(object = describe(kind, key), file, "{done} as the manifests say");
    }
}

/// An edit that is put back is told with its author: nobody shall wonder where it went.
fn tell_update(declared: &Declared, stored: &Object, outcome: &Result<Object, Failure>) {
    let authors = outcome.as_ref().map(|written| overruled(stored, written)).unwrap_or_default();
    if authors.is_empty() {
        told("updated", &declared.kind, &declared.key, &declared.origin.file, outcome);
    } else {
        tracing::info!(
            object = describe(declared.kind, &declared.key),
            file = declared.origin.file,
            edited_by = authors.join(", "),
            "an edit was put back, because this file rules the object: edit the file, or remove the annotation {MARK}"
        );
    }
}

async fn create(registry: &Registry, declared: &Declared) -> Result<Object, Failure> {
    let mut object = declared.object.clone();
    object.take(&["metadata", "resourceVersion"]);
    object.take(&["metadata", "uid"]);
    object.take(&["metadata", "managedFields"]);
    object.set(&["metadata", "annotations", MARK], declared.origin.file.as_str());
    registry.create(declared.kind, &declared.key.namespace, object, &WriteOptions::by(MANAGER)).await
}

async fn update(registry: &Registry, declared: &Declared) -> Result<Object, Failure> {
    let change = |current: &Object| {
        if current.annotation(MARK).is_none() {
            return Err(Failure::bad_request("it was taken away from the manifests just now"));
        }
        Ok(propose(current, declared))
    };
    registry.change(declared.kind, &declared.key, Part::Main, &WriteOptions::by(MANAGER), change).await
}

async fn report(
    registry: &Registry,
    kind: &'static Kind,
    key: &ObjectKey,
    conflict: Option<&Conflict>,
) -> Result<Object, Failure> {
    let part = if kind.has_status { Part::Status } else { Part::Main };
    let change = |current: &Object| {
        let mut next = current.clone();
        tell(kind, &mut next, conflict, Timestamp::now());
        Ok(next)
    };
    registry.change(kind, key, part, &WriteOptions::by(MANAGER), change).await
}
