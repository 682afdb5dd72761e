//! Plugins as they are shown to people, and what people may ask of them.

use super::host::Host;
use super::status::{State, Status, report};
use crate::decision::plugins::{Deed, Newest, PluginView, Plugins};
use serde_json::{Value, json};
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
        self.roster().news()
    }

    fn present(&self) -> Option<Vec<String>> {
        let roster = self.roster();
        roster.has_looked().then(|| roster.all().keys().cloned().collect())
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
        let mut document = report(&self.status());
        document["directory"] = json!(self.roster().directory());
        document["nativeCode"] = json!(self.code_counts());
        document
    }

    fn calls(&self, plugin: &str) -> Option<Value> {
        self.roster().slot(plugin).map(|slot| slot.calls_kept.report(plugin))
    }
}

fn view(status: Status, disabled: bool) -> PluginView {
    let mend = match (status.reason, status.state) {
        (Some(reason), _) => reason.cure(),
        (None, State::Disabled) => "remove the annotation plugins.umbel.dev/disabled",
        (None, _) => "",
    };
    let newest = match status.state {
        State::Checking | State::Compiling | State::Linking | State::Validating | State::Rehearsing => {
            Newest::UnderWay
        }
        State::Rejected | State::Removed | State::Missing => Newest::Refused,
        _ if status.generation == 0 => Newest::Refused,
        State::Disabled if status.reason.is_some() && status.hold.is_none() => Newest::Refused,
        _ => Newest::Loaded,
    };
    let steps = status.steps.iter().map(|took| (took.step.to_string(), took.milliseconds)).collect();
    let hold = status.hold.map(|hold| (hold.reason.to_string(), hold.message));
    PluginView {
        name: status.name,
        path: status.path,
        manifest: status.manifest,
        state: status.state.to_string(),
        since: status.since,
        outcome: status.outcome,
        steps,
        serves: status.generation > 0 && hold.is_none() && !disabled,
        failing: status.failing,
        hold,
        newest,
        disabled,
        reason: status.reason.map(|reason| reason.to_string()).unwrap_or_default(),
        message: status.message,
        mend: mend.to_owned(),
        generation: status.generation,
        digest: status.digest.unwrap_or_default(),
        interfaces: status.interfaces,
        version: status.version,
        description: status.description.unwrap_or_default(),
        calls: status.calls,
        faults: status.faults,
        bindings: status.bindings.into_iter().map(|b| [b.object, b.kind.to_owned(), b.policy]).collect(),
        last_fault: status.last_fault.unwrap_or_default(),
        rehearsal: serde_json::to_value(status.rehearsal).unwrap_or_default(),
    }
}
