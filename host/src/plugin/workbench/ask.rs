//! One question to a plugin on trial.

use super::{Candidate, Description};
use crate::plugin::adapter::replay::Replay;
use crate::plugin::component::bindings::lifecycle::exports::umbel::lifecycle::lifecycle as wit;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::guest_call::{Describe, Validate};
use crate::plugin::component::runner::{Call, Runner, Surroundings};
use crate::plugin::offer::script::{Script, SharedScript};
use crate::plugin::record::{Answer, Question, Tape};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Something that a plugin finds wrong in its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingsProblem {
    /// JSON pointer.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Why a gateway would reject an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct CallFailure {
    /// The class, as in the gateway's metrics: `trap`, `timeout-cpu`, `answer-invalid` and so on.
    pub kind: &'static str,
    /// The error text.
    pub message: String,
}

impl From<CallFault> for CallFailure {
    fn from(fault: CallFault) -> Self {
        Self { kind: fault.class().word(), message: fault.to_string() }
    }
}

/// What came of one question.
#[derive(Clone, Debug)]
pub struct Tried<R> {
    /// The answer, or why the gateway would take none.
    pub answer: Result<R, CallFailure>,
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

/// Who is asked, to be taken along into a task.
#[derive(Clone)]
pub(super) struct Trial {
    pub runner: Arc<Runner>,
    pub generation: Arc<Generation>,
}

impl Trial {
    pub(super) async fn ask(&self, question: &Question, world: &Tape) -> Tried<Answer> {
        let Self { runner, generation } = self;
        let script = Script::shared(world.clone());
        let began = Instant::now();
        let judged = Replay { runner, generation, script: &script }.ask(question).await;
        let took = began.elapsed();
        let answer = match judged {
            Ok((answer, Ok(()))) => Ok(answer),
            Ok((_, Err(rule))) => Err(CallFault::Answer(rule).into()),
            Err(fault) => Err(fault.into()),
        };
        Tried::new(answer, took, &script)
    }

    async fn validate(&self, settings: String, world: &Tape) -> Tried<Vec<SettingsProblem>> {
        let Self { runner, generation } = self;
        let script = Script::shared(world.clone());
        let asked = Validate { settings };
        let surroundings =
            Surroundings { script: Some(SharedScript::clone(&script)), ..Surroundings::default() };
        let began = Instant::now();
        let answer = Call { generation, surroundings, asked }.run(runner).await;
        let took = began.elapsed();
        let problem = |one: wit::Problem| SettingsProblem { path: one.path, message: one.message };
        let answer = answer
            .map(|answer| answer.err().unwrap_or_default().into_iter().map(problem).collect())
            .map_err(CallFailure::from);
        Tried::new(answer, took, &script)
    }
}

impl<R> Tried<R> {
    fn new(answer: Result<R, CallFailure>, took: Duration, script: &SharedScript) -> Self {
        let script = script.lock();
        Self {
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

impl Candidate<'_> {
    /// Asks for a decision. Grants, limits and the judgement of the answer are those of a gateway.
    pub fn ask(&self, question: &Question, world: &Tape) -> Tried<Answer> {
        self.bench.runtime.block_on(self.trial().ask(question, world))
    }

    /// The settings of its manifest, as JSON.
    pub fn settings(&self) -> String {
        self.generation.settings()
    }

    /// Asks what is wrong with settings, without its schema.
    pub fn validate(&self, settings: &str, world: &Tape) -> Tried<Vec<SettingsProblem>> {
        self.bench.runtime.block_on(self.trial().validate(settings.to_owned(), world))
    }

    /// Asks what it is.
    ///
    /// # Errors
    /// Why a gateway would take no answer.
    pub fn describe(&self) -> Result<Description, CallFailure> {
        let call = Call::new(&self.generation, Describe).run(&self.bench.runner);
        Ok(self.bench.runtime.block_on(call)?.into())
    }

    pub(super) fn trial(&self) -> Trial {
        Trial { runner: Arc::clone(&self.bench.runner), generation: Arc::clone(&self.generation) }
    }
}
