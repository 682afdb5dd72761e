//! Everything that reconciles: started together, and stopped together.

use crate::control::events::Events;
use crate::control::manifests::{self, Manifests};
use crate::control::openapi::{self, OpenApi};
use crate::control::plugins::{self as plugin_objects, PluginObjects};
use crate::control::{ControlConfig, ControlPlane, Running};
use crate::decision::plugins::Plugins;
use std::path::PathBuf;
use std::sync::Arc;

/// The running parts of the control plane. Dropping it stops them in the order of its fields: first those who write
/// objects, and last those who tell what happened to them.
pub(super) struct Controllers {
    pub(super) manifests: Manifests,
    _plugin_objects: PluginObjects,
    _openapi: OpenApi,
    pub(super) routes: Running,
    _events: Events,
}

impl Controllers {
    /// Starts all of them on the current runtime, which must be the control runtime.
    pub(super) fn start(
        config: ControlConfig,
        manifest_dir: PathBuf,
        plugins: Arc<dyn Plugins>,
        events: Events,
    ) -> Self {
        let (registry, recorder) = (config.registry.clone(), config.events.clone());
        let shared = Arc::clone(&config.shared);
        let routes = ControlPlane::start(config);
        Self {
            _openapi: openapi::start(&routes, shared),
            routes,
            manifests: manifests::start(manifest_dir, registry.clone()),
            _plugin_objects: plugin_objects::start(plugins, registry, recorder),
            _events: events,
        }
    }
}
