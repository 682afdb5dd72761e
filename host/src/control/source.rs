//! What the control plane needs from the registry.

use crate::model::object::Object;
use crate::store::Revision;
use futures_util::future::BoxFuture;

/// The kinds that decide about routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watched {
    /// `apiregistration.k8s.io/v1 APIService`.
    ApiServices,
    /// `service.grafana.app/v0alpha1 ExternalName`.
    ExternalNames,
}

/// All objects of a kind as of one revision.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The objects, with their `metadata.resourceVersion`.
    pub objects: Vec<Object>,
    /// The revision to watch from.
    pub revision: Revision,
}

/// One change of a kind.
#[derive(Clone, Debug)]
pub enum Change {
    /// The object is now so.
    Put(Object),
    /// The object is gone.
    Removed {
        /// Its namespace, `""` for a cluster-scoped kind.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Why objects cannot be had or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
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

/// A running watch. Dropping it ends it.
pub trait Changes: Send {
    /// The next change and its revision. Cancel safe.
    fn next(&mut self) -> BoxFuture<'_, Result<(Revision, Change), SourceError>>;
}

/// The registry as the control plane sees it.
pub trait ObjectSource: Send + Sync + 'static {
    /// Every object of a kind.
    fn list(&self, kind: Watched) -> BoxFuture<'_, Result<Listed, SourceError>>;

    /// Every change of a kind after `after`, in order.
    fn watch(&self, kind: Watched, after: Revision) -> BoxFuture<'_, Result<Box<dyn Changes>, SourceError>>;

    /// Writes the status of an APIService as the manager `umbel`, provided that the stored object still is at
    /// the resource version of `api_service`. Writes nothing when nothing differs.
    fn update_status(&self, api_service: Object) -> BoxFuture<'_, Result<(), SourceError>>;
}
