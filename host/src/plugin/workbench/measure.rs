//! What calls of a plugin cost.

use super::ask::{CallFailure, Trial};
use super::{Candidate, Workbench};
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::guest_call::Instantiate;
use crate::plugin::component::load::{Code, assemble};
use crate::plugin::component::runner::Call;
use crate::plugin::record::{Question, Tape};
use crate::plugin::source::manifest::Reuse;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Costs of one question, over many calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Costs {
    /// Calls that were measured.
    pub calls: usize,
    /// A new instance alone: half of them took no longer, in microseconds.
    pub instantiate_p50_us: u64,
    /// 99 of 100 took no longer.
    pub instantiate_p99_us: u64,
    /// A new instance, the call and its end, as a gateway makes them.
    pub call_p50_us: u64,
    /// 99 of 100 took no longer.
    pub call_p99_us: u64,
    /// The same with `reuse` in the manifest; discovery knows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_p50_us: Option<u64>,
    /// 99 of 100 took no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_p99_us: Option<u64>,
    /// The most linear memory that a call had at its end, in bytes.
    pub memory_peak: usize,
}

impl Candidate<'_> {
    /// Asks the same question again and again, each time in a fresh instance. A gateway asks from the runtime on
    /// which plugins run, so this does.
    ///
    /// # Errors
    /// The first answer that a gateway would not take.
    pub fn measure(&self, question: &Question, world: &Tape, calls: usize) -> Result<Costs, CallFailure> {
        let stays = matches!(question, Question::Resolve { .. } | Question::Check { .. });
        // What a guest holds of WASI ends with the call.
        let warmed = (stays && !self.generation.wasi).then(|| self.warmed());
        let (trial, question, world) = (self.trial(), question.clone(), world.clone());
        let Workbench { runtime, .. } = self.bench;
        let measuring = runtime.spawn(async move {
            let mut costs = trial.measure(&question, &world, calls).await?;
            if let Some(warmed) = warmed {
                let mut warm = warmed.measure_warm(&question, &world, calls).await?;
                costs.warm_p50_us = Some(quantile(&mut warm, 50));
                costs.warm_p99_us = Some(quantile(&mut warm, 99));
            }
            Ok(costs)
        });
        runtime.block_on(measuring).map_err(|error| CallFault::Host(error.to_string()))?
    }

    /// The same component under a manifest that lets its instances stay.
    fn warmed(&self) -> Trial {
        let generation = &self.generation;
        let mut manifest = generation.profile.manifest.clone();
        manifest.spec.reuse = Some(Reuse { max_calls: u32::MAX, max_idle: Duration::from_secs(300) });
        let code = Code {
            digest: generation.digest.clone(),
            facets: generation.facets.clone(),
            interfaces: generation.interfaces.clone(),
            wasi: generation.wasi,
        };
        let mut generation = assemble(&generation.profile.name, manifest, code, 1);
        if let Some(generation) = Arc::get_mut(&mut generation) {
            generation.shelves.on_trial = true;
        }
        Trial { runner: Arc::clone(&self.bench.runner), generation }
    }
}

impl Trial {
    async fn measure(&self, question: &Question, world: &Tape, calls: usize) -> Result<Costs, CallFailure> {
        let (mut instantiated, mut called, mut memory_peak) = (Vec::new(), Vec::new(), 0);
        for _ in 0..calls {
            instantiated.push(self.instantiate().await?);
            let tried = self.ask(question, world).await;
            tried.answer?;
            called.push(tried.took);
            memory_peak = memory_peak.max(tried.memory);
        }
        Ok(Costs {
            calls,
            instantiate_p50_us: quantile(&mut instantiated, 50),
            instantiate_p99_us: quantile(&mut instantiated, 99),
            call_p50_us: quantile(&mut called, 50),
            call_p99_us: quantile(&mut called, 99),
            warm_p50_us: None,
            warm_p99_us: None,
            memory_peak,
        })
    }

    /// How long calls take that find a warm instance, after one that makes it.
    async fn measure_warm(
        &self,
        question: &Question,
        world: &Tape,
        calls: usize,
    ) -> Result<Vec<Duration>, CallFailure> {
        self.ask(question, world).await.answer?;
        let mut took = Vec::new();
        for _ in 0..calls {
            let tried = self.ask(question, world).await;
            tried.answer?;
            took.push(tried.took);
        }
        Ok(took)
    }

    /// How long a new instance takes.
    async fn instantiate(&self) -> Result<Duration, CallFailure> {
        let began = Instant::now();
        let call = Call::new(&self.generation, Instantiate).run(&self.runner);
        call.await?;
        Ok(began.elapsed())
    }
}

/// Sorts, and gives the smallest value that `percent` of all do not exceed, in microseconds.
fn quantile(values: &mut [Duration], percent: usize) -> u64 {
    values.sort();
    let index = (values.len() * percent).div_ceil(100).saturating_sub(1);
    let value = values.get(index).copied().unwrap_or_default();
    u64::try_from(value.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut values: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!((quantile(&mut values, 50), quantile(&mut values, 99)), (50, 99));
        assert_eq!(quantile(&mut [Duration::from_micros(7)], 99), 7);
        assert_eq!(quantile(&mut [], 50), 0);
    }
}
