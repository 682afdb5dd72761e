//! `umbel plugin bench`: what calls of a component cost.

use super::cases::{Ask, Case, CasesFlags, manifest_of};
use super::given::{Given, GivenFlags};
use super::report::{Form, size};
use crate::assembly::CommandError;
use crate::plugin::record::Question;
use crate::plugin::{CallFailure, Costs, Metering, Refusal, Workbench};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;
use std::time::Instant;

/// Flags of `umbel plugin bench`.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct BenchFlags {
    #[command(flatten)]
    given: GivenFlags,
    #[command(flatten)]
    cases: CasesFlags,
    /// Calls of each case
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    #[command(flatten)]
    form: Form,
}

/// Costs of one case.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    name: String,
    #[serde(flatten)]
    costs: Costs,
    /// What one call computes, in units of the engine: the same on every machine.
    fuel: Option<u64>,
}

/// Measures every case that asks for a decision.
///
/// # Errors
/// `Failed` when there is none, the component cannot be loaded, or a call fails.
pub(super) fn run(flags: &BenchFlags) -> Result<(), CommandError> {
    let given = flags.given.read()?;
    let cases = flags.cases.read(&flags.given).map_err(CommandError::Failed)?;
    let began = Instant::now();
    let told = |refusal: Refusal| CommandError::failed(format!("{}: {refusal}", given.file.display()));
    let bench = Workbench::open(Metering::Off).map_err(told)?;
    let compiled = bench.compile(&given.name, &given.component).map_err(told)?;
    let compile_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut measured = Vec::new();
    for (case, question) in decisions(&cases) {
        let manifest = manifest_of(&given, case).map_err(told)?;
        let candidate = compiled.candidate(Some(&manifest)).map_err(told)?;
        let calls = usize::try_from(flags.calls).unwrap_or(usize::MAX);
        let costs =
            candidate.measure(question, &case.world, calls).map_err(|failure| failed(case, &failure))?;
        measured.push(Measured { name: case.name.clone(), costs, fuel: None });
    }
    if measured.is_empty() {
        return Err(CommandError::failed("no case asks for a decision, so there is nothing to measure"));
    }
    count_fuel(&given, &cases, &mut measured).map_err(told)?;
    let text = text(&given, compile_ms, &measured);
    flags.form.print(&text, &json!({"file": given.file, "compileMs": compile_ms, "cases": measured}))
}

fn decisions(cases: &[Case]) -> impl Iterator<Item = (&Case, &Question)> {
    cases.iter().filter_map(|case| match &case.ask {
        Ask::Decide(question) => Some((case, question)),
        Ask::Validate => None,
    })
}

fn failed(case: &Case, failure: &CallFailure) -> CommandError {
    let CallFailure { kind, message } = failure;
    CommandError::failed(format!("{}: {}: {kind}: {message}", case.file.display(), case.name))
}

/// Computing is counted by an engine of its own, because counting takes time.
fn count_fuel(given: &Given, cases: &[Case], measured: &mut [Measured]) -> Result<(), Refusal> {
    let bench = Workbench::open(Metering::On)?;
    let compiled = bench.compile(&given.name, &given.component)?;
    for ((case, question), measured) in decisions(cases).zip(measured) {
        let candidate = compiled.candidate(Some(&manifest_of(given, case)?))?;
        measured.fuel = candidate.ask(question, &case.world).fuel;
    }
    Ok(())
}

fn text(given: &Given, compile_ms: u64, measured: &[Measured]) -> String {
    let mut text = format!(
        "{}: {}, compiled in {compile_ms} ms; times in µs, p50 / p99 of {} calls, whole calls each in a new\n  instance, warm ones of one that stays\n\n",
        given.file.display(),
        size(given.component.len() as u64),
        measured.first().map_or(0, |one| one.costs.calls),
    );
    // Writing to a string cannot fail, here and below.
    writeln!(
        text,
        "{:>16} {:>16} {:>16} {:>10} {:>12}  case",
        "instantiate", "whole call", "warm call", "memory", "fuel"
    )
    .ok();
    for Measured { name, costs, fuel } in measured {
        let instantiate = format!("{} / {}", costs.instantiate_p50_us, costs.instantiate_p99_us);
        let call = format!("{} / {}", costs.call_p50_us, costs.call_p99_us);
        let warm = costs.warm_p50_us.zip(costs.warm_p99_us);
        let warm = warm.map_or_else(|| "-".to_owned(), |(p50, p99)| format!("{p50} / {p99}"));
        let fuel = fuel.map_or_else(|| "-".to_owned(), |fuel| fuel.to_string());
        let memory = size(costs.memory_peak as u64);
        writeln!(text, "{instantiate:>16} {call:>16} {warm:>16} {memory:>10} {fuel:>12}  {name}").ok();
    }
    text
}
