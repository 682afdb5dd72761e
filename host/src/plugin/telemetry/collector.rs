//! The plugins' numbers under their names.

use super::sheet::{About, Sheet};
use super::tally::{KindTally, Tally};
use crate::plugin::adapter::stand_in::StandInCount;
use crate::plugin::breaker::Breaker;
use crate::plugin::code::foundry::{CodeCounts, Foundry};
use crate::plugin::component::budget::Facet;
use crate::plugin::component::fault::FaultClass;
use crate::plugin::roster::Roster;
use crate::plugin::slot::Slot;
use crate::plugin::status::{State, Status};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use wasmtime::{Engine, PoolingAllocatorMetrics};

/// Letters of a digest that tell components apart.
const DIGEST_SHORT: usize = 12;

macro_rules! about {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(const $constant: About = About {
            name: concat!("aggregator_plugin_", $name),
            help: $help,
            kind: MetricType::$kind,
            labels: &[$($label),*],
        };)*
        const ALL: &[&About] = &[$(&$constant),*];
    };
}

about! {
    INFO: GAUGE "info" ["plugin", "kind", "interface_version", "digest_short"]
        "Always 1, for each decision that the component in service implements.";
    STATE: GAUGE "state" ["plugin", "state"] "1 for the state of the plugin's newest files.";
    GENERATION: GAUGE "generation" ["plugin"] "Number of the generation in service, 0 for none.";
    CALLS: COUNTER "calls_total" ["plugin", "kind", "result"]
        "Calls, by what came of them: answer, fault, busy (no place came free), abandoned (the caller went away).";
    CALL: HISTOGRAM "call_seconds" ["plugin", "kind"] "Duration of calls, from the start of the guest to its end.";
    WAIT: HISTOGRAM "wait_seconds" ["plugin", "kind"] "How long calls waited for a place before they began.";
    CPU: COUNTER "cpu_seconds_total" ["plugin", "kind"] "CPU time of guests.";
    MEMORY: GAUGE "peak_memory_bytes" ["plugin", "kind"] "The most linear memory that an instance had.";
    HOST_CALLS: COUNTER "host_calls_total" ["plugin", "function", "result"]
        "Calls that guests made of the host: answered, denied, timed-out, failed.";
    FAULTS: COUNTER "faults_total" ["plugin", "kind", "class"] "Calls without a usable answer, by class.";
    BREAKER: GAUGE "breaker_state" ["plugin"]
        "0 closed, 1 half-open (the next call is a trial), 2 open (suspended), 3 quarantined.";
    POLICIES: COUNTER "policy_applied_total" ["plugin", "kind", "policy", "reason"]
        "How often something else stood in for the plugin: what, and the class of fault or the state that made it needed.";
    RELOADS: COUNTER "reload_total" ["plugin", "result", "reason"]
        "New files by what came of them: taken, refused, rolled-back.";
    COMPILE: GAUGE "compile_seconds" ["plugin"] "How long the code of the newest files took to make.";
    STEP: GAUGE "load_step_seconds" ["plugin", "step"]
        "How long each step of the newest files took on their way into service, as far as it is over.";
    CACHE: COUNTER "cache_total" ["result"]
        "Native code of all plugins: recalled, compiled, failed, discarded (damaged or not private), unkept.";
    POOL: GAUGE "pool_occupancy" ["resource"]
        "What instances of all plugins take of the pool: component-instances, core-instances, memories, tables, stacks.";
    LINES: COUNTER "log_lines_dropped_total" ["plugin"] "Log lines beyond the limits.";
}

/// Reads the numbers of all plugins that are there.
#[derive(Debug)]
pub struct PluginCollector {
    roster: Arc<Roster>,
    foundry: Option<Arc<Foundry>>,
    engine: Option<Engine>,
    descriptions: Vec<Desc>,
}

impl PluginCollector {
    pub(in crate::plugin) fn new(
        roster: Arc<Roster>,
        foundry: Option<Arc<Foundry>>,
        engine: Option<Engine>,
    ) -> Result<Self, prometheus::Error> {
        let descriptions = ALL.iter().map(|about| about.description()).collect::<Result<_, _>>()?;
        Ok(Self { roster, foundry, engine, descriptions })
    }
}

impl Collector for PluginCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut sheet = Sheet::default();
        for slot in self.roster.all().values() {
            write_status(&mut sheet, slot, &slot.status());
            write_tally(&mut sheet, slot);
        }
        for (plugin, StandInCount { kind, policy, reason, count }) in self.roster.stand_ins.all() {
            sheet.count(&POLICIES, &[&plugin, kind, policy, reason], count);
        }
        if let Some(foundry) = &self.foundry {
            write_code(&mut sheet, &foundry.counts());
        }
        if let Some(pool) = self.engine.as_ref().and_then(Engine::pooling_allocator_metrics) {
            write_pool(&mut sheet, &pool);
        }
        sheet.into_families()
    }
}

