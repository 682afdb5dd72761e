//! `<name>.yaml` beside a component: settings, grants, limits and bindings.

use crate::model::failure_policy::FailurePolicy;
use crate::plugin::offer::declared_metrics::{DeclaredMetric, check_metrics};
use crate::plugin::offer::probe_rules::ProbePrefix;
use crate::plugin::offer::state;
use crate::plugin::source::pattern::Pattern;
use crate::plugin::succession::Terms;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const API_VERSION: &str = "plugins.umbel.dev/v1alpha1";

/// What an operator says about a plugin. Without a manifest nothing is granted and nothing is bound.
#[derive(Clone, Debug, Default)]
pub(in crate::plugin) struct Manifest {
    /// The SHA-256 that the component must have, in hexadecimal.
    pub digest: Option<String>,
    /// The settings as JSON text, `{}` where there are none.
    pub settings: String,
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

/// A secret that the host adds to a request of the plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::plugin) struct Secret {
    /// Where it lies; read for each request, so that it may rotate.
    pub file: PathBuf,
    /// The header that carries it.
    #[serde(default = "authorization")]
    pub header: String,
    /// What stands before it.
    #[serde(default = "bearer")]
    pub prefix: String,
}

fn authorization() -> String {
    "Authorization".to_owned()
}

fn bearer() -> String {
    "Bearer ".to_owned()
}

/// What a plugin may reach; nothing by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Grants {
    /// Names that may be looked up, such as `*.consul`.
    pub dns: Vec<Pattern>,
    /// URL prefixes that requests may go to, such as `https://consul.internal:8501/v1/`.
    pub http: Vec<String>,
    /// A PEM file with the authorities that `https` is verified against; the system's without it.
    pub ca_file: Option<PathBuf>,
    /// Loopback and private ranges that are opened.
    pub addresses: Vec<IpNet>,
    /// Paths of a backend that health checks may ask for, besides those of health and discovery.
    pub probe: Vec<ProbePrefix>,
    /// Memory between calls; none without it.
    pub state: Option<StateGrant>,
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

/// How much a plugin may remember.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::plugin) struct StateGrant {
    #[serde(deserialize_with = "size")]
    bytes: Option<usize>,
}

impl StateGrant {
    /// Bytes of all keys and values.
    pub(in crate::plugin) fn bytes(&self) -> usize {
        self.bytes.unwrap_or(state::BYTES_MAX)
    }
}

/// Limits that replace the usual ones.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Limits {
    /// Time for one call, waiting included; at most 60 s.
    #[serde(deserialize_with = "duration")]
    pub wall: Option<Duration>,
    /// Computing time for one call; at most 10 s.
    #[serde(deserialize_with = "duration")]
    pub cpu: Option<Duration>,
    /// Bytes of memory; at most 64 MiB.
    #[serde(deserialize_with = "size")]
    pub memory: Option<usize>,
    /// Calls at once; 1 to 32.
    pub concurrency: Option<usize>,
}

/// When a generation that replaced another one has proved itself, other than usually.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Probation {
    /// After so many calls; 1 to 10,000.
    pub calls: Option<u32>,
    /// Or after this time, whichever comes first; 1 s to 1 h.
    #[serde(deserialize_with = "duration")]
    pub duration: Option<Duration>,
}

impl Probation {
    /// The terms, usual where the manifest says nothing.
    pub(in crate::plugin) fn terms(&self) -> Terms {
        let usual = Terms::default();
        Terms { calls: self.calls.unwrap_or(usual.calls), duration: self.duration.unwrap_or(usual.duration) }
    }

    fn check(&self) -> Result<(), String> {
        if self.calls.is_some_and(|calls| !(1..=10_000).contains(&calls)) {
            return Err("spec.probation.calls must be from 1 to 10000".to_owned());
        }
        let fits = |duration| (Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&duration);
        if self.duration.is_some_and(|duration| !fits(duration)) {
            return Err("spec.probation.duration must be from 1s to 3600s".to_owned());
        }
        Ok(())
    }
}

/// How long an instance stays after it has answered. Resolvers and health checkers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Reuse {
    /// How many calls it answers; 1 to 10,000.
    pub max_calls: u32,
    /// How long it waits for the next one; at most 5 minutes.
    #[serde(deserialize_with = "given_duration")]
    pub max_idle: Duration,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { max_calls: 100, max_idle: Duration::from_secs(30) }
    }
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

/// The objects that a plugin decides for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Bindings {
    /// `namespace/name` of ExternalNames; `*` stands for any text.
    pub services: Vec<Pattern>,
    /// Names of APIServices, such as `*.example.com`.
    pub api_services: Vec<Pattern>,
}

/// How a transformer takes part.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Discovery {
    /// Off by default: a file that is dropped in must not change what everybody sees.
    pub enabled: bool,
    /// Higher goes first; equal ones go by name.
    pub priority: i32,
    /// The groups that it is asked about; all of them by default.
    pub groups: Vec<Pattern>,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a transformer is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::plugin) enum Purpose {
    /// Makes discovery nicer; without it, groups are shown as they are.
    #[default]
    Present,
    /// Removes what must not be seen; without it, groups are hidden.
    Restrict,
}

