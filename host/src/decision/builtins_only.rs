//! Decisions of a gateway that was built without the plugin platform.

use super::binding::{BindingSubject, Decisions};
use super::builtin::{DiscoveryProbe, ExternalNameResolver};
use super::discovery::DiscoveryTransformer;
use super::health::HealthChecker;
use super::plugins::{Deed, PluginView, Plugins};
use super::resolver::Resolver;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;

/// The built-ins decide everything; there is no plugin to show.
#[derive(Debug)]
pub struct BuiltinsOnly {
    changes: watch::Sender<u64>,
}

impl Default for BuiltinsOnly {
    fn default() -> Self {
        Self { changes: watch::Sender::new(0) }
    }
}

impl Decisions for BuiltinsOnly {
    fn resolver(&self, _subject: &BindingSubject) -> Arc<dyn Resolver> {
        Arc::new(ExternalNameResolver)
    }

    fn health_checker(&self, _subject: &BindingSubject) -> Arc<dyn HealthChecker> {
        Arc::new(DiscoveryProbe)
    }

    fn transformers(&self) -> Vec<Arc<dyn DiscoveryTransformer>> {
        Vec::new()
    }

    fn generation(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Plugins for BuiltinsOnly {
    // The objects of a gateway with plugins on the same data directory stay, with what operators wrote on them.
    fn views(&self) -> Option<Vec<PluginView>> {
        None
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn present(&self) -> Option<Vec<String>> {
        None
    }

    fn act(&self, _plugin: &str, _deed: Deed) -> Result<String, String> {
        Err("this gateway was built without plugins".to_owned())
    }

    fn set_disabled(&self, _plugin: &str, _disabled: bool) {}

    fn report(&self) -> Value {
        json!({"apiVersion": "plugins.umbel.dev/v1alpha1", "kind": "PluginStatusList", "items": []})
    }

    fn calls(&self, _plugin: &str) -> Option<Value> {
        None
    }
}
