//! One question to a generation in a recorded world.

use crate::plugin::adapter::{discovery_answer, health_answer, resolver_answer};
use crate::plugin::component::bindings::{discovery, health, resolver};
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::guest_call::{Check, GuestCall, Order, Resolve, Transform};
use crate::plugin::component::runner::{Call, Runner, Surroundings};
use crate::plugin::offer::probe_gate;
use crate::plugin::offer::script::{ScriptedProber, SharedScript};
use crate::plugin::record::{
    Answer, Body, HealthState, HealthSubject, Question, ResolveTarget, VersionedGroup, translate,
};
use discovery::exports::umbel::discovery::transformer as wit_discovery;
use health::exports::umbel::health::checker as wit_health;
use resolver::exports::umbel::resolver::resolver as wit_resolver;
use std::sync::Arc;

/// The answer of a plugin, with what the host thinks of it.
pub(in crate::plugin) type Judged = Result<(Answer, Result<(), String>), CallFault>;

/// Who is asked, and what answers its host calls.
pub(in crate::plugin) struct Replay<'a> {
    pub runner: &'a Arc<Runner>,
    pub generation: &'a Arc<Generation>,
    pub script: &'a SharedScript,
}

impl Replay<'_> {
    /// Asks for a decision. Grants, limits and the judgement of the answer are those of a gateway; nothing outside
    /// is reached.
    ///
    /// # Errors
    /// Why there is no answer. One that the host refuses is no error: the second part says so.
    pub(in crate::plugin) async fn ask(&self, question: &Question) -> Judged {
        match question {
            Question::Resolve { target } => self.resolve(target).await,
            Question::Check { subject, round, was, memory } => {
                self.check(subject, (*round, *was, memory)).await
            }
            Question::Transform { group } => self.transform(group).await,
            Question::Order { groups } => self.order(groups).await,
        }
    }

    async fn resolve(&self, asked: &ResolveTarget) -> Judged {
        let context = wit_resolver::Context { settings: self.generation.settings(), extra: Vec::new() };
        let answer = self.call(Resolve { context, target: Arc::new(translate::wit_target(asked)) }).await?;
        let said = translate::resolution(&answer);
        let policy = self.generation.profile.address_policy(&self.runner.outside.own);
        let judged = answer.map_or(Ok(()), |resolution| {
            resolver_answer::accept(resolution, &translate::target(asked), policy).map(drop)
        });
        Ok((said, judged))
    }

    async fn check(&self, asked: &HealthSubject, (round, was, memory): (u32, HealthState, &Body)) -> Judged {
        let subject = translate::subject(asked, round, was);
        let (gate, desk) = probe_gate::channel(&subject);
        let context = wit_health::Context {
            settings: self.generation.settings(),
            round,
            was: health_answer::state_for_plugin(subject.was),
            memory: memory.0.to_vec(),
            extra: Vec::new(),
        };
        let surroundings = Surroundings { probes: Some(gate), ..self.within() };
        let asked = Check { question: Arc::new((context, health_answer::describe(&subject))) };
        let call = Call { generation: self.generation, surroundings, asked }.run(self.runner);
        let answer = desk.serve(&ScriptedProber(SharedScript::clone(self.script)), call).await?;
        let said = translate::verdict(&answer);
        let judged = answer.map_or(Ok(()), |verdict| health_answer::accept(verdict, &subject).map(drop));
        Ok((said, judged))
    }

    async fn transform(&self, asked: &str) -> Judged {
        let answer = self.call(Transform { context: self.context(), group: asked.into() }).await?;
        let said = translate::outcome(&answer);
        Ok((said, answer.map_or(Ok(()), |outcome| discovery_answer::accept(outcome, asked).map(drop))))
    }

    async fn order(&self, asked: &[VersionedGroup]) -> Judged {
        let heads = translate::heads(asked);
        let answer = self.call(Order { context: self.context(), heads: heads.into() }).await?;
        let said = translate::order(&answer);
        let names: Vec<&str> = asked.iter().map(|group| group.name.as_str()).collect();
        let judged = match answer {
            Ok(Some(order)) => discovery_answer::accept_order(order, &names).map(drop),
            Ok(None) | Err(_) => Ok(()),
        };
        Ok((said, judged))
    }

    async fn call<C: GuestCall>(&self, asked: C) -> Result<C::Answer, CallFault> {
        let call = Call { generation: self.generation, surroundings: self.within(), asked };
        call.run(self.runner).await
    }

    fn context(&self) -> wit_discovery::Context {
        wit_discovery::Context { settings: self.generation.settings(), extra: Vec::new() }
    }

    fn within(&self) -> Surroundings {
        Surroundings { script: Some(SharedScript::clone(self.script)), ..Surroundings::default() }
    }
}