fn write_status(sheet: &mut Sheet, slot: &Slot, status: &Status) {
    let plugin = slot.name.as_str();
    let digest = status.digest.as_deref().unwrap_or_default();
    let digest = digest.get(..DIGEST_SHORT).unwrap_or(digest);
    for interface in &status.interfaces {
        let (kind, version) = kind_and_version(interface);
        sheet.count(&INFO, &[plugin, kind, version, digest], 1);
    }
    sheet.count(&STATE, &[plugin, &status.state.to_string()], 1);
    sheet.count(&GENERATION, &[plugin], status.generation);
    for step in &status.steps {
        let took = Duration::from_millis(step.milliseconds).as_secs_f64();
        sheet.write(&STEP, &[plugin, &step.step.to_string()], took);
        if step.step == State::Compiling {
            sheet.write(&COMPILE, &[plugin], took);
        }
    }
    if let Some(current) = slot.current() {
        sheet.count(&BREAKER, &[plugin], position(&current.breaker, Instant::now()));
    }
}

fn position(breaker: &Breaker, now: Instant) -> u64 {
    match breaker.suspended_for(now) {
        _ if breaker.is_quarantined() => 3,
        None => 0,
        Some(pause) if pause.is_zero() => 1,
        Some(_) => 2,
    }
}

fn write_code(sheet: &mut Sheet, counts: &CodeCounts) {
    let CodeCounts { recalled, compiled, failed, discarded, unkept } = *counts;
    let results = [
        ("recalled", recalled),
        ("compiled", compiled),
        ("failed", failed),
        ("discarded", discarded),
        ("unkept", unkept),
    ];
    for (result, count) in results {
        sheet.count(&CACHE, &[result], count);
    }
}

fn write_pool(sheet: &mut Sheet, pool: &PoolingAllocatorMetrics) {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let resources = [
        ("component-instances", pool.component_instances()),
        ("core-instances", pool.core_instances()),
        ("memories", count(pool.memories())),
        ("tables", count(pool.tables())),
        ("stacks", count(pool.stacks())),
    ];
    for (resource, taken) in resources {
        sheet.count(&POOL, &[resource], taken);
    }
}

/// `umbel:health/checker@0.1.0` as `health` and `0.1.0`.
fn kind_and_version(interface: &str) -> (&str, &str) {
    let (name, version) = interface.split_once('@').unwrap_or((interface, ""));
    let package = name.split_once('/').map_or(name, |(package, _)| package);
    (package.strip_prefix("umbel:").unwrap_or(package), version)
}

fn write_tally(sheet: &mut Sheet, slot: &Slot) {
    let (plugin, tally) = (slot.name.as_str(), &*slot.tally);
    let faults = slot.faults.all();
    for (facet, class, count) in &faults {
        sheet.count(&FAULTS, &[plugin, facet.word(), class.word()], *count);
    }
    for (facet, kind) in tally.kinds() {
        write_kind(sheet, plugin, facet, kind, &faults);
    }
    for (function, result, count) in tally.host_calls() {
        sheet.count(&HOST_CALLS, &[plugin, function.word(), result.word()], count);
    }
    write_events(sheet, plugin, tally);
}

fn write_kind(
    sheet: &mut Sheet,
    plugin: &str,
    facet: Facet,
    kind: &KindTally,
    faults: &[(Facet, FaultClass, u64)],
) {
    let count = |wanted: &dyn Fn(FaultClass) -> bool| -> u64 {
        let here = faults.iter().filter(|(of, class, _)| *of == facet && wanted(*class));
        here.map(|(_, _, count)| count).sum()
    };
    let busy = count(&|class| class == FaultClass::QueueFull);
    let faulty = count(&|class| class.is_breaker_event());
    // The guest answers, and then the host refuses some of the answers.
    let refused = count(&|class| class == FaultClass::AnswerInvalid);
    let answered = kind.answered.load(Ordering::Relaxed).saturating_sub(refused);
    let abandoned = kind.abandoned.load(Ordering::Relaxed);
    let word = facet.word();
    let results = [("answer", answered), ("fault", faulty), ("busy", busy), ("abandoned", abandoned)];
    if results.iter().all(|(_, count)| *count == 0) {
        return;
    }
    for (result, count) in results {
        sheet.count(&CALLS, &[plugin, word, result], count);
    }
    sheet.durations(&CALL, &[plugin, word], &kind.took);
    sheet.durations(&WAIT, &[plugin, word], &kind.waited);
    sheet.write(&CPU, &[plugin, word], kind.cpu().as_secs_f64());
    sheet.count(&MEMORY, &[plugin, word], kind.peak_memory.load(Ordering::Relaxed));
}

fn write_events(sheet: &mut Sheet, plugin: &str, tally: &Tally) {
    for ((result, reason), count) in tally.reloads() {
        sheet.count(&RELOADS, &[plugin, result, &reason], count);
    }
    sheet.count(&LINES, &[plugin], tally.lines_dropped());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_told_apart_by_kind_and_version() {
        assert_eq!(kind_and_version("umbel:health/checker@0.1.0"), ("health", "0.1.0"));
        assert_eq!(kind_and_version("other"), ("other", ""));
    }
}
