//! A new component answers again what the one that serves was really asked, before it may serve itself.
//!
//! The world is the recorded one, so that nothing outside notices. What the record has no answer to makes a call
//! not comparable and speaks for nobody.

use super::slot::Slot;
use super::status::{Reason, State};
use crate::plugin::adapter::replay::Replay;
use crate::plugin::component::fault::{CallFault, LoadFault};
use crate::plugin::component::generation::Generation;
use crate::plugin::component::runner::Runner;
use crate::plugin::offer::log_gate::tame;
use crate::plugin::offer::script::Script;
use crate::plugin::record::Answer;
use crate::plugin::record::difference::first_difference;
use crate::plugin::record::ring::Sample;
use crate::plugin::source::manifest::RehearsalMode;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for all calls together. What is not asked by then is not compared.
const TIME_MAX: Duration = Duration::from_secs(10);
/// How often a call may run out of time before the component is blamed, and not the load of the moment.
const TRIES: usize = 2;

/// What came of a rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// Calls that were answered again and compared.
    pub compared: u32,
    /// How many of them were answered otherwise.
    pub different: u32,
    /// Calls that could not be compared.
    pub not_comparable: u32,
    /// The first difference, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_difference: Option<String>,
    /// Why there was none, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What came of one call.
enum Outcome {
    Same,
    Different(String),
    NotComparable,
    Failed(LoadFault),
}

/// Lets a component that is to replace another one answer the kept calls again. What came of it is noted in the slot.
///
/// # Errors
/// `RehearsalTrap` or `RehearsalTimeout` when it fails where the one that serves does not; `RehearsalDifferent` when
/// the manifest is strict and an answer differs.
pub(in crate::plugin) async fn rehearse(
    runner: &Arc<Runner>,
    slot: &Slot,
    candidate: &Arc<Generation>,
) -> Result<(), LoadFault> {
    let mode = candidate.profile.manifest.spec.rehearsal;
    let samples = slot.calls_kept.samples();
    let none = |note: &str| Rehearsal { note: Some(note.to_owned()), ..Rehearsal::default() };
    let (report, failure) = match slot.current() {
        _ if mode == RehearsalMode::Off => (none("spec.rehearsal of the manifest is off"), None),
        None => (none("nothing served before"), None),
        Some(_) if samples.is_empty() => (none("no calls were recorded before"), None),
        Some(serving) => {
            slot.progress.enter(State::Rehearsing);
            ask_all(runner, candidate, serving.profile.generation, &samples).await
        }
    };
    let is_refused = mode == RehearsalMode::Strict && report.different > 0;
    let strict = || {
        let text = report.first_difference.clone().unwrap_or_default();
        let (different, compared) = (report.different, report.compared);
        let text = format!("{different} of {compared} recorded calls are answered otherwise; {text}");
        LoadFault::new(Reason::RehearsalDifferent, text)
    };
    let fault = failure.or_else(|| is_refused.then(strict));
    if report.different > 0 && fault.is_none() {
        let first = report.first_difference.as_deref().unwrap_or_default();
        tracing::warn!(
            plugin = slot.name,
            different = report.different,
            compared = report.compared,
            first,
            "the new component answers recorded calls otherwise"
        );
    }
    slot.note_rehearsal(report);
    fault.map_or(Ok(()), Err)
}

async fn ask_all(
    runner: &Arc<Runner>,
    candidate: &Arc<Generation>,
    serving: u64,
    samples: &[Arc<Sample>],
) -> (Rehearsal, Option<LoadFault>) {
    let mut report = Rehearsal::default();
    let mut failure = None;
    let began = Instant::now();
    for sample in samples {
        let left = TIME_MAX.saturating_sub(began.elapsed());
        let mut ran_out = None;
        let asked = tokio::time::timeout(left, ask(runner, candidate, serving, sample, &mut ran_out)).await;
        // The time for the rehearsal may end in the second try of a call that used up all of its own before.
        let late =
            || ran_out.map_or(Outcome::NotComparable, |fault| Outcome::Failed(refusal(sample, &fault)));
        match asked.unwrap_or_else(|_| late()) {
            Outcome::Same => report.compared += 1,
            Outcome::Different(what) => {
                (report.compared, report.different) = (report.compared + 1, report.different + 1);
                let title = sample.asked.question().title();
                report.first_difference.get_or_insert_with(|| tame(&format!("{title}: {what}")));
            }
            Outcome::NotComparable => report.not_comparable += 1,
            Outcome::Failed(fault) => {
                failure = Some(fault);
                break;
            }
        }
    }
    (report, failure)
}

/// `ran_out` is why a call that the one before it answered has to be tried again.
async fn ask(
    runner: &Arc<Runner>,
    candidate: &Arc<Generation>,
    serving: u64,
    sample: &Sample,
    ran_out: &mut Option<CallFault>,
) -> Outcome {
    if sample.gap.is_some() || !candidate.has(sample.asked.facet()) {
        return Outcome::NotComparable;
    }
    let mut again = answer(runner, candidate, sample).await;
    for _ in 1..TRIES {
        if let Some((Err(fault @ (CallFault::CpuBudget(_) | CallFault::WallBudget(_))), _)) = again {
            *ran_out = sample.said.is_ok().then_some(fault);
            again = answer(runner, candidate, sample).await;
        }
    }
    let Some((again, saw_reality)) = again else { return Outcome::NotComparable };
    match (&sample.said, again) {
        // It fails as the one before it did, or no longer.
        (Err(_), _) => Outcome::Same,
        (Ok(_), Err(fault)) => Outcome::Failed(refusal(sample, &fault)),
        // The answer of a generation that no longer serves is nothing to be held against.
        (Ok(_), Ok(_)) if sample.profile.generation != serving => Outcome::NotComparable,
        (Ok(said), Ok(answer)) => match first_difference(&said.answer(), &answer) {
            None => Outcome::Same,
            // Another time or another random number may have made it.
            Some(_) if saw_reality => Outcome::NotComparable,
            Some(difference) => Outcome::Different(difference),
        },
    }
}

/// The answer in the recorded world, and whether it may depend on what nobody records; `None` where it says nothing
/// about the component.
async fn answer(
    runner: &Arc<Runner>,
    candidate: &Arc<Generation>,
    sample: &Sample,
) -> Option<(Result<Answer, CallFault>, bool)> {
    let script = Script::of_call(sample.world.clone(), &sample.absent_keys);
    let replay = Replay { runner, generation: candidate, script: &script };
    let judged = replay.ask(&sample.asked.question()).await;
    let script = script.lock();
    if !script.missed.is_empty() || script.read_real_clock {
        return None;
    }
    let answer = match judged {
        Err(CallFault::Busy(_) | CallFault::Host(_)) => return None,
        Err(fault) => Err(fault),
        Ok((_, Err(rule))) => Err(CallFault::Answer(rule)),
        Ok((answer, Ok(()))) => Ok(answer),
    };
    Some((answer, script.saw_reality))
}

fn refusal(sample: &Sample, fault: &CallFault) -> LoadFault {
    let reason = match fault {
        CallFault::CpuBudget(_) | CallFault::WallBudget(_) => Reason::RehearsalTimeout,
        _ => Reason::RehearsalTrap,
    };
    let (title, generation) = (sample.asked.question().title(), sample.profile.generation);
    let text = format!("asked again what generation {generation} answered, it {fault} ({title})");
    LoadFault::new(reason, tame(&text))
}
