//! How much a plugin may use up, and how long it may stay: `spec.limits`, `spec.probation`, `spec.reuse`.

use super::quantity::{duration, given_duration, size};
use super::{Spec, Wasi};
use crate::plugin::component::engine::MAX_MEMORY;
use crate::plugin::succession::Terms;
use serde::Deserialize;
use std::time::Duration;

/// Limits that replace the usual ones.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Limits {
    /// Time for one call, waiting included; at most 60 s, and no longer than anybody waits for the decision.
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

impl Limits {
    pub(super) fn mistakes(&self) -> Vec<String> {
        let too_long = |what: &str, value: Option<Duration>, max: u64| {
            let is_wrong = value.is_some_and(|value| value.is_zero() || value > Duration::from_secs(max));
            is_wrong.then(|| format!("spec.limits.{what} must be more than 0 and at most {max}s"))
        };
        let wrong_memory = self.memory.is_some_and(|memory| !(1 << 16..=MAX_MEMORY).contains(&memory));
        let wrong_calls = self.concurrency.is_some_and(|calls| !(1..=32).contains(&calls));
        let mistakes = [
            too_long("wall", self.wall, 60),
            too_long("cpu", self.cpu, 10),
            wrong_memory.then(|| "spec.limits.memory must be from 64KiB to 64MiB".to_owned()),
            wrong_calls.then(|| "spec.limits.concurrency must be from 1 to 32".to_owned()),
        ];
        mistakes.into_iter().flatten().collect()
    }
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

    pub(super) fn mistakes(&self) -> Vec<String> {
        let fits = |duration| (Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&duration);
        let wrong_calls = self.calls.is_some_and(|calls| !(1..=10_000).contains(&calls));
        let wrong_duration = self.duration.is_some_and(|duration| !fits(duration));
        let mistakes = [
            wrong_calls.then(|| "spec.probation.calls must be from 1 to 10000".to_owned()),
            wrong_duration.then(|| "spec.probation.duration must be from 1s to 3600s".to_owned()),
        ];
        mistakes.into_iter().flatten().collect()
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

pub(super) fn check_reuse(spec: &Spec) -> Vec<String> {
    let Some(reuse) = &spec.reuse else { return Vec::new() };
    let mistakes = [
        (
            spec.discovery.enabled,
            "spec.reuse is for resolvers and health checkers: what a transformer answers may depend on the group \
             alone; remove spec.reuse or spec.discovery.enabled",
        ),
        (
            spec.wasi == Wasi::Std,
            "spec.reuse and wasi: std do not go together: what an instance holds of WASI ends with the call; remove \
             one of them",
        ),
        (!(1..=10_000).contains(&reuse.max_calls), "spec.reuse.maxCalls must be from 1 to 10000"),
        (
            reuse.max_idle.is_zero() || reuse.max_idle > Duration::from_secs(300),
            "spec.reuse.maxIdle must be more than 0 and at most 300s",
        ),
    ];
    mistakes.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, text)| text.to_owned()).collect()
}
