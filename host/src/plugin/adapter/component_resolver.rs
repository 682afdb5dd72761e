//! A component as a [`Resolver`].

use crate::decision::resolver::{Endpoint, Resolution, ResolveFault, Resolver, Target};
use crate::model::failure_policy::FailurePolicy;
use crate::plugin::adapter::complaint::Complaint;
use crate::plugin::adapter::last_good::RETRY;
use crate::plugin::adapter::pinning::{Found, pin};
use crate::plugin::adapter::resolver_answer::{
    accept, declared, is_own_place, names_to_look_up, refuse_address,
};
use crate::plugin::adapter::stand_in::{Step, Trouble};
use crate::plugin::component::bindings::resolver::exports::umbel::resolver::resolver as wit;
use crate::plugin::component::budget::Facet;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::guest_call::Resolve;
use crate::plugin::component::runner::Call;
use crate::plugin::host::Crew;
use crate::plugin::record::exchange::{Asked, Said};
use crate::plugin::record::ring::Hearing;
use crate::plugin::slot::{Slot, remember};
use arc_swap::ArcSwapOption;
use futures_util::future::{BoxFuture, try_join_all};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Limit for looking behind the names of an answer.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);
/// Names that are looked up at once for one plugin.
const LOOKUPS: usize = 4;

/// Asks the plugin of one name, whatever generation serves under it at the time of the call. What a plugin
/// cannot answer goes to the generation before, then to what the failure policy says.
pub(in crate::plugin) struct ComponentResolver {
    crew: Arc<Crew>,
    plugin: String,
    /// What the objects say themselves that are bound so.
    policy: Option<FailurePolicy>,
    /// Where the last good answers are, also when the file has gone.
    last_slot: ArcSwapOption<Slot>,
    complaint: Complaint,
    /// Places for lookups. The system's lookup blocks a thread and cannot be called off, so each keeps its place until
    /// it is over, whoever waits for it.
    lookups: Arc<Semaphore>,
}

impl Resolver for ComponentResolver {
    fn resolve<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Resolution, ResolveFault>> {
        Box::pin(self.decide(target))
    }

    /// The plugin runtime, where there is a plugin to ask.
    fn home(&self) -> Option<Handle> {
        self.crew.roster.slot(&self.plugin)?;
        Some(self.crew.runner().ok()?.runtime.clone())
    }
}

