//! The conditions of a plugin: what its state means for those who wait for something. Pure.

use crate::decision::plugins::{Newest, PluginView};
use crate::kind::plugin::{HEALTHY, LOADED, READY, SERVING, SETTINGS_VALID};
use crate::object::condition::Condition;

/// One condition, with text of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aspect {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

impl Aspect {
    fn new(kind: &'static str, status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, status, reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn as_condition(&self) -> Condition<'_> {
        Condition { kind: self.kind, status: self.status, reason: &self.reason, message: &self.message }
    }
}

/// Reasons of a manifest that does not suit its plugin.
const SETTINGS_REASONS: [&str; 2] = ["ManifestInvalid", "SettingsInvalid"];
/// The reason of a generation that was given up for the one before it.
pub(super) const ROLLED_BACK: &str = "RolledBack";

/// The reason of a generation that answers and has failed lately.
pub(super) const CALLS_FAIL: &str = "CallsFail";

/// What is told where nothing answers; `Loaded` says why.
const NOTHING_SERVES: &str = "no generation of it answers, so what stands behind it decides";

/// All conditions of a plugin.
pub(super) fn of(view: &PluginView) -> [Aspect; 5] {
    let serving = serving(view);
    let ready = Aspect { kind: READY, ..serving.clone() };
    [loaded(view), settings_valid(view), serving, ready, healthy(view)]
}

fn why(view: &PluginView) -> &str {
    if view.reason.is_empty() { &view.state } else { &view.reason }
}

fn trouble(view: &PluginView) -> String {
    match (view.message.as_str(), view.mend.as_str()) {
        (message, "") => message.to_owned(),
        (message, mend) => format!("{message}; to mend it: {mend}"),
    }
}

fn loaded(view: &PluginView) -> Aspect {
    match view.newest {
        Newest::Loaded => {
            Aspect::new(LOADED, "True", "Loaded", "the newest file has been taken into service")
        }
        Newest::UnderWay => Aspect::new(LOADED, "Unknown", &view.state, trouble(view)),
        Newest::Refused => Aspect::new(LOADED, "False", why(view), trouble(view)),
    }
}

fn settings_valid(view: &PluginView) -> Aspect {
    if SETTINGS_REASONS.contains(&view.reason.as_str()) {
        return Aspect::new(SETTINGS_VALID, "False", &view.reason, trouble(view));
    }
    let was_asked = view.newest == Newest::Loaded || view.reason == ROLLED_BACK;
    if was_asked {
        return Aspect::new(SETTINGS_VALID, "True", "Valid", "the plugin takes the settings of its manifest");
    }
    Aspect::new(SETTINGS_VALID, "Unknown", why(view), "the plugin has not been asked about its settings")
}

fn serving(view: &PluginView) -> Aspect {
    let number = view.generation;
    match (&view.hold, view.newest) {
        _ if view.disabled => Aspect::new(SERVING, "False", "Disabled", trouble(view)),
        (Some((reason, message)), _) => Aspect::new(SERVING, "False", reason, message.as_str()),
        _ if !view.serves => Aspect::new(SERVING, "False", why(view), NOTHING_SERVES),
        (None, Newest::Loaded) => {
            Aspect::new(SERVING, "True", "Serving", format!("generation {number} answers"))
        }
        (None, Newest::UnderWay) => {
            let text = format!("generation {number} answers while the newest file is made ready");
            Aspect::new(SERVING, "True", "OlderGeneration", text)
        }
        (None, Newest::Refused) => {
            let text = format!("generation {number} answers, the newest file does not: {}", trouble(view));
            Aspect::new(SERVING, "True", "OlderGeneration", text)
        }
    }
}

fn healthy(view: &PluginView) -> Aspect {
    match &view.hold {
        Some((reason, message)) => Aspect::new(HEALTHY, "False", reason, message.as_str()),
        None if view.reason == ROLLED_BACK => Aspect::new(HEALTHY, "False", ROLLED_BACK, trouble(view)),
        None if view.serves && view.failing.is_some() => {
            Aspect::new(HEALTHY, "False", CALLS_FAIL, view.failing.as_deref().unwrap_or_default())
        }
        None if view.serves && view.state == "Probation" => {
            Aspect::new(HEALTHY, "Unknown", "Probation", "it has not been asked often enough to tell")
        }
        None if view.serves => Aspect::new(HEALTHY, "True", "Healthy", "it does not fail too often"),
        None => Aspect::new(HEALTHY, "Unknown", why(view), "nothing of it is asked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> PluginView {
        PluginView {
            state: "Active".to_owned(),
            serves: true,
            newest: Newest::Loaded,
            generation: 2,
            ..PluginView::default()
        }
    }

    /// Loaded, SettingsValid, Serving and Healthy in short.
    fn told(view: &PluginView) -> String {
        let all = of(view);
        assert_eq!((all[2].status, &all[2].reason), (all[3].status, &all[3].reason), "Ready is Serving");
        let short = |aspect: &Aspect| format!("{}/{}", aspect.status, aspect.reason);
        [0, 1, 2, 4].map(|at| short(&all[at])).join(" ")
    }

    #[test]
    fn each_state_says_what_serves_and_what_became_of_the_newest_file() {
        let under_way = PluginView { state: "Compiling".into(), newest: Newest::UnderWay, ..view() };
        let first = PluginView { generation: 0, serves: false, ..under_way.clone() };
        let refused = |reason: &str| PluginView {
            state: "Rejected".into(),
            newest: Newest::Refused,
            reason: reason.to_owned(),
            message: "m".into(),
            mend: "do".into(),
            ..view()
        };
        let held = PluginView {
            state: "Suspended".into(),
            serves: false,
            reason: "Suspended".into(),
            hold: Some(("Suspended".into(), "it trapped".into())),
            ..view()
        };
        let failing = PluginView { failing: Some("it trapped".into()), ..view() };
        let on_probation = PluginView { state: "Probation".into(), ..failing.clone() };
        let disabled =
            PluginView { state: "Disabled".into(), serves: false, disabled: true, ..failing.clone() };
        for (view, wanted) in [
            (view(), "True/Loaded True/Valid True/Serving True/Healthy"),
            (failing, "True/Loaded True/Valid True/Serving False/CallsFail"),
            (on_probation, "True/Loaded True/Valid True/Serving False/CallsFail"),
            (under_way, "Unknown/Compiling Unknown/Compiling True/OlderGeneration True/Healthy"),
            (first, "Unknown/Compiling Unknown/Compiling False/Compiling Unknown/Compiling"),
            (refused("TooLarge"), "False/TooLarge Unknown/TooLarge True/OlderGeneration True/Healthy"),
            (
                refused("SettingsInvalid"),
                "False/SettingsInvalid False/SettingsInvalid True/OlderGeneration True/Healthy",
            ),
            (refused("RolledBack"), "False/RolledBack True/Valid True/OlderGeneration False/RolledBack"),
            (held, "True/Loaded True/Valid False/Suspended False/Suspended"),
            (disabled, "True/Loaded True/Valid False/Disabled Unknown/Disabled"),
        ] {
            assert_eq!(told(&view), wanted, "{view:?}");
        }
        assert_eq!(of(&refused("TooLarge"))[0].message, "m; to mend it: do");
    }
}
