//! Creating and changing objects (contract §1.4).

use super::options::{Part, WriteOptions};
use super::{ObjectKey, Registry, admission, stored, work_apart};
use crate::kind::Kind;
use crate::model::failure::{Failure, FieldError};
use crate::model::object::Object;
use crate::object::lifecycle::remove_garbage_collection_finalizers;
use crate::object::managed_fields::is_same;
use crate::store::{Record, StoreError};
use bytes::Bytes;
use jiff::Timestamp;

/// How often another name is drawn for a `generateName`.
const NAME_DRAWS: usize = 8;
/// Upstream's words for a lost race.
const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl Registry {
    /// Creates an object in `namespace` (`""` at the cluster scope) and returns it as stored.
    ///
    /// # Errors
    /// 405 for a kind that the gateway keeps itself, 409 when the name is taken, 413 beyond [`super::OBJECT_MAX`], 422 when fields are wrong, 400 when it carries a resource version.
    pub async fn create(
        &self,
        kind: &'static Kind,
        namespace: &str,
        object: Object,
        options: &WriteOptions,
    ) -> Result<Object, Failure> {
        kind.check_verb("create")?;
        let may_redraw = object.name().is_empty() && !object.text(&["metadata", "generateName"]).is_empty();
        let draws = if may_redraw { NAME_DRAWS } else { 1 };
        let mut refused = Failure::internal("no name was drawn");
        for _ in 0..draws {
            match self.create_once(kind, namespace, object.clone(), options).await {
                Err(failure) if failure.reason == "AlreadyExists" => refused = failure,
                other => return other,
            }
        }
        if may_redraw {
            refused.message.push_str(", the server was not able to generate a unique name for the object");
        }
        Err(refused)
    }

    async fn create_once(
        &self,
        kind: &'static Kind,
        namespace: &str,
        object: Object,
        options: &WriteOptions,
    ) -> Result<Object, Failure> {
        let mut object = work_apart(options.input_size, || {
            admission::admit_new(kind, namespace, object, &options.manager, Timestamp::now())
        })?;
        if !object.resource_version().is_empty() {
            let message = "metadata.resourceVersion should not be set on objects to be created: leave it out";
            return Err(Failure::bad_request(message));
        }
        let key = ObjectKey::new(object.namespace(), object.name());
        let path = key.path(kind);
        let value = stored::encode_bounded(kind, &object, 0)?;
        if options.dry_run {
            let there = self.store_of(kind).get(&path).await.map_err(|e| stored::medium_failure(&e))?;
            return if there.is_some() { Err(self.taken(kind, &key).await) } else { Ok(object) };
        }
        match self.store_of(kind).create(path, value).await {
            Ok(revision) => {
                stored::stamp(&mut object, revision);
                Ok(object)
            }
            Err(StoreError::Exists { .. }) => Err(self.taken(kind, &key).await),
            Err(error) => Err(stored::medium_failure(&error)),
        }
    }

    async fn taken(&self, kind: &'static Kind, key: &ObjectKey) -> Failure {
        let mut failure = Failure::already_exists(kind.group, kind.plural, &key.name);
        if self.get(kind, key).await.is_ok_and(|there| is_terminating(&there)) {
            failure.message = format!("object is being deleted: {}", failure.message);
        }
        failure
    }

    /// Replaces an object by one that carries the resource version it was read at.
    ///
    /// # Errors
    /// 404 when it is not there, 409 when it changed meanwhile, 413 when it grows beyond [`super::OBJECT_MAX`], 422 when fields are wrong.
    pub async fn update(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        part: Part,
        object: Object,
        options: &WriteOptions,
    ) -> Result<Object, Failure> {
        self.change(kind, key, part, options, |_| Ok(object.clone())).await
    }

    /// Changes an object: `propose` makes the new state from the stored one, again for each lost race. A proposal
    /// that keeps the resource version it was given never conflicts: whenever it loses, another write has won, and
    /// it goes on until its turn comes or the caller drops the future, as the time limit of a request does. A
    /// proposal that changes nothing is not written and wakes no watcher.
    ///
    /// # Errors
    /// What `propose` refuses with; 404, 409, 413 and 422 as for [`Self::update`].
    pub async fn change(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        part: Part,
        options: &WriteOptions,
        mut propose: impl FnMut(&Object) -> Result<Object, Failure>,
    ) -> Result<Object, Failure> {
        loop {
            let record = self.read(kind, key).await?;
            let size = options.input_size.max(record.value.len());
            let plan = || plan_change(kind, key, part, options, &record, &mut propose);
            let Plan { current, mut next, value } = match work_apart(size, plan)? {
                Planned::Nothing(current) => return Ok(current),
                Planned::Write(plan) => plan,
            };
            let may_go = is_terminating(&next) && !has_finalizers(&next) && has_finalizers(&current);
            if options.dry_run {
                return Ok(next);
            }
            let written = if may_go {
                self.store_of(kind).delete(record.key, record.revision).await
            } else {
                self.store_of(kind).update(record.key, record.revision, value).await
            };
            match written {
                Ok(revision) => {
                    stored::stamp(&mut next, revision);
                    return Ok(next);
                }
                // A store that never waits must not keep a time limit from being looked at.
                Err(StoreError::Conflict { .. }) => tokio::task::yield_now().await,
                Err(error) => return Err(stored::medium_failure(&error)),
            }
        }
    }
}

