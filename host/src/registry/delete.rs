//! Deleting objects: preconditions and finalizers (contract §1.5).

use super::list::List;
use super::options::{DeleteOptions, ListOptions};
use super::write::{has_finalizers, is_terminating};
use super::{ObjectKey, Registry, stored};
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::object::condition::time_text;
use crate::object::lifecycle::remove_garbage_collection_finalizers;
use crate::store::StoreError;
use jiff::Timestamp;

/// What became of an object that was asked to go.
#[derive(Clone, Debug, PartialEq)]
pub enum Deleted {
    /// It is gone; its last state.
    Gone(Object),
    /// Finalizers keep it; its new state.
    Waiting(Object),
}

impl Registry {
    /// Deletes an object, or marks it where finalizers keep it.
    ///
    /// # Errors
    /// 404 when it is not there, 405 for a kind that the gateway keeps itself, 409 when a precondition does not hold.
    pub async fn delete(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        options: &DeleteOptions,
    ) -> Result<Deleted, Failure> {
        kind.check_verb("delete")?;
        loop {
            let record = self.read(kind, key).await?;
            let current = stored::decode(&record.key, &record.value, record.revision)?;
            check_preconditions(kind, key, &current, options)?;
            let mut next = current.clone();
            remove_garbage_collection_finalizers(&mut next);
            let outcome = if has_finalizers(&next) {
                mark_as_deleting(&mut next, Timestamp::now());
                if options.dry_run || next == current {
                    return Ok(Deleted::Waiting(next));
                }
                self.store_of(kind).update(record.key, record.revision, stored::encode(&next)?).await
            } else {
                if options.dry_run {
                    return Ok(Deleted::Gone(current));
                }
                self.store_of(kind).delete(record.key, record.revision).await
            };
            match outcome {
                Ok(revision) if has_finalizers(&next) => {
                    stored::stamp(&mut next, revision);
                    return Ok(Deleted::Waiting(next));
                }
                Ok(_) => return Ok(Deleted::Gone(current)),
                // Somebody else wrote first: look again, the preconditions decide.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(stored::medium_failure(&error)),
            }
        }
    }

    /// Deletes the objects that match. An object that another client deletes meanwhile is not an error. With a limit,
    /// the returned list has the continue token for the next call.
    ///
    /// # Errors
    /// As for [`Self::list`] and [`Self::delete`]; what was deleted before stays deleted.
    pub async fn delete_collection(
        &self,
        kind: &'static Kind,
        which: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<List, Failure> {
        // Listed at once, not in pages: the deletions would push the revision of the pages out of the history.
        let listed = self.list(kind, which).await?;
        let mut all = List { objects: Vec::new(), ..listed };
        for object in listed.objects {
            let key = ObjectKey::new(object.namespace(), object.name());
            match self.delete(kind, &key, options).await {
                Ok(_) => all.objects.push(object),
                Err(failure) if failure.code == 404 => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(all)
    }
}

fn check_preconditions(
    kind: &'static Kind,
    key: &ObjectKey,
    current: &Object,
    options: &DeleteOptions,
) -> Result<(), Failure> {
    let cause = match (&options.uid, &options.resource_version) {
        (Some(uid), _) if uid != current.uid() => format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). \
             The object might have been deleted and then recreated",
            current.uid()
        ),
        (_, Some(version)) if version != current.resource_version() => format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
             ({}). The object might have been modified",
            current.resource_version()
        ),
        _ => return Ok(()),
    };
    // Upstream names the kind here, not the resource (contract §1.5).
    Err(Failure::conflict(kind.group, kind.kind, &key.name, &cause))
}

fn mark_as_deleting(object: &mut Object, now: Timestamp) {
    if !is_terminating(object) {
        object.set(&["metadata", "deletionTimestamp"], time_text(now));
    }
    object.set(&["metadata", "deletionGracePeriodSeconds"], 0);
}
