//! Plugins as objects: the plugin directory, mirrored into the store, and what annotations ask for.
//!
//! ```text
//!  plugin directory ─▶ Plugins::views ─▶ picture ─▶ Registry::keep ─▶ kubectl
//!                          ▲                                            │
//!                          └───────────── asked (annotations) ◀─────────┘
//! ```
//!
//! What an operator should know of a change is told as an event as well (`news`).
//!
//! Written only when something changes; counters at most every ten seconds. An object goes when its name does.

mod asked;
mod aspects;
mod keeper;
mod news;
mod picture;

use super::events::Recorder;
use crate::decision::plugins::Plugins;
use crate::kind::plugin::{DISABLED, KIND};
use crate::model::failure::Failure;
use crate::observe::Supervisor;
use crate::registry::{ListOptions, Registry};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Who writes the objects.
const MANAGER: &str = "umbel";
/// Who tells of them in events.
const REPORTER: &str = "umbel.dev/plugins";

/// The running task; dropping it ends it and changes no object.
#[derive(Debug)]
pub struct PluginObjects(JoinHandle<()>);

impl Drop for PluginObjects {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Switches off what was switched off before the gateway stopped. To be awaited before anybody asks a plugin.
///
/// # Errors
/// When the stored objects cannot be read.
pub async fn restore(plugins: &dyn Plugins, registry: &Registry) -> Result<(), Failure> {
    for object in registry.list(&KIND, &ListOptions::default()).await?.objects {
        if object.annotation(DISABLED) == Some("true") {
            plugins.set_disabled(object.name(), true);
        }
    }
    Ok(())
}

/// Keeps the objects as the plugins are. Must be called on the control runtime.
pub fn start(plugins: Arc<dyn Plugins>, registry: Registry, events: Recorder) -> PluginObjects {
    PluginObjects(tokio::spawn(async move {
        let mut supervisor = Supervisor::new("showing plugins as objects");
        let run = || keeper::run(Arc::clone(&plugins), registry.clone(), events.clone());
        while supervisor.must_restart(run()).await {}
    }))
}