/// What a change comes to.
enum Planned {
    /// The stored object is as proposed already.
    Nothing(Object),
    Write(Plan),
}

struct Plan {
    current: Object,
    next: Object,
    /// `next` as the store keeps it.
    value: Bytes,
}

/// All of a change that needs no store.
fn plan_change(
    kind: &'static Kind,
    key: &ObjectKey,
    part: Part,
    options: &WriteOptions,
    record: &Record,
    propose: &mut impl FnMut(&Object) -> Result<Object, Failure>,
) -> Result<Planned, Failure> {
    let current = stored::decode(&record.key, &record.value, record.revision)?;
    let proposed = propose(&current)?;
    check_uid(kind, key, options, &current)?;
    check_revision(kind, key, &current, &proposed)?;
    let mut next =
        admission::admit_change(kind, part, &current, proposed, &options.manager, Timestamp::now())?;
    if is_terminating(&next) {
        // An earlier version stored them and waited forever.
        remove_garbage_collection_finalizers(&mut next);
    }
    if is_same(&current, &next) {
        return Ok(Planned::Nothing(current));
    }
    let value = stored::encode_bounded(kind, &next, record.value.len())?;
    Ok(Planned::Write(Plan { current, next, value }))
}

/// Whether a deletion has begun.
pub(super) fn is_terminating(object: &Object) -> bool {
    !object.text(&["metadata", "deletionTimestamp"]).is_empty()
}

/// Whether somebody must act before the object may go.
pub(super) fn has_finalizers(object: &Object) -> bool {
    object.at(&["metadata", "finalizers"]).and_then(|f| f.as_array()).is_some_and(|f| !f.is_empty())
}

fn check_uid(
    kind: &'static Kind,
    key: &ObjectKey,
    options: &WriteOptions,
    current: &Object,
) -> Result<(), Failure> {
    match &options.uid {
        Some(uid) if uid != current.uid() => {
            let cause = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                current.uid()
            );
            Err(Failure::conflict(kind.group, kind.plural, &key.name, &cause))
        }
        _ => Ok(()),
    }
}

fn check_revision(
    kind: &'static Kind,
    key: &ObjectKey,
    current: &Object,
    proposed: &Object,
) -> Result<(), Failure> {
    let given = proposed.resource_version();
    if given == current.resource_version() {
        return Ok(());
    }
    if given.is_empty() || given == "0" {
        let error = FieldError::invalid("metadata.resourceVersion", "0", "must be specified for an update");
        // Upstream names the resource here, not the kind (contract §1.4).
        return Err(Failure::invalid(kind.group, kind.plural, &key.name, &[error]));
    }
    if given.parse::<u64>().is_err() {
        return Err(Failure::bad_request(format!(
            "metadata.resourceVersion: Invalid value: {given:?}: must be the number that a read gave"
        )));
    }
    Err(Failure::conflict(kind.group, kind.plural, &key.name, MODIFIED))
}