impl ComponentResolver {
    pub(in crate::plugin) fn new(crew: Arc<Crew>, plugin: String, policy: Option<FailurePolicy>) -> Self {
        let (last_slot, complaint) = (ArcSwapOption::empty(), Complaint::default());
        Self { crew, plugin, policy, last_slot, complaint, lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    async fn decide(&self, target: &Target) -> Result<Resolution, ResolveFault> {
        let Some(slot) = self.crew.roster.slot(&self.plugin) else {
            let trouble = self.crew.roster.trouble(&self.plugin);
            return self.stand_in(self.last_slot.load_full().as_deref(), target, trouble).await;
        };
        remember(&self.last_slot, &slot);
        let mut trouble = None;
        for generation in slot.candidates(Facet::Resolver) {
            let answer = match self.ask(&slot, &generation, target).await {
                Ok(answer) => answer,
                Err(fault) if fault.is_busy() => {
                    slot.note_busy(Facet::Resolver);
                    trouble = Some(Trouble::of_call(&self.plugin, &fault));
                    break;
                }
                Err(fault) => {
                    self.crew.roster.tell(slot.note_fault(&generation, Facet::Resolver, &fault));
                    trouble.get_or_insert_with(|| Trouble::of_call(&self.plugin, &fault));
                    continue;
                }
            };
            if slot.note_answer(&generation) {
                self.crew.roster.announce();
            }
            return match answer {
                Ok(resolution) => {
                    slot.last_good.keep_resolution(target, &resolution, Instant::now());
                    Ok(resolution)
                }
                Err(ResolveFault::NotMine) => self.crew.builtins.resolver.resolve(target).await,
                Err(ResolveFault::Unavailable(cause)) => {
                    slot.note_declared(Facet::Resolver);
                    self.stand_in(Some(&slot), target, Trouble::declared(&self.plugin, cause)).await
                }
                Err(fault) => Err(fault),
            };
        }
        let trouble = trouble.unwrap_or_else(|| slot.absence(Facet::Resolver));
        self.stand_in(Some(&slot), target, trouble).await
    }

    /// Answers as the failure policy says.
    async fn stand_in(
        &self,
        slot: Option<&Slot>,
        target: &Target,
        trouble: Trouble,
    ) -> Result<Resolution, ResolveFault> {
        let rules = self.crew.roster.rules_of(&self.plugin, slot);
        let is_usual = self.policy.or(rules.policy).is_none();
        for step in rules.plan(Facet::Resolver, self.policy) {
            match step {
                Step::LastGood => {
                    if let Some(last) = slot.and_then(|slot| last_good(slot, target)) {
                        self.note(*step, target, &trouble, "its last good answer serves");
                        return Ok(last);
                    }
                }
                // A moment's load is no reason to send traffic elsewhere, unless somebody says that it is.
                Step::Builtin if is_usual && trouble.is_passing() => {
                    return Err(ResolveFault::Unavailable(trouble.text));
                }
                Step::Builtin if target.external_name.is_some() => {
                    self.note(*step, target, &trouble, "the host of the ExternalName serves");
                    let answer = self.crew.builtins.resolver.resolve(target).await?;
                    // The built-in's own answer would be good for ever, and the plugin never asked again.
                    return Ok(Resolution { fresh: RETRY, ..answer });
                }
                _ => {}
            }
        }
        self.note(Step::Fail, target, &trouble, "nothing stands in for it");
        Err(ResolveFault::Withheld { public: trouble.for_client(), detail: trouble.text })
    }

    fn note(&self, step: Step, target: &Target, trouble: &Trouble, what: &str) {
        self.crew.roster.note_stand_in(Facet::Resolver, step, trouble);
        if self.complaint.is_due(&trouble.text, Instant::now()) {
            let service = format!("{}/{}", target.namespace, target.name);
            tracing::warn!(service, cause = trouble.text, "a plugin does not answer: {what}");
        }
    }

    async fn ask(
        &self,
        slot: &Slot,
        generation: &Arc<Generation>,
        target: &Target,
    ) -> Result<Result<Resolution, ResolveFault>, CallFault> {
        let question = Arc::new(wit::Target {
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            port: target.port,
            external_name: target.external_name.clone(),
            annotations: target.annotations.clone(),
            extra: Vec::new(),
        });
        let hearing =
            Hearing::open(&slot.calls_kept, &generation.profile, Asked::Resolve(Arc::clone(&question)));
        let runner = self.crew.runner()?;
        let context = wit::Context { settings: generation.settings(), extra: Vec::new() };
        let asked = Resolve { context, target: question };
        let answer = Call { generation, surroundings: hearing.surroundings(), asked }.run(runner).await;
        let policy = generation.profile.address_policy(&runner.outside.own);
        let judged = answer.and_then(|answer| {
            let said = Said::Resolution(answer.clone());
            let judged = match answer {
                Err(fault) => Err(declared(fault)),
                Ok(resolution) => Ok(accept(resolution, target, policy).map_err(CallFault::Answer)?),
            };
            Ok((said, judged))
        });
        let resolution = match hearing.close(judged)? {
            Err(fault) => return Ok(Err(fault)),
            Ok(resolution) => resolution,
        };
        let found = match self.look_behind(&resolution, target, &runner.runtime).await {
            Ok(found) => found,
            Err(cause) => {
                let text = format!("plugin {:?} names a host that is not to be found: {cause}", self.plugin);
                return Ok(Err(ResolveFault::Unavailable(text)));
            }
        };
        let elsewhere = |endpoint: &&Endpoint| !is_own_place(&endpoint.host, endpoint.port, target);
        for endpoint in resolution.endpoints.iter().filter(elsewhere) {
            for address in found.get(&endpoint.host).into_iter().flatten() {
                let place = (*address, endpoint.port);
                refuse_address(&endpoint.host, place, policy).map_err(CallFault::Answer)?;
            }
        }
        pin(resolution, &found).map(Ok).map_err(CallFault::Answer)
    }

    /// The addresses behind the names of an answer. The ExternalName's own host is left to dialling.
    async fn look_behind(
        &self,
        resolution: &Resolution,
        target: &Target,
        runtime: &Handle,
    ) -> Result<Found, String> {
        let places = resolution.endpoints.iter().map(|endpoint| (endpoint.host.as_str(), endpoint.port));
        let lookups = names_to_look_up(places, target).into_iter().map(|name| async move {
            let failed = |error: &dyn std::fmt::Display| format!("{name}: {error}");
            let place = Arc::clone(&self.lookups).acquire_owned().await.map_err(|error| failed(&error))?;
            let owned = name.to_owned();
            let lookup = runtime.spawn(async move {
                let _place = place;
                tokio::net::lookup_host((owned, 0)).await.map(|found| found.map(|at| at.ip()).collect())
            });
            let found: std::io::Result<Vec<_>> = lookup.await.map_err(|error| failed(&error))?;
            Ok((name.to_owned(), found.map_err(|error| failed(&error))?))
        });
        let all = tokio::time::timeout(LOOKUP_LIMIT, try_join_all(lookups)).await;
        let found = all.unwrap_or_else(|_| Err(format!("no answer within {} s", LOOKUP_LIMIT.as_secs())))?;
        Ok(found.into_iter().collect())
    }
}

fn last_good(slot: &Slot, target: &Target) -> Option<Resolution> {
    slot.last_good.resolution(target, Instant::now())
}
