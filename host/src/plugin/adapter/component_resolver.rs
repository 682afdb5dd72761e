//! A component as a [`Resolver`].

use crate::decision::resolver::{Resolution, ResolveFault, Resolver, Target};
use crate::plugin::adapter::complaint::Complaint;
use crate::plugin::adapter::last_good::RETRY;
use crate::plugin::adapter::pinning::{Found, pin};
use crate::plugin::adapter::resolver_answer::{accept, declared, is_own_host, refuse_address};
use crate::plugin::component::bindings::resolver::exports::umbel::resolver::resolver as wit;
use crate::plugin::component::budget::Facet;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::guest_call::Resolve;
use crate::plugin::component::runner::Call;
use crate::plugin::host::Crew;
use crate::plugin::record::exchange::{Asked, Said};
use crate::plugin::record::ring::Hearing;
use crate::plugin::slot::Slot;
use arc_swap::ArcSwapOption;
use futures_util::future::{BoxFuture, try_join_all};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Limit for looking behind the names of an answer.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

/// Asks the plugin of one name, whatever generation serves under it at the time of the call. What a plugin
/// cannot answer goes to the generation before, then to its last good answer, then to the built-in.
pub(in crate::plugin) struct ComponentResolver {
    crew: Arc<Crew>,
    plugin: String,
    /// Where the last good answers are, also when the file has gone.
    last_slot: ArcSwapOption<Slot>,
    complaint: Complaint,
}

impl Resolver for ComponentResolver {
    fn resolve<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Resolution, ResolveFault>> {
        Box::pin(self.decide(target))
    }
}

impl ComponentResolver {
    pub(in crate::plugin) fn new(crew: Arc<Crew>, plugin: String) -> Self {
        Self { crew, plugin, last_slot: ArcSwapOption::empty(), complaint: Complaint::default() }
    }

    async fn decide(&self, target: &Target) -> Result<Resolution, ResolveFault> {
        let Some(slot) = self.crew.roster.slot(&self.plugin) else {
            let gone = self.last_slot.load_full();
            return self.fall_back(gone.as_deref(), target, self.crew.roster.absence(&self.plugin)).await;
        };
        self.last_slot.store(Some(Arc::clone(&slot)));
        let mut trouble = None;
        for generation in slot.candidates(Facet::Resolver) {
            let answer = match self.ask(&slot, &generation, target).await {
                Ok(answer) => answer,
                // Another answer than the plugin's own would send traffic elsewhere because of a moment's load.
                Err(fault) if fault.is_busy() => {
                    slot.note_busy(Facet::Resolver);
                    let cause = format!("plugin {:?} {fault}", self.plugin);
                    return last_good(&slot, target).ok_or(ResolveFault::Unavailable(cause));
                }
                Err(fault) => {
                    if slot.note_fault(&generation, Facet::Resolver, &fault) {
                        self.crew.roster.announce();
                    }
                    trouble.get_or_insert_with(|| format!("plugin {:?} {fault}", self.plugin));
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
                    last_good(&slot, target).ok_or(ResolveFault::Unavailable(cause))
                }
                Err(fault) => Err(fault),
            };
        }
        let trouble = trouble.unwrap_or_else(|| slot.absence(Facet::Resolver));
        self.fall_back(Some(&slot), target, trouble).await
    }

    async fn fall_back(
        &self,
        slot: Option<&Slot>,
        target: &Target,
        trouble: String,
    ) -> Result<Resolution, ResolveFault> {
        let service = format!("{}/{}", target.namespace, target.name);
        let is_news = self.complaint.is_due(&trouble, Instant::now());
        let applied = |policy| {
            if let Some(slot) = slot {
                slot.tally.count_policy(Facet::Resolver, policy);
            }
        };
        if let Some(last) = slot.and_then(|slot| last_good(slot, target)) {
            applied("UseLastGood");
            if is_news {
                tracing::warn!(service, "{trouble}; its last good answer serves");
            }
            return Ok(last);
        }
        if target.external_name.is_none() {
            applied("Fail");
            return Err(ResolveFault::Other(trouble));
        }
        applied("Builtin");
        if is_news {
            tracing::warn!(service, "{trouble}; the host of the ExternalName serves");
        }
        let answer = self.crew.builtins.resolver.resolve(target).await?;
        // The built-in's own answer would be good for ever, and the plugin never asked again.
        Ok(Resolution { fresh: RETRY, ..answer })
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
        let found = match look_behind(&resolution, target).await {
            Ok(found) => found,
            Err(cause) => {
                let text = format!("plugin {:?} names a host that is not to be found: {cause}", self.plugin);
                return Ok(Err(ResolveFault::Unavailable(text)));
            }
        };
        for endpoint in &resolution.endpoints {
            for address in found.get(&endpoint.host).into_iter().flatten() {
                let place = (*address, endpoint.port);
                refuse_address(&endpoint.host, place, policy).map_err(CallFault::Answer)?;
            }
        }
        pin(resolution, &found).map(Ok).map_err(CallFault::Answer)
    }
}

fn last_good(slot: &Slot, target: &Target) -> Option<Resolution> {
    slot.last_good.resolution(target, Instant::now())
}

/// The addresses behind the names of an answer. The ExternalName's own host is left to dialling.
async fn look_behind(resolution: &Resolution, target: &Target) -> Result<Found, String> {
    let hosts = resolution.endpoints.iter().map(|endpoint| endpoint.host.as_str());
    let names: BTreeSet<&str> =
        hosts.filter(|host| host.parse::<IpAddr>().is_err() && !is_own_host(host, target)).collect();
    let lookups = names.into_iter().map(|name| async move {
        let found = tokio::net::lookup_host((name, 0)).await.map_err(|error| format!("{name}: {error}"))?;
        Ok((name.to_owned(), found.map(|socket| socket.ip()).collect::<Vec<_>>()))
    });
    let all = tokio::time::timeout(LOOKUP_LIMIT, try_join_all(lookups)).await;
    let found = all.unwrap_or_else(|_| Err(format!("no answer within {} s", LOOKUP_LIMIT.as_secs())))?;
    Ok(found.into_iter().collect())
}
