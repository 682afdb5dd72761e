//! A component that is ready to be called.

use crate::plugin::breaker::Breaker;
use crate::plugin::component::bindings::{discovery, health, lifecycle, resolver};
use crate::plugin::component::budget::{Budget, Facet};
use crate::plugin::component::call_state::{CallState, Profile};
use crate::plugin::component::shelf::Shelf;
use crate::plugin::saved::PairId;
use crate::plugin::source::manifest::Reuse;
use crate::plugin::telemetry::Tally;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::Semaphore;

/// One loaded component with its manifest. Never changed; a new file makes a new generation, and calls in flight
/// keep the old one alive.
pub(in crate::plugin) struct Generation {
    /// Where its calls are counted: with those of the plugin, once it serves.
    pub tally: ArcSwap<Tally>,
    /// What its host functions see.
    pub profile: Arc<Profile>,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// What it can be asked.
    pub facets: Facets,
    /// Places for calls at once.
    pub places: Arc<Semaphore>,
    /// Calls that wait for a place.
    pub waiting: AtomicUsize,
    /// Instances that wait for their next call, where the manifest asks for that.
    pub shelves: Shelves,
    /// Name, version and summary that it states.
    pub description: String,
    /// The version that it states.
    pub version: String,
    /// The decisions that it implements.
    pub interfaces: Vec<String>,
    /// Whether its component imports WASI.
    pub wasi: bool,
    /// Counts faults in a row.
    pub breaker: Breaker,
}

/// The exports of a component, looked up once.
#[derive(Clone)]
pub(in crate::plugin) struct Facets {
    pub lifecycle: lifecycle::PartPre<CallState>,
    pub resolver: Option<resolver::PartPre<CallState>>,
    pub health: Option<health::PartPre<CallState>>,
    pub discovery: Option<discovery::PartPre<CallState>>,
}

/// Warm instances by decision. Discovery has none: its outcome may depend on nothing but the group.
pub(in crate::plugin) struct Shelves {
    pub resolver: Option<Arc<Shelf<resolver::Part>>>,
    pub health: Option<Arc<Shelf<health::Part>>>,
    /// Whether instances are also kept from calls in a recorded world, which is good for measuring alone.
    pub on_trial: bool,
}

impl Shelves {
    /// Shelves under the rule of a manifest; without one nothing is kept.
    pub(in crate::plugin) fn new(rule: Option<Reuse>) -> Self {
        Self { resolver: rule.map(Shelf::new), health: rule.map(Shelf::new), on_trial: false }
    }
}

impl Generation {
    /// Whether it implements the decision.
    pub(in crate::plugin) fn has(&self, facet: Facet) -> bool {
        match facet {
            Facet::Lifecycle => true,
            Facet::Resolver => self.facets.resolver.is_some(),
            Facet::Health => self.facets.health.is_some(),
            Facet::Discovery => self.facets.discovery.is_some(),
        }
    }

    /// The files that it was loaded from.
    pub(in crate::plugin) fn pair(&self) -> PairId {
        PairId::of(&self.digest, &self.profile.manifest)
    }

    /// The limits of a call.
    pub(in crate::plugin) fn budget(&self, facet: Facet) -> Budget {
        facet.budget(&self.profile.manifest.spec.limits)
    }

    /// The span of one call.
    pub(in crate::plugin) fn span(&self, facet: Facet) -> tracing::Span {
        let Profile { name, generation, .. } = &*self.profile;
        tracing::debug_span!("plugin.call", plugin = name, generation, kind = facet.word())
    }

    /// The settings as JSON text.
    pub(in crate::plugin) fn settings(&self) -> String {
        self.profile.manifest.settings.clone()
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("profile", &self.profile).finish_non_exhaustive()
    }
}
