//! What the control plane reads from and writes to the registry.

use super::condition::{Condition, Truth};
use super::events::{Occurrence, Recorder, Tale, Weight};
use crate::kind::api_service::AVAILABLE;
use crate::kind::{Kind, api_service, external_name};
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::registry::{
    ListOptions, ObjectEvent, ObjectKey, ObjectWatch, Part, Registry, WatchOptions, WatchStart, WriteOptions,
};
use crate::store::Revision;
use jiff::Timestamp;

/// Who owns the written conditions.
const MANAGER: &str = "umbel";
/// Who tells of them in events.
const REPORTER: &str = "umbel.dev/availability";

/// The kinds that decide about routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Watched {
    ApiServices,
    ExternalNames,
}

/// One change of a kind.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// The object is now so.
    Put(Object),
    /// The object is gone; its last state.
    Removed(Object),
}

/// Why objects cannot be had or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SourceError {
    /// The watch fell behind the kept history: list again.
    #[error("the watched revision is no longer kept")]
    Compacted,
    /// Somebody else wrote first, or the object is gone: the newer state arrives through the watch.
    #[error("the object has been modified")]
    Conflict,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> Self {
        match failure.code {
            410 => Self::Compacted,
            404 | 409 => Self::Conflict,
            _ => Self::Failed(failure.message),
        }
    }
}

impl Watched {
    fn kind(self) -> &'static Kind {
        match self {
            Self::ApiServices => &api_service::KIND,
            Self::ExternalNames => &external_name::KIND,
        }
    }
}

/// The registry as the control plane sees it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) registry: Registry,
    pub(super) events: Recorder,
}

impl Source {
    /// Every object of a kind, and the revision to watch from.
    pub(super) async fn list(&self, kind: Watched) -> Result<(Vec<Object>, Revision), SourceError> {
        let list = self.registry.list(kind.kind(), &ListOptions::default()).await?;
        Ok((list.objects, list.revision))
    }

    /// Every change of a kind after a revision, in order.
    pub(super) async fn watch(&self, kind: Watched, after: Revision) -> Result<Changes, SourceError> {
        let options = WatchOptions { start: WatchStart::After(after), ..WatchOptions::default() };
        Ok(Changes(self.registry.watch(kind.kind(), options).await?))
    }

    /// Makes `condition` the `Available` condition of an APIService in its newest stored state, and returns the
    /// revision in which it stands so. Writes nothing when nothing differs.
    pub(super) async fn set_condition(
        &self,
        api_service: &str,
        uid: &str,
        condition: &Condition,
    ) -> Result<Revision, SourceError> {
        let key = ObjectKey::new("", api_service);
        let options = WriteOptions { uid: Some(uid.to_owned()), ..WriteOptions::by(MANAGER) };
        let mut before = None;
        let propose = |current: &Object| {
            before = Condition::read(current);
            let mut next = current.clone();
            condition.write(&mut next, Timestamp::now());
            Ok(next)
        };
        let written = self.registry.change(&api_service::KIND, &key, Part::Status, &options, propose).await?;
        if before.map(|before| before.status) != Some(condition.status) {
            self.tell(key, uid, condition);
        }
        Ok(written.resource_version().parse().unwrap_or_default())
    }

    /// Notes that an APIService became available or ceased to be.
    fn tell(&self, object: ObjectKey, uid: &str, condition: &Condition) {
        let weight = if condition.status == Truth::True { Weight::Normal } else { Weight::Warning };
        let note = format!("{AVAILABLE} is {}: {}", condition.status.as_str(), condition.message);
        self.events.record(Occurrence {
            tale: Tale { weight, action: "Check", reason: condition.reason.clone(), note },
            kind: &api_service::KIND,
            object,
            uid: uid.to_owned(),
            reporter: REPORTER,
        });
    }
}

/// A running watch. Dropping it ends it.
pub(super) struct Changes(ObjectWatch);

impl Changes {
    /// The next change. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Change, SourceError> {
        loop {
            match self.0.next().await? {
                ObjectEvent::Added(object) | ObjectEvent::Modified(object) => return Ok(Change::Put(object)),
                ObjectEvent::Deleted(object) => return Ok(Change::Removed(object)),
                ObjectEvent::Synced(_) | ObjectEvent::Progress(_) => {}
            }
        }
    }
}
