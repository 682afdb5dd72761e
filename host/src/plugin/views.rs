//! Plugins as they are shown to people, and what people may ask of them.

use super::host::Host;
use super::status::{Condition, Reason, Status, report};
use crate::decision::plugins::{Deed, PluginView, Plugins};
use serde_json::Value;
use tokio::sync::watch;

impl Plugins for Host {
    fn views(&self) -> Option<Vec<PluginView>> {
        let roster = self.roster();
        let view = |status: Status| {
            let disabled = roster.is_disabled(&status.name);
            view(status, disabled)
        };
        roster.has_looked().then(|| self.status().into_iter().map(view).collect())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.roster().changes()
    }

    fn act(&self, plugin: &str, deed: Deed) -> Result<String, String> {
        let roster = self.roster();
        let slot = roster.slot(plugin).ok_or_else(|| roster.absence(plugin))?;
        let done = match deed {
            Deed::Reload => {
                self.look_again(plugin);
                "its files are read again".to_owned()
            }
            Deed::Rollback => slot.go_back()?,
            Deed::Reset => slot.reset()?,
        };
        roster.announce();
        Ok(done)
    }

    fn set_disabled(&self, plugin: &str, disabled: bool) {
        self.roster().set_disabled(plugin, disabled);
    }

    fn report(&self) -> Value {
        report(&self.status())
    }
}

fn view(status: Status, disabled: bool) -> PluginView {
    let suspended = status.condition == Condition::Suspended || status.reason == Some(Reason::Quarantined);
    let mend = status.reason.map(Reason::cure).unwrap_or_default().to_owned();
    let mut view = PluginView {
        name: status.name,
        path: status.path,
        manifest: status.manifest,
        state: format!("{:?}", status.condition),
        serves: status.generation > 0 && !suspended && !disabled,
        accepted: status.generation > 0 && (suspended || status.reason.is_none()),
        disabled,
        reason: status.reason.map(|reason| reason.to_string()).unwrap_or_default(),
        message: status.message,
        mend,
        generation: status.generation,
        digest: status.digest.unwrap_or_default(),
        interfaces: status.interfaces,
        version: status.version,
        description: status.description.unwrap_or_default(),
        calls: status.calls,
        faults: status.faults,
        last_fault: status.last_fault.unwrap_or_default(),
    };
    if disabled {
        view.state = "Disabled".to_owned();
        if view.reason.is_empty() {
            view.reason = "Disabled".to_owned();
            view.message = "an operator has switched it off".to_owned();
            view.mend = "remove the annotation plugins.umbel.dev/disabled".to_owned();
        }
    }
    view
}
