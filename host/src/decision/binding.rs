//! Which implementation decides for which object.

use super::{discovery::DiscoveryTransformer, health::HealthChecker, resolver::Resolver};
use crate::model::failure_policy::FailurePolicy;
use std::sync::Arc;
use tokio::sync::watch;

/// The objects that a decision is about; the APIService's annotation wins over the ExternalName's, which wins
/// over the bindings in a plugin's own manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingSubject {
    /// Name of the APIService.
    pub api_service: String,
    /// `namespace/name` of the service.
    pub service: (String, String),
    /// The value of the decision's annotation on the APIService, else on the ExternalName.
    pub plugin: Option<String>,
    /// What stands in when the plugin fails, by the annotation on the APIService, else on the ExternalName; without
    /// it the plugin's manifest says so.
    pub failure_policy: Option<FailurePolicy>,
}

/// Hands out the implementation for each decision. The built-in one stands behind each as a fallback.
pub trait Decisions: Send + Sync {
    /// Who resolves this service.
    fn resolver(&self, subject: &BindingSubject) -> Arc<dyn Resolver>;
    /// Who judges this backend.
    fn health_checker(&self, subject: &BindingSubject) -> Arc<dyn HealthChecker>;
    /// Nobody asks for this APIService any more.
    fn forget(&self, _api_service: &str) {}
    /// The transformers of discovery, in the order in which they are applied.
    fn transformers(&self) -> Vec<Arc<dyn DiscoveryTransformer>>;
    /// Counts the changes of the set of implementations: whoever keeps answers asks again when it moves.
    fn generation(&self) -> watch::Receiver<u64>;
}
