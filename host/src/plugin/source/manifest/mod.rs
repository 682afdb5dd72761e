//! `<name>.yaml` beside a component: settings, grants, limits and bindings.

mod bindings;
mod form;
mod grants;
mod limits;
mod quantity;
mod reach;

pub(in crate::plugin) use bindings::{Bindings, Discovery, Purpose};
pub(in crate::plugin) use grants::{Grants, Secret};
pub(in crate::plugin) use limits::{Limits, Probation, Reuse};

use crate::model::failure_policy::FailurePolicy;
use crate::model::yaml;
use crate::plugin::offer::declared_metrics::{DeclaredMetric, check_metrics};
use limits::check_reuse;
use reach::{check_bindings, check_grants, check_groups, check_secrets};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::sync::Arc;

const API_VERSION: &str = "plugins.umbel.dev/v1alpha1";

/// What an operator says about a plugin. Without a manifest nothing is granted and nothing is bound.
#[derive(Clone, Debug, Default)]
pub(in crate::plugin) struct Manifest {
    /// The SHA-256 that the component must have, in hexadecimal.
    pub digest: Option<String>,
    /// The settings as JSON text, `{}` where there are none.
    pub settings: String,
    /// The text of the file, where there is one.
    pub text: Option<Arc<str>>,
    /// `spec` for people: secrets by name only.
    pub shown: serde_json::Value,
    /// What is in the file otherwise.
    pub spec: Spec,
}

/// `spec` of the manifest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Spec {
    digest: Option<String>,
    settings: Option<serde_json::Map<String, serde_json::Value>>,
    /// Secrets by the name that `http.credential` uses.
    pub secrets: BTreeMap<String, Secret>,
    /// What the plugin may reach.
    pub grants: Grants,
    /// Metrics of its own that are shown among the gateway's.
    pub metrics: Vec<DeclaredMetric>,
    /// The system interface that it may import.
    pub wasi: Wasi,
    /// Limits other than the usual ones.
    pub limits: Limits,
    /// When a new generation has proved itself.
    pub probation: Probation,
    /// Whether instances answer more than once; each call gets a new one without it.
    pub reuse: Option<Reuse>,
    /// What stands in for the plugin when it fails; each kind of decision has its usual order.
    #[serde(deserialize_with = "failure_policy")]
    pub failure_policy: Option<FailurePolicy>,
    /// What differences from the generation before mean.
    pub rehearsal: RehearsalMode,
    /// The objects that the plugin decides for without an annotation.
    pub bindings: Bindings,
    /// How it takes part in discovery.
    pub discovery: Discovery,
}

/// A profile of WASI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::plugin) enum Wasi {
    /// Nothing.
    #[default]
    None,
    /// Output into the log, clocks and random numbers.
    Std,
}

/// What it means when a new component answers recorded calls otherwise than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::plugin) enum RehearsalMode {
    /// It is told, and the component serves.
    #[default]
    Report,
    /// The component is refused.
    Strict,
    /// Nothing is rehearsed.
    Off,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: Option<String>,
}

impl Manifest {
    /// The manifest of a plugin that has no file.
    pub(in crate::plugin) fn absent() -> Self {
        Self { settings: "{}".to_owned(), ..Self::default() }
    }

