//! One question to a plugin on trial.

use super::Candidate;
use crate::plugin::adapter::replay::Replay;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::guest_call::Validate;
use crate::plugin::component::runner::{Call, Surroundings};
use crate::plugin::offer::script::{Script, SharedScript};
use crate::plugin::record::{Answer, Question, Tape};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Something that a plugin finds wrong in its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingsProblem {
    /// JSON pointer.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// What came of one question.
#[derive(Clone, Debug)]
pub struct Tried<R> {
    /// The answer, or why the gateway would take none.
    pub answer: Result<R, String>,
    /// Host calls that the recorded world has no answer to.
    pub missed: Vec<String>,
    /// Lines that the plugin logged: level and text.
    pub lines: Vec<(&'static str, String)>,
    /// Lookups, requests and probes.
    pub host_calls: usize,
    /// Wall clock, from a new instance to the answer.
    pub took: Duration,
    /// Bytes of linear memory at the end.
    pub memory: usize,
    /// What it computed, where that is counted.
    pub fuel: Option<u64>,
}

impl Candidate<'_> {
    /// Asks for a decision. Grants, limits and the judgement of the answer are those of a gateway.
    pub fn ask(&self, question: &Question, world: &Tape) -> Tried<Answer> {
        self.tried(world, |script| {
            let replay = Replay { runner: &self.bench.runner, generation: &self.generation, script };
            let judged = self.bench.runtime.block_on(replay.ask(question));
            match judged {
                Ok((answer, Ok(()))) => Ok(answer),
                Ok((_, Err(rule))) => Err(CallFault::Answer(rule).to_string()),
                Err(fault) => Err(fault.to_string()),
            }
        })
    }

    /// Asks what is wrong with its settings.
    pub fn validate(&self, world: &Tape) -> Tried<Vec<SettingsProblem>> {
        self.tried(world, |script| {
            let asked = Validate { settings: self.generation.settings() };
            let surroundings =
                Surroundings { script: Some(SharedScript::clone(script)), ..Surroundings::default() };
            let call = Call { generation: &self.generation, surroundings, asked }.run(&self.bench.runner);
            let answer = self.bench.runtime.block_on(call).map_err(|fault| fault.to_string())?;
            let problems = answer.err().unwrap_or_default().into_iter();
            Ok(problems.map(|one| SettingsProblem { path: one.path, message: one.message }).collect())
        })
    }

    fn tried<R>(&self, world: &Tape, call: impl FnOnce(&SharedScript) -> Result<R, String>) -> Tried<R> {
        let script = Script::shared(world.clone());
        let began = Instant::now();
        let answer = call(&script);
        let took = began.elapsed();
        let script = script.lock();
        Tried {
            answer,
            missed: script.missed.clone(),
            lines: script.lines.clone(),
            host_calls: script.host_calls,
            took,
            memory: script.memory,
            fuel: script.fuel,
        }
    }
}