impl Discovery {
    /// Whether it is asked about the group of that name.
    pub(in crate::plugin) fn concerns(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|pattern| pattern.matches(group))
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self { enabled: false, priority: 100, groups: Vec::new(), purpose: Purpose::default() }
    }
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
    /// What is wrong, with line and column where YAML knows them.
    pub(in crate::plugin) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let File { api_version, kind, metadata, spec } =
            serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        if api_version != API_VERSION || kind != "Plugin" {
            return Err(format!(
                "apiVersion and kind are {api_version:?} and {kind:?}; write apiVersion: {API_VERSION} and kind: Plugin"
            ));
        }
        if let Some(stated) = metadata.name.filter(|stated| stated != name) {
            return Err(format!("metadata.name is {stated:?}, but the file names the plugin {name:?}"));
        }
        check_limits(&spec.limits)?;
        spec.probation.check()?;
        check_reuse(&spec)?;
        check_metrics(&spec.metrics)?;
        check_state(spec.grants.state.as_ref())?;
        let digest = spec.digest.as_deref().map(parse_digest).transpose()?;
        let settings = serde_json::Value::Object(spec.settings.clone().unwrap_or_default()).to_string();
        Ok(Self { digest, settings, shown: show(text), spec })
    }
}

/// `spec` as it is written, without what secrets are and where they lie.
fn show(text: &str) -> serde_json::Value {
    let Ok(mut file) = serde_yaml_ng::from_str::<serde_json::Value>(text) else {
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

fn check_state(grant: Option<&StateGrant>) -> Result<(), String> {
    match grant.map(StateGrant::bytes) {
        Some(bytes) if bytes == 0 || bytes > state::BYTES_MAX => {
            Err("spec.grants.state.bytes must be from 1KiB to 1MiB".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_limits(limits: &Limits) -> Result<(), String> {
    let too_long = |what: &str, value: Option<Duration>, max: u64| match value {
        Some(value) if value.is_zero() || value > Duration::from_secs(max) => {
            Err(format!("spec.limits.{what} must be more than 0 and at most {max}s"))
        }
        _ => Ok(()),
    };
    too_long("wall", limits.wall, 60)?;
    too_long("cpu", limits.cpu, 10)?;
    if limits
        .memory
        .is_some_and(|memory| !(1 << 16..=crate::plugin::component::engine::MAX_MEMORY).contains(&memory))
    {
        return Err("spec.limits.memory must be from 64KiB to 64MiB".to_owned());
    }
    if limits.concurrency.is_some_and(|calls| !(1..=32).contains(&calls)) {
        return Err("spec.limits.concurrency must be from 1 to 32".to_owned());
    }
    Ok(())
}

fn check_reuse(spec: &Spec) -> Result<(), String> {
    let Some(reuse) = &spec.reuse else { return Ok(()) };
    if spec.discovery.enabled {
        return Err(
            "spec.reuse is for resolvers and health checkers: what a transformer answers may depend on the \
                    group alone; remove spec.reuse or spec.discovery.enabled"
                .to_owned(),
        );
    }
    if spec.wasi == Wasi::Std {
        let text = "spec.reuse and wasi: std do not go together: what an instance holds of WASI ends with the call; \
                    remove one of them";
        return Err(text.to_owned());
    }
    if !(1..=10_000).contains(&reuse.max_calls) {
        return Err("spec.reuse.maxCalls must be from 1 to 10000".to_owned());
    }
    if reuse.max_idle.is_zero() || reuse.max_idle > Duration::from_secs(300) {
        return Err("spec.reuse.maxIdle must be more than 0 and at most 300s".to_owned());
    }
    Ok(())
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

fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    given_duration(input).map(Some)
}

fn given_duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    let parsed = match split_number(&text) {
        Some((number, "ms")) => Some(Duration::from_millis(number)),
        Some((number, "s")) => Some(Duration::from_secs(number)),
        _ => None,
    };
    parsed.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no duration such as 500ms or 2s")))
}

fn failure_policy<'de, D: Deserializer<'de>>(input: D) -> Result<Option<FailurePolicy>, D::Error> {
    let text = String::deserialize(input)?;
    FailurePolicy::parse(&text).map(Some).map_err(serde::de::Error::custom)
}

fn size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<usize>, D::Error> {
    let text = String::deserialize(input)?;
    let parsed = match split_number(&text) {
        Some((number, "KiB")) => number.checked_mul(1 << 10),
        Some((number, "MiB")) => number.checked_mul(1 << 20),
        _ => None,
    };
    let parsed = parsed.and_then(|bytes| usize::try_from(bytes).ok());
    parsed
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no size such as 512KiB or 32MiB")))
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(manifest.spec.grants.state.as_ref().map(StateGrant::bytes), Some(64 << 10));
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
    }

    #[test]
    fn every_mistake_is_named() {
        let head = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\n";
        let cases = [
            ("kind: Plugin".to_owned(), "missing field `apiVersion`"),
            ("apiVersion: v1\nkind: Plugin".to_owned(), "write apiVersion: plugins.umbel.dev/v1alpha1"),
            (format!("{head}metadata: {{name: other}}"), "the file names the plugin \"consul\""),
            (format!("{head}spec: {{grant: {{}}}}"), "unknown field `grant`"),
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
            (format!("{head}spec: {{discovery: {{purpose: hide}}}}"), "`present` or `restrict`"),
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
            (format!("{head}spec: {{wasi: all}}"), "unknown variant `all`, expected `none` or `std`"),
            (format!("{head}spec: {{rehearsal: maybe}}"), "expected one of `report`, `strict`, `off`"),
            (format!("{head}spec: {{digest: abc}}"), "as sha256sum prints them"),
            (format!("{head}spec: {{settings: []}}"), "settings"),
            ("{".to_owned(), "line"),
        ];
        for (text, wanted) in cases {
            let error = Manifest::parse("consul", &text).unwrap_err();
            assert!(error.contains(wanted), "{text}\n{error}");
        }
    }
}
