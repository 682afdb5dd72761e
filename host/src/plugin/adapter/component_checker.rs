//! A component as a [`HealthChecker`].

use crate::decision::health::{HealthChecker, HealthFault, Prober, Subject, Verdict};
use crate::plugin::adapter::complaint::Complaint;
use crate::plugin::adapter::health_answer::{accept, declared, describe, state_for_plugin};
use crate::plugin::component::bindings::health::exports::umbel::health::checker as wit;
use crate::plugin::component::budget::Facet;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::guest_call::Check;
use crate::plugin::component::runner::{Call, Surroundings};
use crate::plugin::host::Crew;
use crate::plugin::offer::probe_gate;
use crate::plugin::record::exchange::{Asked, Said};
use crate::plugin::record::ring::Hearing;
use crate::plugin::slot::Slot;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Instant;

/// Asks the plugin of one name, whatever generation serves under it at the time of the call. What a plugin
/// cannot judge goes to the generation before, then to the built-in; the message says so.
pub(in crate::plugin) struct ComponentChecker {
    crew: Arc<Crew>,
    plugin: String,
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
    pub(in crate::plugin) fn new(crew: Arc<Crew>, plugin: String) -> Self {
        Self { crew, plugin, complaint: Complaint::default() }
    }

    async fn decide(&self, subject: &Subject, prober: &dyn Prober) -> Result<Verdict, HealthFault> {
        let Some(slot) = self.crew.roster.slot(&self.plugin) else {
            let trouble = self.crew.roster.absence(&self.plugin);
            return self.fall_back(subject, prober, &trouble).await;
        };
        let mut trouble = None;
        for generation in slot.candidates(Facet::Health) {
            let judged = match self.ask(&slot, &generation, subject, prober).await {
                Ok(judged) => judged,
                // The verdict before stands: a moment's load says nothing about the backend.
                Err(fault) if fault.is_busy() => {
                    slot.note_busy(Facet::Health);
                    return Err(HealthFault::Inconclusive(format!("plugin {:?} {fault}", self.plugin)));
                }
                Err(fault) => {
                    if slot.note_fault(&generation, Facet::Health, &fault) {
                        self.crew.roster.announce();
                    }
                    trouble.get_or_insert_with(|| format!("plugin {:?} {fault}", self.plugin));
                    continue;
                }
            };
            if slot.note_answer(&generation) {
                self.crew.roster.announce();
            }
            return match judged {
                Ok((verdict, memory)) => {
                    slot.memory.keep(&subject.api_service, memory);
                    Ok(verdict)
                }
                Err(HealthFault::NotMine) => self.crew.builtins.health_checker.check(subject, prober).await,
                Err(inconclusive) => {
                    slot.note_declared(Facet::Health);
                    Err(inconclusive)
                }
            };
        }
        slot.memory.keep(&subject.api_service, Vec::new());
        slot.tally.count_policy(Facet::Health, "Builtin");
        let trouble = trouble.unwrap_or_else(|| slot.absence(Facet::Health));
        self.fall_back(subject, prober, &trouble).await
    }

    async fn fall_back(
        &self,
        subject: &Subject,
        prober: &dyn Prober,
        trouble: &str,
    ) -> Result<Verdict, HealthFault> {
        if self.complaint.is_due(trouble, Instant::now()) {
            tracing::warn!(api_service = subject.api_service, "{trouble}; the built-in check decides");
        }
        let mut verdict = self.crew.builtins.health_checker.check(subject, prober).await?;
        verdict.message = format!("{} (by the built-in check: {trouble})", verdict.message);
        Ok(verdict)
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
