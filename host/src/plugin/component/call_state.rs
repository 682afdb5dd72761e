//! What belongs to one call: limits that are left, and what its host functions may use.

use crate::plugin::component::budget::Budget;
use crate::plugin::component::cpu_clock::CpuClock;
use crate::plugin::component::engine;
use crate::plugin::component::runner::Surroundings;
use crate::plugin::offer::address::{AddressPolicy, OwnListeners};
use crate::plugin::offer::dns::Dns;
use crate::plugin::offer::http_client::HttpClient;
use crate::plugin::offer::log_gate::LogGate;
use crate::plugin::offer::probe_gate::ProbeGate;
use crate::plugin::offer::script::SharedScript;
use crate::plugin::offer::state::{PluginState, States};
use crate::plugin::offer::user_metrics::UserMetrics;
#[cfg(feature = "wasi-std")]
use crate::plugin::offer::wasi_std::Standard;
use crate::plugin::offer::witness::SharedWitness;
use crate::plugin::source::manifest::Manifest;
use crate::plugin::telemetry::Tally;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use wasmtime::{ResourceLimiter, UpdateDeadline};

/// A plugin as its host functions see it: the same for all calls of one generation.
#[derive(Debug)]
pub(in crate::plugin) struct Profile {
    /// The plugin's name.
    pub name: String,
    /// Which generation this is.
    pub generation: u64,
    /// Settings, grants and limits.
    pub manifest: Manifest,
    /// How much it may still log.
    pub log: LogGate,
    /// What it remembers, once it asks: whoever began before the file was removed goes on with the old one.
    pub state: OnceLock<Arc<PluginState>>,
}

impl Profile {
    pub(in crate::plugin) fn new(name: &str, generation: u64, manifest: Manifest) -> Self {
        let name = name.to_owned();
        Self { name, generation, manifest, log: LogGate::new(), state: OnceLock::new() }
    }

    /// Which addresses the plugin may lead to.
    pub(in crate::plugin) fn address_policy<'a>(&'a self, own: &'a OwnListeners) -> AddressPolicy<'a> {
        AddressPolicy { granted: &self.manifest.spec.grants.addresses, own }
    }

    /// What the plugin remembers.
    pub(in crate::plugin) fn state(&self, states: &States) -> Arc<PluginState> {
        Arc::clone(self.state.get_or_init(|| states.of(&self.name)))
    }
}

/// What host functions reach the world with: one for all plugins.
#[derive(Debug)]
pub(in crate::plugin) struct Outside {
    /// Name resolution.
    pub dns: Dns,
    /// HTTP.
    pub http: HttpClient,
    /// Where this gateway listens, which plugins may not lead to.
    pub own: OwnListeners,
    /// What plugins remember.
    pub states: States,
    /// What plugins show among the gateway's metrics.
    pub metrics: UserMetrics,
}

impl Outside {
    /// Asks `dns_servers`, or those of the system where there are none; plugins may not lead to `listeners`.
    pub(in crate::plugin) fn new(dns_servers: &[SocketAddr], listeners: Vec<SocketAddr>) -> Self {
        Self {
            dns: Dns::new(dns_servers),
            http: HttpClient::default(),
            own: OwnListeners(listeners),
            states: States::default(),
            metrics: UserMetrics::default(),
        }
    }

    /// Drops what a plugin has left here, because its file is gone.
    pub(in crate::plugin) fn forget(&self, plugin: &str) {
        self.states.forget(plugin);
        self.metrics.forget(plugin);
    }
}

/// The state of one call.
#[derive(Debug)]
pub(in crate::plugin) struct CallState {
    pub profile: Arc<Profile>,
    pub outside: Arc<Outside>,
    /// Answers instead of the world, where somebody tries the plugin out.
    pub script: Option<SharedScript>,
    /// Notes what the world answers, where the call is kept.
    pub witness: Option<SharedWitness>,
    /// Counts what the call does; not for calls in a recorded world.
    pub tally: Option<Arc<Tally>>,
    /// Leads probes to whoever asked for the judgement; only in calls of a health checker.
    pub probes: Option<ProbeGate>,
    /// WASI, once the guest asks for it.
    #[cfg(feature = "wasi-std")]
    pub standard: Option<Standard>,
    pub meter: Meter,
    pub started: Instant,
    pub wall: Duration,
    pub lines: u32,
    /// The last line that the guest logged as an error. When it traps, this says why: languages log the text of a
    /// panic or an exception before they abort.
    pub last_error: Option<String>,
    pub lookups: u32,
    pub requests: u32,
}

