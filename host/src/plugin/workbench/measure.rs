//! What calls of a plugin cost.

use super::{Candidate, Workbench};
use crate::plugin::component::budget::Facet;
use crate::plugin::component::runner::Surroundings;
use crate::plugin::record::{Question, Tape};
use serde::Serialize;
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
    /// A call of an instance that stays, where the question can be measured so.
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

    /// How long a new instance takes.
    fn instantiate(&self) -> Result<Duration, String> {
        let Workbench { runner, runtime, .. } = self.bench;
        let began = Instant::now();
        let call = runner.call_within(
            &self.generation,
            Facet::Lifecycle,
            Surroundings::default(),
            |generation, store| {
                Box::pin(
                    async move { generation.facets.lifecycle.instantiate_async(&mut *store).await.map(drop) },
                )
            },
        );
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
