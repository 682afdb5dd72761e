//! A component as a [`HealthChecker`].

use crate::decision::health::{HealthChecker, HealthFault, Prober, State, Subject, Verdict};
use crate::model::failure_policy::FailurePolicy;
use crate::plugin::adapter::complaint::Complaint;
use crate::plugin::adapter::health_answer::{accept, declared, describe, state_for_plugin};
use crate::plugin::adapter::stand_in::{Cause, Step, Trouble};
use crate::plugin::component::bindings::health::exports::umbel::health::checker as wit;
use crate::plugin::component::budget::Facet;
use crate::plugin::component::fault::{CallFault, FaultClass};
use crate::plugin::component::generation::Generation;
use crate::plugin::component::guest_call::Check;
use crate::plugin::component::runner::{Call, Surroundings};
use crate::plugin::host::Crew;
use crate::plugin::offer::probe_gate;
use crate::plugin::record::exchange::{Asked, Said};
use crate::plugin::record::ring::Hearing;
use crate::plugin::slot::{Slot, remember};
use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Instant;

/// Asks the plugin of one name, whatever generation serves under it at the time of the call. What a plugin
/// cannot judge goes to the generation before, then to what the failure policy says; the message says so.
pub(in crate::plugin) struct ComponentChecker {
    crew: Arc<Crew>,
    plugin: String,
    /// What the objects say themselves that are bound so.
    policy: Option<FailurePolicy>,
    /// Where the last verdicts are, also when the file has gone.
    last_slot: ArcSwapOption<Slot>,
    complaint: Complaint,
}

type Judged = Result<(Verdict, Vec<u8>), HealthFault>;

impl HealthChecker for ComponentChecker {
    fn check<'a>(
        &'a self,
        subject: &'a Subject,
        prober: &'a dyn Prober,
    ) -> BoxFuture<'a, Result<Verdict, HealthFault>> {
        Box::pin(self.decide(subject, prober))
    }
}

impl ComponentChecker {
    pub(in crate::plugin) fn new(crew: Arc<Crew>, plugin: String, policy: Option<FailurePolicy>) -> Self {
        Self { crew, plugin, policy, last_slot: ArcSwapOption::empty(), complaint: Complaint::default() }
    }

    async fn decide(&self, subject: &Subject, prober: &dyn Prober) -> Result<Verdict, HealthFault> {
        let Some(slot) = self.crew.roster.slot(&self.plugin) else {
            let (gone, trouble) = (self.last_slot.load_full(), self.crew.roster.trouble(&self.plugin));
            return self.stand_in(gone.as_deref(), subject, prober, trouble).await;
        };
        remember(&self.last_slot, &slot);
        let mut trouble = None;
        for generation in slot.candidates(Facet::Health) {
            let judged = match self.ask(&slot, &generation, subject, prober).await {
                Ok(judged) => judged,
                Err(fault) if fault.is_busy() => {
                    slot.note_busy(Facet::Health);
                    let trouble = Trouble::of_call(&self.plugin, &fault);
                    return self.stand_in(Some(&slot), subject, prober, trouble).await;
                }
                Err(fault) => {
                    self.crew.roster.tell(slot.note_fault(&generation, Facet::Health, &fault));
                    trouble.get_or_insert_with(|| Trouble::of_call(&self.plugin, &fault));
                    continue;
                }
            };
            if slot.note_answer(&generation) {
                self.crew.roster.announce();
            }
            return match judged {
                Ok((verdict, memory)) => {
                    slot.memory.keep(&subject.api_service, memory);
                    slot.last_good.keep_verdict(&subject.api_service, &verdict, Instant::now());
                    Ok(verdict)
                }
                Err(HealthFault::NotMine) => self.crew.builtins.health_checker.check(subject, prober).await,
                Err(inconclusive) => {
                    slot.note_declared(Facet::Health);
                    let trouble = Trouble::declared(&self.plugin, inconclusive.to_string());
                    self.stand_in(Some(&slot), subject, prober, trouble).await
                }
            };
        }
        slot.memory.keep(&subject.api_service, Vec::new());
        let trouble = trouble.unwrap_or_else(|| slot.absence(Facet::Health));
        self.stand_in(Some(&slot), subject, prober, trouble).await
    }