impl CallState {
    pub(in crate::plugin) fn new(
        profile: Arc<Profile>,
        outside: Arc<Outside>,
        surroundings: Surroundings,
        budget: &Budget,
    ) -> Self {
        let Surroundings { probes, script, witness, tally } = surroundings;
        let meter = Meter::new(budget);
        let (started, wall) = (Instant::now(), budget.wall);
        let (lines, last_error, lookups, requests) = (0, None, 0, 0);
        Self {
            profile,
            outside,
            script,
            witness,
            tally,
            probes,
            #[cfg(feature = "wasi-std")]
            standard: None,
            meter,
            started,
            wall,
            lines,
            last_error,
            lookups,
            requests,
        }
    }

    /// Makes it the state of another call of the same instance: everything begins anew but the memory, which the
    /// instance still has. WASI would end with it, so a manifest may not ask for both.
    pub(in crate::plugin) fn renew(&mut self, surroundings: Surroundings, budget: &Budget) {
        let (profile, outside) = (Arc::clone(&self.profile), Arc::clone(&self.outside));
        let memory_used = self.meter.memory_used;
        *self = Self::new(profile, outside, surroundings, budget);
        self.meter.memory_used = memory_used;
    }

    /// Which addresses the plugin may lead to.
    pub(in crate::plugin) fn address_policy(&self) -> AddressPolicy<'_> {
        self.profile.address_policy(&self.outside.own)
    }

    /// Counts a log line that nobody will see.
    pub(in crate::plugin) fn count_dropped_line(&self) {
        if let Some(tally) = &self.tally {
            tally.count_dropped_line();
        }
    }

    /// The guest's last error text: from the log, or from standard error if it has one.
    pub(in crate::plugin) fn error_text(&self) -> Option<String> {
        #[cfg(feature = "wasi-std")]
        let printed = self.standard.as_ref().and_then(Standard::error_text);
        #[cfg(not(feature = "wasi-std"))]
        let printed = None;
        self.last_error.clone().or(printed)
    }

    /// How much of the call's time is left.
    pub(in crate::plugin) fn remaining(&self) -> Duration {
        self.wall.saturating_sub(self.started.elapsed())
    }

    /// A time limit for a host function: its own, what the guest asks for, and what is left.
    pub(in crate::plugin) fn time_limit(&self, own: Duration, asked_ms: Option<u32>) -> Duration {
        let asked = asked_ms.map_or(own, |ms| Duration::from_millis(u64::from(ms)));
        own.min(asked).min(self.remaining())
    }
}

/// Measures what a guest uses up and remembers which limit it ran into.
#[derive(Debug)]
pub(in crate::plugin) struct Meter {
    memory_max: usize,
    memory_used: usize,
    pub memory_exceeded: bool,
    cpu_max: Duration,
    /// What the call has computed.
    pub clock: Arc<CpuClock>,
    pub cpu_exceeded: bool,
}

impl Meter {
    fn new(budget: &Budget) -> Self {
        Self {
            memory_max: budget.memory,
            memory_used: 0,
            memory_exceeded: false,
            cpu_max: budget.cpu,
            clock: Arc::default(),
            cpu_exceeded: false,
        }
    }

    /// Bytes of all memories together. Memories only grow, so it is the most that there were.
    pub(in crate::plugin) fn memory_used(&self) -> usize {
        self.memory_used
    }

    /// Whether the guest ran into one of its limits.
    pub(in crate::plugin) fn is_exceeded(&self) -> bool {
        self.memory_exceeded || self.cpu_exceeded
    }

    /// Whether more than three quarters of the memory are gone.
    pub(in crate::plugin) fn is_nearly_full(&self) -> bool {
        self.memory_used > self.memory_max / 4 * 3
    }

