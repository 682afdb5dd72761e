//! A component as a [`DiscoveryTransformer`].

use crate::decision::discovery::{DiscoveryTransformer, GroupHead, Outcome};
use crate::plugin::adapter::discovery_answer::{accept, accept_order, group_name};
use crate::plugin::adapter::stand_in::{Step, Trouble};
use crate::plugin::component::bindings::discovery::exports::umbel::discovery::transformer as wit;
use crate::plugin::component::budget::Facet;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::guest_call::{Order, Transform};
use crate::plugin::component::runner::Call;
use crate::plugin::host::Crew;
use crate::plugin::offer::log_gate::tame;
use crate::plugin::record::exchange::{Asked, Said};
use crate::plugin::record::ring::Hearing;
use crate::plugin::slot::Slot;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// Asks the plugin of one name, whatever generation serves under it at the time of the call. What it cannot
/// answer goes to the generation before, then to what the failure policy says.
pub(in crate::plugin) struct ComponentTransformer {
    pub crew: Arc<Crew>,
    pub plugin: String,
}

impl DiscoveryTransformer for ComponentTransformer {
    fn transform<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<Outcome, String>> {
        Box::pin(self.decide(group))
    }

    fn without_answer(&self, group: &str) -> Outcome {
        match self.hides(group) {
            true => Outcome::Hide(format!("plugin {:?} does not answer, and fails closed", self.plugin)),
            false => Outcome::Keep,
        }
    }

    fn order<'a>(&'a self, groups: &'a [GroupHead]) -> BoxFuture<'a, Result<Option<Vec<String>>, String>> {
        Box::pin(self.decide_order(groups))
    }
}

impl ComponentTransformer {
    async fn decide(&self, group: &str) -> Result<Outcome, String> {
        let name = group_name(group).unwrap_or_default();
        let Some(slot) = self.crew.roster.slot(&self.plugin) else {
            return match self.hides(&name) {
                true => self.stand_in(None, &name, group, self.crew.roster.trouble(&self.plugin)),
                false => Ok(Outcome::Keep),
            };
        };
        let mut trouble = None;
        for generation in slot.candidates(Facet::Discovery) {
            if !generation.profile.manifest.spec.discovery.concerns(&name) {
                return Ok(Outcome::Keep);
            }
            match self.ask(&slot, &generation, group).await {
                Ok(outcome) => {
                    if slot.note_answer(&generation) {
                        self.crew.roster.announce();
                    }
                    match outcome {
                        Ok(outcome) => {
                            slot.last_good.keep_outcome(&name, group, &outcome);
                            return Ok(outcome);
                        }
                        Err(cause) => {
                            slot.note_declared(Facet::Discovery);
                            trouble = Some(Trouble::declared(&self.plugin, cause));
                            break;
                        }
                    }
                }
                Err(fault) => self.note(&slot, &generation, &fault, &mut trouble),
            }
        }
        let trouble = trouble.unwrap_or_else(|| slot.absence(Facet::Discovery));
        self.stand_in(Some(&slot), &name, group, trouble)
    }

    /// Decides as the failure policy says. What is hidden for lack of an answer is no outcome: it is asked again.
    fn stand_in(
        &self,
        slot: Option<&Slot>,
        name: &str,
        group: &str,
        trouble: Trouble,
    ) -> Result<Outcome, String> {
        let rules = self.crew.roster.rules_of(&self.plugin, slot);
        if !rules.discovery.concerns(name) {
            return Ok(Outcome::Keep);
        }
        let count = |step| self.crew.roster.note_stand_in(Facet::Discovery, step, &trouble);
        for step in rules.plan(Facet::Discovery, None) {
            if *step == Step::LastGood {
                let last = slot.and_then(|slot| slot.last_good.outcome(name, group));
                let Some(outcome) = last else { continue };
                tracing::warn!(
                    group = name,
                    cause = trouble.text,
                    "a plugin does not answer: its last outcome serves"
                );
                count(*step);
                return Ok(outcome);
            }
            count(*step);
            break;
        }
        Err(trouble.text)
    }

    /// Whether a group is hidden while there is no answer about it.
    fn hides(&self, name: &str) -> bool {
        let rules = self.crew.roster.rules_of(&self.plugin, None);
        rules.discovery.concerns(name) && rules.hides()
    }

    async fn decide_order(&self, groups: &[GroupHead]) -> Result<Option<Vec<String>>, String> {
        let Some(slot) = self.crew.roster.slot(&self.plugin) else { return Ok(None) };
        let mut trouble = None;
        for generation in slot.candidates(Facet::Discovery) {
            match self.ask_order(&slot, &generation, groups).await {
                Ok(order) => {
                    if slot.note_answer(&generation) {
                        self.crew.roster.announce();
                    }
                    return order;
                }
                Err(fault) => self.note(&slot, &generation, &fault, &mut trouble),
            }
        }
        Err(trouble.unwrap_or_else(|| slot.absence(Facet::Discovery)).text)
    }

    fn note(
        &self,
        slot: &Slot,
        generation: &Arc<Generation>,
        fault: &CallFault,
        trouble: &mut Option<Trouble>,
    ) {
        if fault.is_busy() {
            slot.note_busy(Facet::Discovery);
            trouble.get_or_insert_with(|| Trouble::of_call(&self.plugin, fault));
            return;
        }
        // Whoever asks is building documents from the present set; a rollback takes part in the next ones.
        self.crew.roster.tell(slot.note_fault(generation, Facet::Discovery, fault));
        trouble.get_or_insert_with(|| Trouble::of_call(&self.plugin, fault));
    }

    async fn ask(
        &self,
        slot: &Slot,
        generation: &Arc<Generation>,
        group: &str,
    ) -> Result<Result<Outcome, String>, CallFault> {
        let document: Arc<str> = group.into();
        let hearing =
            Hearing::open(&slot.calls_kept, &generation.profile, Asked::Transform(Arc::clone(&document)));
        let asked = Transform { context: context(generation), group: document };
        let call = Call { generation, surroundings: hearing.surroundings(), asked };
        let answer = call.run(self.crew.runner()?).await;
        let judged = answer.and_then(|answer| {
            let said = Said::Outcome(answer.clone());
            let judged = match answer {
                Err(cause) => Err(tame(&cause)),
                Ok(outcome) => Ok(accept(outcome, group).map_err(CallFault::Answer)?),
            };
            Ok((said, judged))
        });
        hearing.close(judged)
    }

    async fn ask_order(
        &self,
        slot: &Slot,
        generation: &Arc<Generation>,
        groups: &[GroupHead],
    ) -> Result<Result<Option<Vec<String>>, String>, CallFault> {
        let heads: Arc<[wit::Head]> = groups
            .iter()
            .map(|group| wit::Head { name: group.name.clone(), versions: group.versions.clone() })
            .collect();
        let hearing = Hearing::open(&slot.calls_kept, &generation.profile, Asked::Order(Arc::clone(&heads)));
        let asked = Order { context: context(generation), heads };
        let call = Call { generation, surroundings: hearing.surroundings(), asked };
        let answer = call.run(self.crew.runner()?).await;
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let judged = answer.and_then(|answer| {
            let said = Said::Order(answer.clone());
            let judged = match answer {
                Err(cause) => Err(tame(&cause)),
                Ok(None) => Ok(None),
                Ok(Some(order)) => Ok(Some(accept_order(order, &names).map_err(CallFault::Answer)?)),
            };
            Ok((said, judged))
        });
        hearing.close(judged)
    }
}

fn context(generation: &Generation) -> wit::Context {
    wit::Context { settings: generation.settings(), extra: Vec::new() }
}
