//! Question and answer of one real call, as they were given; put into words only when somebody looks.

use super::answer::Answer;
use super::question::Question;
use super::translate;
use crate::plugin::component::bindings::discovery::exports::umbel::discovery::transformer as discovery;
use crate::plugin::component::bindings::health::exports::umbel::health::checker as health;
use crate::plugin::component::bindings::resolver::exports::umbel::resolver::resolver;
use crate::plugin::component::budget::Facet;
use std::sync::Arc;

/// What a plugin was asked; shared with the call itself.
#[derive(Clone, Debug)]
pub(in crate::plugin) enum Asked {
    Resolve(Arc<resolver::Target>),
    Check(Arc<(health::Context, health::Subject)>),
    Transform(Arc<str>),
    Order(Arc<[discovery::Head]>),
}

/// What it answered, before the host judged it.
#[derive(Clone, Debug)]
pub(in crate::plugin) enum Said {
    Resolution(Result<resolver::Resolution, resolver::Fault>),
    Verdict(Result<health::Verdict, health::Fault>),
    Outcome(Result<discovery::Outcome, String>),
    Order(Result<Option<Vec<String>>, String>),
}

impl Asked {
    /// In the words of records.
    pub(in crate::plugin) fn question(&self) -> Question {
        match self {
            Self::Resolve(target) => translate::asked_resolve(target),
            Self::Check(both) => translate::asked_check(&both.0, &both.1),
            Self::Transform(group) => Question::Transform { group: group.to_string() },
            Self::Order(heads) => translate::asked_order(heads),
        }
    }

    /// Which decision it asks for.
    pub(in crate::plugin) fn facet(&self) -> Facet {
        match self {
            Self::Resolve(_) => Facet::Resolver,
            Self::Check(_) => Facet::Health,
            Self::Transform(_) | Self::Order(_) => Facet::Discovery,
        }
    }

    /// Whether it asks for what another one asked for, so that nothing new comes of keeping both. Judgements of one
    /// subject are the same as long as the verdict before is.
    pub(in crate::plugin) fn repeats(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Resolve(one), Self::Resolve(two)) => {
                one.name == two.name
                    && one.namespace == two.namespace
                    && one.port == two.port
                    && one.external_name == two.external_name
                    && one.annotations == two.annotations
            }
            (Self::Check(one), Self::Check(two)) => {
                one.1.api_service == two.1.api_service
                    && one.0.was == two.0.was
                    && one.1.evidence == two.1.evidence
                    && one.1.endpoints.len() == two.1.endpoints.len()
            }
            (Self::Transform(one), Self::Transform(two)) => one == two,
            (Self::Order(one), Self::Order(two)) => {
                one.len() == two.len() && one.iter().zip(two.iter()).all(|(one, two)| one.name == two.name)
            }
            _ => false,
        }
    }

    /// About how many bytes it takes to keep.
    pub(in crate::plugin) fn size(&self) -> usize {
        match self {
            Self::Resolve(target) => {
                let pairs: usize =
                    target.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
                target.name.len() + target.namespace.len() + pairs
            }
            Self::Check(both) => {
                let hosts: usize = both.1.endpoints.iter().map(|endpoint| endpoint.host.len() + 8).sum();
                both.0.settings.len() + both.0.memory.len() + both.1.api_service.len() + hosts
            }
            Self::Transform(group) => group.len(),
            Self::Order(heads) => heads
                .iter()
                .map(|head| head.name.len() + head.versions.iter().map(String::len).sum::<usize>())
                .sum(),
        }
    }
}

impl Said {
    /// In the words of records.
    pub(in crate::plugin) fn answer(&self) -> Answer {
        match self {
            Self::Resolution(answer) => translate::resolution(answer),
            Self::Verdict(answer) => translate::verdict(answer),
            Self::Outcome(answer) => translate::outcome(answer),
            Self::Order(answer) => translate::order(answer),
        }
    }

    /// About how many bytes it takes to keep.
    pub(in crate::plugin) fn size(&self) -> usize {
        match self {
            Self::Resolution(Ok(resolution)) => {
                resolution.endpoints.iter().map(|endpoint| endpoint.host.len() + 32).sum()
            }
            Self::Verdict(Ok(verdict)) => {
                let findings: usize = verdict.findings.iter().map(|finding| finding.message.len() + 8).sum();
                verdict.message.len() + verdict.reason.len() + verdict.memory.len() + findings
            }
            Self::Outcome(Ok(discovery::Outcome::Replace(group))) => group.len(),
            Self::Order(Ok(Some(names))) => names.iter().map(String::len).sum(),
            _ => 0,
        }
    }
}
