//! What people are told about a plugin.

use super::bound::Binding;
use super::rehearsal::Rehearsal;
use crate::plugin::adapter::stand_in::StandInCount;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where a plugin is on its way from the directory into service. The state is that of its newest files; which
/// generation serves meanwhile is another matter and shown beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum State {
    /// Its files are read and judged: name, rights, size, kind, digest, manifest.
    Checking,
    /// Native code is made of it, or taken from the cache.
    Compiling,
    /// Its imports are connected and its exports found.
    Linking,
    /// It is asked what it is and whether its settings suit it.
    Validating,
    /// It answers recorded calls before it is trusted with real ones.
    Rehearsing,
    /// It serves and is watched closely: when it fails, the generation before it serves again.
    Probation,
    /// It serves.
    Active,
    /// Its newest files cannot serve. The generation before does, where there is one, or the built-in.
    Rejected,
    /// It failed again and again; it is asked again later, and the built-in decides until then.
    Suspended,
    /// It was suspended again and again, and is not asked any more.
    Quarantined,
    /// An operator has switched it off.
    Disabled,
    /// Its file is gone.
    Removed,
    /// A binding or a manifest names it, and there is no such file.
    Missing,
}

impl State {
    /// How long a step may take; `None` for what is no step. Nobody waits for it longer, and compiling and rehearsing
    /// are ended by limits of their own before.
    pub(in crate::plugin) fn limit(self) -> Option<Duration> {
        match self {
            Self::Checking => Some(Duration::from_secs(10)),
            Self::Linking | Self::Rehearsing => Some(Duration::from_secs(30)),
            Self::Validating => Some(Duration::from_secs(120)),
            Self::Compiling => Some(Duration::from_secs(360)),
            _ => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How long one step took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StepTime {
    /// Which one.
    pub step: State,
    /// Its duration.
    pub milliseconds: u64,
}

/// Why what is loaded is not asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// The reason code.
    pub reason: Reason,
    /// The reason in words.
    pub message: String,
}

/// Why a component is not taken into service. A closed set, so that each has a documented cure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The file name is no DNS label.
    InvalidName,
    /// The file cannot be read.
    Unreadable,
    /// Reading the files does not end.
    CheckTimeout,
    /// The file is larger than the limit.
    TooLarge,
    /// Others than root and the gateway's own user may write the file or its directory.
    PermissionsTooOpen,
    /// The file is a core module, a text, or anything else that is no component.
    NotAComponent,
    /// The file's digest is not the one that its manifest pins.
    DigestMismatch,
    /// The manifest cannot be understood.
    ManifestInvalid,
    /// The component is damaged.
    InvalidWasm,
    /// It is whole, and needs a feature that gateways leave off.
    UnsupportedFeature,
    /// Compiling takes too long.
    CompileTimeout,
    /// Compiling takes too much memory.
    CompileMemory,
    /// The compiler died, cannot be started, or answers nonsense.
    CompileFailed,
    /// It exports none of the interfaces that the host knows, or not `umbel:lifecycle/lifecycle`.
    NoKnownInterface,
    /// It exports a version of an interface that is newer than this host.
    InterfaceTooNew,
    /// It imports something that the host does not offer (to its kind).
    ImportNotOffered,
    /// Connecting its imports and finding its exports does not end.
    LinkTimeout,
    /// Its imports or exports have other types than the interface of that name.
    TypeMismatch,
    /// `describe` fails or answers nonsense.
    DescribeFailed,
    /// `validate` refuses the settings of the manifest.
    SettingsInvalid,
    /// It fails a recorded call that the generation before it answered.
    RehearsalTrap,
    /// It runs out of time at a recorded call that the generation before it answered.
    RehearsalTimeout,
    /// It answers a recorded call otherwise, and its manifest is strict about that.
    RehearsalDifferent,
    /// It was taken into service, failed again and again, and the generation before it serves again.
    RolledBack,
    /// It failed again and again, and there is no generation before it: it is asked again later.
    Suspended,
    /// It was suspended three times within ten minutes: it is not asked until its files change or an operator
    /// resets it.
    Quarantined,
    /// A binding names it and its file is not there.
    Missing,
    /// The engine cannot be built on this machine.
    EngineUnavailable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One plugin, as `/plugins` and the log show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name: the file name without `.wasm`.
    pub name: String,
    /// The file.
    pub path: String,
    /// Where its newest files are.
    pub state: State,
    /// Since when.
    #[serde(serialize_with = "as_text")]
    pub since: Timestamp,
    /// The number of the last outcome of its files; unique in this process.
    #[serde(skip)]
    pub outcome: u64,
    /// What the steps of the newest files took that are over.
    pub steps: Vec<StepTime>,
    /// Why the newest file does not serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The reason in words, with the cure where there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why the generation that is loaded is not asked, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The last fault of the serving generation, until enough calls were answered since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// The generation that serves. Counts what was taken into service under this name; 0 before the first.
    pub generation: u64,
    /// SHA-256 of the component that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The decisions that it implements, such as `umbel:resolver/resolver@0.1.0`.
    pub interfaces: Vec<String>,
    /// The version that it states.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The manifest of what serves, secrets by name only; shown elsewhere.
    #[serde(skip)]
    pub manifest: serde_json::Value,
    /// What it says about itself: name, version and summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How many calls it got.
    pub calls: u64,
    /// How many of them it failed (trap, time, memory, nonsense; "not found" is an answer).
    pub faults: u64,
    /// Every fault, of the load and those that the plugin declares included, by kind of decision and class.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub faults_by_class: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// The objects that lead to it, with what stands in for it when it fails; the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
    /// How often something stood in for it, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stand_ins: Vec<StandInCount>,
    /// The last fault that speaks against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<String>,
    /// How the newest file answered recorded calls before it was taken into service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.0}"))
}

impl Status {
    /// A name that a binding leads to and that has no file.
    pub(in crate::plugin) fn missing(name: &str, path: PathBuf, message: String, since: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            path: path.display().to_string(),
            state: State::Missing,
            since,
            outcome: 0,
            steps: Vec::new(),
            reason: Some(Reason::Missing),
            message,
            failing: None,
            hold: None,
            generation: 0,
            digest: None,
            interfaces: Vec::new(),
            version: String::new(),
            manifest: serde_json::Value::Null,
            description: None,
            calls: 0,
            faults: 0,
            faults_by_class: BTreeMap::new(),
            bindings: Vec::new(),
            stand_ins: Vec::new(),
            last_fault: None,
            rehearsal: None,
        }
    }
}

/// The document that `/plugins` shows.
pub fn report(plugins: &[Status]) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "plugins.umbel.dev/v1alpha1",
        "kind": "PluginStatusList",
        "items": plugins,
    })
}