    /// Reads the text of `<name>.yaml`.
    ///
    /// # Errors
    /// All errors; a single one with line and column if the YAML parser knows them.
    pub(in crate::plugin) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let text = without_mark(text);
        let (file, mut mistakes) = match yaml::read::<File>(text) {
            Ok(file) => (Some(file), Vec::new()),
            Err(first) => {
                let document = yaml::read(text).map_err(|_| first.to_string())?;
                let (mistakes, rest) = form::inspect(document);
                let mistakes = match mistakes.as_slice() {
                    // A single error keeps its line beside its path.
                    [one] => {
                        let meant = one.meant().map(|meant| format!("; did you mean `{meant}`?"));
                        vec![format!("{}: {first}{}", one.path, meant.unwrap_or_default())]
                    }
                    several => several.iter().map(ToString::to_string).collect(),
                };
                (rest, mistakes)
            }
        };
        mistakes.extend(file.iter().flat_map(|file| file.mistakes(name)));
        match (file, mistakes.len()) {
            (Some(file), 0) => Ok(Self::of(file, text)),
            (_, 0 | 1) => Err(mistakes.pop().unwrap_or_default()),
            (_, count) => {
                let listed =
                    mistakes.iter().zip(1..).map(|(mistake, number)| format!("({number}) {mistake}"));
                Err(format!("{count} mistakes: {}", listed.collect::<Vec<_>>().join(" ")))
            }
        }
    }

    /// The same for a document that has the form of a manifest, valid or not: a wrong grant does not affect the other
    /// fields.
    pub(in crate::plugin) fn parse_form(text: &str) -> Option<Self> {
        let text = without_mark(text);
        Some(Self::of(yaml::read(text).ok()?, text))
    }

    fn of(File { spec, .. }: File, text: &str) -> Self {
        let digest = spec.digest.as_deref().and_then(|digest| parse_digest(digest).ok());
        let settings = serde_json::Value::Object(spec.settings.clone().unwrap_or_default()).to_string();
        Self { digest, settings, text: Some(text.into()), shown: show(text), spec }
    }
}

/// Some editors on Windows write this at the beginning of every file.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

impl File {
    /// All errors in the values.
    fn mistakes(&self, name: &str) -> Vec<String> {
        let Self { api_version, kind, metadata, spec } = self;
        let mut mistakes = Vec::new();
        if api_version != API_VERSION || kind != "Plugin" {
            mistakes.push(format!(
                "apiVersion and kind are {api_version:?} and {kind:?}; write apiVersion: {API_VERSION} and kind: Plugin"
            ));
        }
        if let Some(stated) = metadata.name.as_ref().filter(|stated| *stated != name) {
            mistakes.push(format!("metadata.name is {stated:?}, but the file names the plugin {name:?}"));
        }
        mistakes.extend(spec.digest.as_deref().and_then(|digest| parse_digest(digest).err()));
        mistakes.extend(spec.limits.mistakes());
        mistakes.extend(spec.probation.mistakes());
        mistakes.extend(check_reuse(spec));
        mistakes.extend(check_metrics(&spec.metrics));
        mistakes.extend(spec.grants.state.as_ref().and_then(|state| state.check().err()));
        mistakes.extend(check_grants(&spec.grants));
        mistakes.extend(check_secrets(&spec.secrets));
        mistakes.extend(check_bindings(&spec.bindings));
        mistakes.extend(check_groups(&spec.discovery));
        mistakes
    }
}

/// `spec` as it is written, without what secrets are and where they lie.
fn show(text: &str) -> serde_json::Value {
    let Ok(mut file) = yaml::read::<serde_json::Value>(text) else {
        return serde_json::Value::Null;
    };
    let mut spec = file.get_mut("spec").map(serde_json::Value::take).unwrap_or_default();
    if let Some(secrets) = spec.get_mut("secrets") {
        let names: Vec<String> =
            secrets.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        *secrets = names.into();
    }
    spec
}

fn parse_digest(text: &str) -> Result<String, String> {
    text.strip_prefix("sha256:")
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(str::to_ascii_lowercase)
        .ok_or_else(|| {
            format!(
                "spec.digest is {text:?}; write sha256: and 64 hexadecimal digits, as sha256sum prints them"
            )
        })
}

