//! What calls of a plugin cost.

use super::{Candidate, Workbench};
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
    /// Asks the same question again and again, each time in a fresh instance.
    ///
    /// # Errors
    /// The first answer that a gateway would not take.
    pub fn measure(&self, question: &Question, world: &Tape, calls: usize) -> Result<Costs, String> {
        let (mut instantiated, mut called, mut memory_peak) = (Vec::new(), Vec::new(), 0);
        for _ in 0..calls {
            instantiated.push(self.instantiate()?);
            let tried = self.ask(question, world);
            tried.answer?;
            called.push(tried.took);
            memory_peak = memory_peak.max(tried.memory);
        }
        let mut warm = self.warm(question, world, calls)?;
        let warm_quantile =
            |warm: &mut [Duration], percent| (!warm.is_empty()).then(|| quantile(warm, percent));
        Ok(Costs {
            calls,
            instantiate_p50_us: quantile(&mut instantiated, 50),
            instantiate_p99_us: quantile(&mut instantiated, 99),
            call_p50_us: quantile(&mut called, 50),
            call_p99_us: quantile(&mut called, 99),
            warm_p50_us: warm_quantile(&mut warm, 50),
            warm_p99_us: warm_quantile(&mut warm, 99),
            memory_peak,
        })
    }

    /// How long calls take that find a warm instance, after one that makes it.
    fn warm(&self, question: &Question, world: &Tape, calls: usize) -> Result<Vec<Duration>, String> {
        let stays = matches!(question, Question::Resolve { .. } | Question::Check { .. });
        // What a guest holds of WASI ends with the call.
        if !stays || self.generation.wasi {
            return Ok(Vec::new());
        }
        let warmed = self.warmed();
        warmed.ask(question, world).answer?;
        let ask = |_| {
            let tried = warmed.ask(question, world);
            tried.answer.map(|_| tried.took)
        };
        (0..calls).map(ask).collect()
    }

    /// The same component under a manifest that lets its instances stay.
    fn warmed(&self) -> Self {
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
        Self { bench: self.bench, generation, described: None }
    }

    /// How long a new instance takes.
    fn instantiate(&self) -> Result<Duration, String> {
        let Workbench { runner, runtime, .. } = self.bench;
        let began = Instant::now();
        let call = Call::new(&self.generation, Instantiate).run(runner);
        runtime.block_on(call).map_err(|fault| fault.to_string())?;
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
