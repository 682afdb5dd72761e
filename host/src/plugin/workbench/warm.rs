//! Calls of one instance that stays, beside those of a fresh one each.

use super::{Candidate, ask};
use crate::plugin::adapter::health_answer;
use crate::plugin::component::bindings::{discovery, health, resolver};
use crate::plugin::component::budget::Facet;
use crate::plugin::component::call_state::CallState;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::runner::Surroundings;
use crate::plugin::offer::probe_gate;
use crate::plugin::offer::script::{Script, ScriptedProber, SharedScript};
use crate::plugin::record::{Question, Tape, translate};
use discovery::exports::umbel::discovery::transformer as wit_discovery;
use health::exports::umbel::health::checker as wit_health;
use resolver::exports::umbel::resolver::resolver as wit_resolver;
use std::time::{Duration, Instant};
use wasmtime::Store;

type Times = Result<Vec<Duration>, CallFault>;

/// Asks up to `$calls` times within half of the call's wall clock, each time with all limits anew, and gives the times.
macro_rules! repeat {
    ($store:ident, $calls:ident, $call:expr) => {{
        let (began, limit) = (Instant::now(), $store.data().wall / 2);
        let mut times = Vec::new();
        while times.len() < $calls && began.elapsed() < limit {
            renew($store);
            let one = Instant::now();
            drop($call.await?);
            times.push(one.elapsed());
        }
        Ok(times)
    }};
}

fn renew(store: &mut Store<CallState>) {
    let state = store.data_mut();
    state.meter.refill();
    (state.lines, state.lookups, state.requests) = (0, 0, 0);
    if let Some(probes) = &mut state.probes {
        probes.sent = 0;
    }
}

impl Candidate<'_> {
    /// Asks one instance the same question again and again. Questions for an order are not measured so.
    pub(super) fn warm(
        &self,
        question: &Question,
        world: &Tape,
        calls: usize,
    ) -> Result<Vec<Duration>, String> {
        let script = Script::shared(world.clone());
        let times = self.bench.runtime.block_on(async {
            match question {
                Question::Resolve { .. } => self.warm_resolve(question, &script, calls).await,
                Question::Check { .. } => self.warm_check(question, &script, calls).await,
                Question::Transform { group } => self.warm_transform(group.clone(), &script, calls).await,
                Question::Order { .. } => Ok(Vec::new()),
            }
        });
        times.map_err(|fault| fault.to_string())
    }

    async fn warm_resolve(&self, question: &Question, script: &SharedScript, calls: usize) -> Times {
        let Question::Resolve { target } = question else { return Ok(Vec::new()) };
        let target = translate::wit_target(target);
        let runner = &self.bench.runner;
        let call = runner.call_within(
            &self.generation,
            Facet::Resolver,
            ask::within(script),
            move |generation, store| {
                Box::pin(async move {
                    let Some(part) = &generation.facets.resolver else {
                        wasmtime::bail!("exports no resolver")
                    };
                    let instance = part.instantiate_async(&mut *store).await?;
                    let guest = instance.umbel_resolver_resolver();
                    let context =
                        wit_resolver::Context { settings: generation.settings(), extra: Vec::new() };
                    repeat!(store, calls, guest.call_resolve(&mut *store, &context, &target))
                })
            },
        );
        call.await
    }

    async fn warm_check(&self, question: &Question, script: &SharedScript, calls: usize) -> Times {
        let Question::Check { subject, round, was, memory } = question else { return Ok(Vec::new()) };
        let subject = translate::subject(subject, *round, *was);
        let (gate, desk) = probe_gate::channel(&subject);
        let asked = health_answer::describe(&subject);
        let context = wit_health::Context {
            settings: self.generation.settings(),
            round: *round,
            was: health_answer::state_for_plugin(subject.was),
            memory: memory.0.to_vec(),
            extra: Vec::new(),
        };
        let surroundings = Surroundings { probes: Some(gate), ..ask::within(script) };
        let runner = &self.bench.runner;
        let call =
            runner.call_within(&self.generation, Facet::Health, surroundings, move |generation, store| {
                Box::pin(async move {
                    let Some(part) = &generation.facets.health else {
                        wasmtime::bail!("exports no health checker")
                    };
                    let instance = part.instantiate_async(&mut *store).await?;
                    let guest = instance.umbel_health_checker();
                    repeat!(store, calls, guest.call_check(&mut *store, &context, &asked))
                })
            });
        desk.serve(&ScriptedProber(SharedScript::clone(script)), call).await
    }

    async fn warm_transform(&self, group: String, script: &SharedScript, calls: usize) -> Times {
        let runner = &self.bench.runner;
        let call = runner.call_within(
            &self.generation,
            Facet::Discovery,
            ask::within(script),
            move |generation, store| {
                Box::pin(async move {
                    let Some(part) = &generation.facets.discovery else {
                        wasmtime::bail!("exports no discovery transformer")
                    };
                    let instance = part.instantiate_async(&mut *store).await?;
                    let guest = instance.umbel_discovery_transformer();
                    let context =
                        wit_discovery::Context { settings: generation.settings(), extra: Vec::new() };
                    repeat!(store, calls, guest.call_transform(&mut *store, &context, &group))
                })
            },
        );
        call.await
    }
}
