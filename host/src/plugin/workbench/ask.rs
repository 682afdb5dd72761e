//! One question to a plugin on trial.

use super::{Candidate, translate};
use crate::plugin::adapter::{discovery_answer, health_answer, resolver_answer};
use crate::plugin::component::bindings::{discovery, health, resolver};
use crate::plugin::component::budget::Facet;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::runner::Surroundings;
use crate::plugin::offer::probe_gate;
use crate::plugin::offer::script::{Script, ScriptedProber, SharedScript};
use crate::plugin::record::{
    Answer, Body, HealthState, HealthSubject, Question, ResolveTarget, Tape, VersionedGroup,
};
use discovery::exports::umbel::discovery::transformer as wit_discovery;
use health::exports::umbel::health::checker as wit_health;
use resolver::exports::umbel::resolver::resolver as wit_resolver;
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

/// The answer of a plugin, with what the host thinks of it.
type Judged = Result<(Answer, Result<(), String>), CallFault>;

impl Candidate<'_> {
    /// Asks for a decision. Grants, limits and the judgement of the answer are those of a gateway.
    pub fn ask(&self, question: &Question, world: &Tape) -> Tried<Answer> {
        self.tried(world, |script| {
            let judged = self.bench.runtime.block_on(async {
                match question {
                    Question::Resolve { target } => self.resolve(target, script).await,
                    Question::Check { subject, round, was, memory } => {
                        self.check(subject, (*round, *was, memory), script).await
                    }
                    Question::Transform { group } => self.transform(group, script).await,
                    Question::Order { groups } => self.order(groups, script).await,
                }
            });
            match judged {
                Ok((answer, Ok(()))) => Ok(answer),
                Ok((_, Err(rule))) => Err(CallFault::Answer(rule).to_string()),
                Err(fault) => Err(fault.to_string()),
            }
        })
    }

    /// Asks what is wrong with its settings.
    pub fn validate(&self, world: &Tape) -> Tried<Vec<SettingsProblem>> {
        let settings = self.generation.settings();
        self.tried(world, |script| {
            let runner = &self.bench.runner;
            let call = runner.call_within(
                &self.generation,
                Facet::Lifecycle,
                within(script),
                |generation, store| {
                    Box::pin(async move {
                        let part = generation.facets.lifecycle.instantiate_async(&mut *store).await?;
                        part.umbel_lifecycle_lifecycle().call_validate(store, &settings).await
                    })
                },
            );
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

    async fn resolve(&self, asked: &ResolveTarget, script: &SharedScript) -> Judged {
        let (runner, question) = (&self.bench.runner, translate::wit_target(asked));
        let answer = runner
            .call_within(&self.generation, Facet::Resolver, within(script), move |generation, store| {
                Box::pin(async move {
                    let Some(part) = &generation.facets.resolver else {
                        wasmtime::bail!("exports no resolver")
                    };
                    let instance = part.instantiate_async(&mut *store).await?;
                    let context =
                        wit_resolver::Context { settings: generation.settings(), extra: Vec::new() };
                    instance.umbel_resolver_resolver().call_resolve(store, &context, &question).await
                })
            })
            .await?;
        let said = translate::resolution(&answer);
        let policy = self.generation.profile.address_policy(&runner.outside.own);
        let judged = answer.map_or(Ok(()), |resolution| {
            resolver_answer::accept(resolution, &translate::target(asked), policy).map(drop)
        });
        Ok((said, judged))
    }

    async fn check(
        &self,
        asked: &HealthSubject,
        (round, was, memory): (u32, HealthState, &Body),
        script: &SharedScript,
    ) -> Judged {
        let subject = translate::subject(asked, round, was);
        let (gate, desk) = probe_gate::channel(&subject);
        let question = health_answer::describe(&subject);
        let context = wit_health::Context {
            settings: self.generation.settings(),
            round,
            was: health_answer::state_for_plugin(subject.was),
            memory: memory.0.clone(),
            extra: Vec::new(),
        };
        let surroundings = Surroundings { probes: Some(gate), ..within(script) };
        let call = self.bench.runner.call_within(
            &self.generation,
            Facet::Health,
            surroundings,
            move |generation, store| {
                Box::pin(async move {
                    let Some(part) = &generation.facets.health else {
                        wasmtime::bail!("exports no health checker")
                    };
                    let instance = part.instantiate_async(&mut *store).await?;
                    instance.umbel_health_checker().call_check(store, &context, &question).await
                })
            },
        );
        let answer = desk.serve(&ScriptedProber(SharedScript::clone(script)), call).await?;
        let said = translate::verdict(&answer);
        let judged = answer.map_or(Ok(()), |verdict| health_answer::accept(verdict, &subject).map(drop));
        Ok((said, judged))
    }

    async fn transform(&self, asked: &str, script: &SharedScript) -> Judged {
        let document = asked.to_owned();
        let answer = self
            .bench
            .runner
            .call_within(&self.generation, Facet::Discovery, within(script), move |generation, store| {
                Box::pin(async move {
                    let Some(part) = &generation.facets.discovery else {
                        wasmtime::bail!("exports no discovery transformer")
                    };
                    let instance = part.instantiate_async(&mut *store).await?;
                    let context =
                        wit_discovery::Context { settings: generation.settings(), extra: Vec::new() };
                    instance.umbel_discovery_transformer().call_transform(store, &context, &document).await
                })
            })
            .await?;
        let said = translate::outcome(&answer);
        Ok((said, answer.map_or(Ok(()), |outcome| discovery_answer::accept(outcome, asked).map(drop))))
    }

    async fn order(&self, asked: &[VersionedGroup], script: &SharedScript) -> Judged {
        let head = |group: &VersionedGroup| wit_discovery::Head {
            name: group.name.clone(),
            versions: group.versions.clone(),
        };
        let heads: Vec<_> = asked.iter().map(head).collect();
        let answer = self
            .bench
            .runner
            .call_within(&self.generation, Facet::Discovery, within(script), move |generation, store| {
                Box::pin(async move {
                    let Some(part) = &generation.facets.discovery else {
                        wasmtime::bail!("exports no discovery transformer")
                    };
                    let instance = part.instantiate_async(&mut *store).await?;
                    let context =
                        wit_discovery::Context { settings: generation.settings(), extra: Vec::new() };
                    instance.umbel_discovery_transformer().call_order(store, &context, &heads).await
                })
            })
            .await?;
        let said = translate::order(&answer);
        let names: Vec<&str> = asked.iter().map(|group| group.name.as_str()).collect();
        let judged = match answer {
            Ok(Some(order)) => discovery_answer::accept_order(order, &names).map(drop),
            Ok(None) | Err(_) => Ok(()),
        };
        Ok((said, judged))
    }
}

pub(super) fn within(script: &SharedScript) -> Surroundings {
    Surroundings { probes: None, script: Some(SharedScript::clone(script)) }
}