    /// Called by the engine at every tick that finds the guest computing. Others get the thread in between.
    pub(in crate::plugin) fn on_tick(&mut self) -> UpdateDeadline {
        if self.clock.used_by_now() >= self.cpu_max {
            self.cpu_exceeded = true;
            return UpdateDeadline::Interrupt;
        }
        UpdateDeadline::Yield(1)
    }
}

impl ResourceLimiter for Meter {
    // A component may have several memories, so the limit holds for their sum.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.memory_used.saturating_add(desired.saturating_sub(current));
        if used > self.memory_max || maximum.is_some_and(|maximum| desired > maximum) {
            self.memory_exceeded = true;
            wasmtime::bail!("memory limit of {} bytes", self.memory_max);
        }
        self.memory_used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= 20_000 && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        engine::TABLES as usize
    }

    fn memories(&self) -> usize {
        engine::MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::component::budget::Facet;
    use crate::plugin::source::manifest::Limits;

    fn state(limits: Limits) -> (CallState, Budget) {
        let profile = Arc::new(Profile::new("p", 1, Manifest::absent()));
        let budget = Facet::Resolver.budget(&limits);
        let outside = Arc::new(Outside::new(&[], Vec::new()));
        (CallState::new(profile, outside, Surroundings::default(), &budget), budget)
    }

    #[test]
    fn memory_counts_over_the_whole_life_of_an_instance() {
        let (mut state, budget) = state(Limits { memory: Some(1 << 20), ..Limits::default() });
        assert!(state.meter.memory_growing(0, 512 << 10, None).unwrap());
        (state.lines, state.lookups, state.requests, state.meter.cpu_exceeded) = (9, 9, 9, true);
        for _ in 0..3 {
            state.renew(Surroundings::default(), &budget);
            assert_eq!(state.meter.memory_used(), 512 << 10, "the instance still has it");
        }
        assert_eq!((state.lines, state.lookups, state.requests), (0, 0, 0), "the rest begins anew");
        assert!(!state.meter.is_exceeded() && !state.meter.is_nearly_full());
        assert!(state.meter.memory_growing(512 << 10, 1_000 << 10, None).unwrap());
        assert!(state.meter.is_nearly_full());
        state.renew(Surroundings::default(), &budget);
        assert!(state.meter.memory_growing(1_000 << 10, (1 << 20) + 1, None).is_err());
        assert!(state.meter.memory_exceeded && state.meter.is_exceeded());
    }

    #[test]
    fn several_memories_share_the_limit_and_tables_have_theirs() {
        let (mut state, _) = state(Limits { memory: Some(1 << 20), ..Limits::default() });
        let meter = &mut state.meter;
        assert!(
            meter.memory_growing(0, 1 << 19, None).unwrap()
                && meter.memory_growing(0, 1 << 19, None).unwrap()
        );
        assert!(meter.memory_growing(0, 1, None).is_err(), "the limit itself is reached");
        let (mut state, _) = self::state(Limits::default());
        assert!(
            state.meter.memory_growing(0, 1 << 17, Some(1 << 16)).is_err(),
            "what the memory says itself"
        );
        assert!(state.meter.table_growing(0, 20_000, None).unwrap());
        assert!(!state.meter.table_growing(0, 20_001, None).unwrap());
        assert!(!state.meter.table_growing(0, 11, Some(10)).unwrap());
    }

    #[test]
    fn a_host_function_gets_the_least_of_all_limits() {
        let (mut state, _) = state(Limits { wall: Some(Duration::from_secs(60)), ..Limits::default() });
        state.wall = Duration::from_secs(60);
        let limit = |state: &CallState, own: u64, asked| state.time_limit(Duration::from_secs(own), asked);
        assert_eq!(limit(&state, 5, None), Duration::from_secs(5));
        assert_eq!(limit(&state, 5, Some(100)), Duration::from_millis(100));
        assert_eq!(limit(&state, 5, Some(9_000)), Duration::from_secs(5));
        state.wall = Duration::ZERO;
        assert_eq!(limit(&state, 5, Some(100)), Duration::ZERO, "what is left");
    }
}