    /// Judges as the failure policy says.
    async fn stand_in(
        &self,
        slot: Option<&Slot>,
        subject: &Subject,
        prober: &dyn Prober,
        trouble: Trouble,
    ) -> Result<Verdict, HealthFault> {
        let rules = self.crew.roster.rules_of(&self.plugin, slot);
        let name = &subject.api_service;
        let last = slot.and_then(|slot| slot.last_good.verdict(name, Instant::now()));
        // The verdict before stands for a while: a moment's load says nothing about the backend.
        if self.policy.or(rules.policy).is_none() && trouble.is_passing() {
            let never_was = subject.was == State::Unknown;
            if last.is_some() || never_was || trouble.cause == Cause::Fault(FaultClass::PluginFault) {
                return Err(HealthFault::Inconclusive(trouble.text));
            }
        }
        for step in rules.plan(Facet::Health, self.policy) {
            match step {
                Step::LastGood => {
                    if let Some(last) = last.clone() {
                        self.note(*step, subject, &trouble, "its last verdict stands");
                        return Ok(last);
                    }
                }
                Step::Builtin => {
                    self.note(*step, subject, &trouble, "the built-in check decides");
                    let mut verdict = self.crew.builtins.health_checker.check(subject, prober).await?;
                    let text = format!("{} (by the built-in check: {})", verdict.message, trouble.text);
                    verdict.message = text;
                    return Ok(verdict);
                }
                Step::Bypass => {
                    self.note(*step, subject, &trouble, "it is passed over");
                    return self.crew.builtins.health_checker.check(subject, prober).await;
                }
                Step::Unknown => {
                    self.note(*step, subject, &trouble, "its last verdict stands no longer");
                    return Err(HealthFault::Lapsed(trouble.text));
                }
                Step::Fail => {}
            }
        }
        self.note(Step::Fail, subject, &trouble, "nothing stands in for it");
        let (state, reason) = (State::Down, "PluginFailed".to_owned());
        Ok(Verdict { state, reason, message: trouble.text, next: None })
    }

    fn note(&self, step: Step, subject: &Subject, trouble: &Trouble, what: &str) {
        self.crew.roster.note_stand_in(Facet::Health, step, trouble);
        if self.complaint.is_due(&trouble.text, Instant::now()) {
            tracing::warn!(
                api_service = subject.api_service,
                cause = trouble.text,
                "a plugin does not answer: {what}"
            );
        }
    }

    async fn ask(
        &self,
        slot: &Slot,
        generation: &Arc<Generation>,
        subject: &Subject,
        prober: &dyn Prober,
    ) -> Result<Judged, CallFault> {
        let (gate, desk) = probe_gate::channel(subject);
        let context = wit::Context {
            settings: generation.settings(),
            round: subject.round,
            was: state_for_plugin(subject.was),
            memory: slot.memory.recall(&subject.api_service),
            extra: Vec::new(),
        };
        let question = Arc::new((context, describe(subject)));
        let hearing =
            Hearing::open(&slot.calls_kept, &generation.profile, Asked::Check(Arc::clone(&question)));
        let surroundings = Surroundings { probes: Some(gate), ..hearing.surroundings() };
        let call = Call { generation, surroundings, asked: Check { question } }.run(self.crew.runner()?);
        let judged = desk.serve(prober, call).await.and_then(|answer| {
            let said = Said::Verdict(answer.clone());
            let judged = match answer {
                Err(fault) => Err(declared(fault)),
                Ok(verdict) => Ok(accept(verdict, subject).map_err(CallFault::Answer)?),
            };
            Ok((said, judged))
        });
        hearing.close(judged)
    }
}