fn failure_policy<'de, D: Deserializer<'de>>(input: D) -> Result<Option<FailurePolicy>, D::Error> {
    let text = String::deserialize(input)?;
    FailurePolicy::parse(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::succession::Terms;
    use std::time::Duration;

    const FULL: &str = "
apiVersion: plugins.umbel.dev/v1alpha1
kind: Plugin
metadata: {name: consul}
spec:
  digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF
  settings: {datacenter: dc1}
  secrets: {consul-token: {file: /run/secrets/consul}}
  grants:
    dns: ['*.consul']
    http: ['https://consul.internal:8501/v1/']
    addresses: [10.0.0.0/8]
    probe: [/status/]
    state: {bytes: 64KiB}
  metrics: [{name: lookups_total, type: counter, help: Names that were looked up.}]
  wasi: none
  limits: {wall: 1s, cpu: 50ms, memory: 32MiB, concurrency: 4}
  probation: {calls: 5, duration: 90s}
  reuse: {maxCalls: 50}
  failurePolicy: Fail
  rehearsal: strict
  bindings: {services: [prod/*], apiServices: ['*.example.com']}
  discovery: {priority: 7, groups: ['*.example.com'], purpose: restrict}
";

    #[test]
    fn a_full_manifest_is_understood() {
        let manifest = Manifest::parse("consul", FULL).unwrap();
        assert_eq!(manifest.settings, r#"{"datacenter":"dc1"}"#);
        assert_eq!(manifest.spec.limits.cpu, Some(Duration::from_millis(50)));
        assert_eq!(manifest.spec.limits.memory, Some(32 << 20));
        assert_eq!(manifest.spec.grants.state.as_ref().map(grants::StateGrant::bytes), Some(64 << 10));
        assert_eq!(manifest.spec.metrics[0].name, "lookups_total");
        assert_eq!(manifest.spec.wasi, Wasi::None);
        let asking = FULL.replace("  wasi: none\n", "  wasi: std\n").replace("  reuse: {maxCalls: 50}\n", "");
        assert_eq!(Manifest::parse("consul", &asking).unwrap().spec.wasi, Wasi::Std);
        assert!(manifest.digest.unwrap().ends_with("abcdef"));
        assert_eq!(manifest.spec.secrets["consul-token"].header, "Authorization");
        assert!(manifest.spec.bindings.services[0].matches("prod/shop"));
        assert_eq!(manifest.spec.discovery.priority, 7);
        let terms = Terms { calls: 5, duration: Duration::from_secs(90) };
        assert_eq!(manifest.spec.probation.terms(), terms);
        let reuse = Reuse { max_calls: 50, max_idle: Duration::from_secs(30) };
        assert_eq!(manifest.spec.reuse, Some(reuse));
        assert_eq!(manifest.spec.failure_policy, Some(FailurePolicy::Fail));
        assert_eq!(manifest.spec.discovery.purpose, Purpose::Restrict);
        assert_eq!(manifest.spec.rehearsal, RehearsalMode::Strict);
        Manifest::parse("consul", &format!("\u{feff}{}", FULL.trim_start())).unwrap();
    }

    #[test]
    fn every_mistake_is_named() {
        let head = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\n";
        let cases = [
            ("kind: Plugin".to_owned(), "missing field `apiVersion`"),
            ("apiVersion: v1\nkind: Plugin".to_owned(), "write apiVersion: plugins.umbel.dev/v1alpha1"),
            (format!("{head}metadata: {{name: other}}"), "the file names the plugin \"consul\""),
            (format!("{head}spec: {{grant: {{}}}}"), "unknown field `grant`"),
            (format!("{head}spec: {{grant: {{}}}}"), "; did you mean `grants`?"),
            (format!("{head}spec: {{grants: {{addresses: [10.0.0.0/99]}}}}"), "line 3"),
            (format!("{head}spec: {{grants: {{probe: [status]}}}}"), "must start with /"),
            (format!("{head}spec: {{limits: {{wall: 1h}}}}"), "is no duration"),
            (format!("{head}spec: {{limits: {{wall: 90s}}}}"), "at most 60s"),
            (format!("{head}spec: {{limits: {{memory: 1MB}}}}"), "is no size"),
            (format!("{head}spec: {{limits: {{memory: 65MiB}}}}"), "to 64MiB"),
            (format!("{head}spec: {{limits: {{concurrency: 0}}}}"), "from 1 to 32"),
            (
                format!("{head}spec: {{failurePolicy: Open}}"),
                "write one of UseLastGood, Builtin, Bypass, Fail",
            ),
            (format!("{head}spec: {{discovery: {{purpose: hide}}}}"), "expected one of present, restrict"),
            (format!("{head}spec: {{probation: {{calls: 0}}}}"), "from 1 to 10000"),
            (format!("{head}spec: {{probation: {{duration: 2h}}}}"), "is no duration"),
            (format!("{head}spec: {{probation: {{duration: 10ms}}}}"), "from 1s to 3600s"),
            (format!("{head}spec: {{reuse: {{maxCalls: 0}}}}"), "from 1 to 10000"),
            (format!("{head}spec: {{reuse: {{maxIdle: 0s}}}}"), "at most 300s"),
            (format!("{head}spec: {{reuse: {{}}, discovery: {{enabled: true}}}}"), "remove spec.reuse or"),
            (format!("{head}spec: {{grants: {{state: {{bytes: 2MiB}}}}}}"), "from 1KiB to 1MiB"),
            (format!("{head}spec: {{grants: {{state: {{bytes: 0KiB}}}}}}"), "from 1KiB to 1MiB"),
            (
                format!("{head}spec: {{metrics: [{{name: A, type: gauge}}]}}"),
                "spec.metrics: \"A\" is no name",
            ),
            (format!("{head}spec: {{metrics: [{{name: a, type: sum}}]}}"), "unknown variant `sum`"),
            (format!("{head}spec: {{reuse: {{}}, wasi: std}}"), "do not go together"),
            (format!("{head}spec: {{wasi: all}}"), "unknown variant `all`, expected one of none, std"),
            (format!("{head}spec: {{rehearsal: maybe}}"), "expected one of report, strict, off"),
            (format!("{head}spec: {{digest: abc}}"), "as sha256sum prints them"),
            (format!("{head}spec: {{settings: []}}"), "settings"),
            ("{".to_owned(), "line"),
            (
                format!("{head}spec: {{grants: {{http: ['127.0.0.1:9777']}}}}"),
                "write \"http://127.0.0.1:9777/\"",
            ),
            (format!("{head}spec: {{grants: {{dns: ['consul:53']}}}}"), "write \"consul\""),
            (format!("{head}spec: {{bindings: {{services: [flunders]}}}}"), "write \"default/flunders\""),
            (format!("{head}spec: {{discovery: {{groups: [a.test/v1]}}}}"), "write the group alone"),
            (format!("{head}spec: {{secrets: {{t: {{file: /t, header: Host}}}}}}"), "belongs to the gateway"),
        ];
        for (text, wanted) in cases {
            let error = Manifest::parse("consul", &text).unwrap_err();
            assert!(error.contains(wanted), "{text}\n{error}");
        }
    }

    #[test]
    fn all_mistakes_of_a_manifest_are_told_at_once() {
        let text = "
apiVersion: plugins.umbel.dev/v1
kind: Plugin
metadata: {name: other}
spec:
  setings: {}
  digest: abc
  grants: {http: ['127.0.0.1:9777'], addresses: [nowhere]}
  limits: {wall: 90s, concurrency: 0}
  probation: {calls: 0}
  bindings: {services: [flunders]}
  metrics: [{name: A, type: gauge}, {name: b_sum, type: gauge}]
";
        let error = Manifest::parse("consul", text).unwrap_err();
        assert!(error.starts_with("12 mistakes: (1) "), "{error}");
        for part in [
            "spec.setings: unknown field",
            "; did you mean `settings`?",
            "spec.grants.addresses[0]: invalid IP",
            "write apiVersion: plugins.umbel.dev/v1alpha1",
            "metadata.name is \"other\"",
            "spec.digest is \"abc\"",
            "spec.limits.wall",
            "spec.limits.concurrency",
            "spec.probation.calls",
            "\"A\" is no name",
            "must not end with _sum",
            "write \"http://127.0.0.1:9777/\"",
            "write \"default/flunders\"",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
