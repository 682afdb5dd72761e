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

    /// About how many bytes it takes to keep: all that the plugin has said, for it says what it likes.
    pub(in crate::plugin) fn size(&self) -> usize {
        match self {
            Self::Resolution(Ok(resolution)) => {
                let named = |endpoint: &resolver::Endpoint| {
                    let server_name = endpoint.server_name.as_ref().map_or(0, String::len);
                    size_of::<resolver::Endpoint>()
                        + endpoint.host.len()
                        + server_name
                        + size_of_pairs(&endpoint.extra)
                };
                resolution.endpoints.iter().map(named).sum::<usize>() + size_of_pairs(&resolution.extra)
            }
            Self::Resolution(Err(fault)) => match fault {
                resolver::Fault::NotMine => 0,
                resolver::Fault::NotFound(text)
                | resolver::Fault::Invalid(text)
                | resolver::Fault::Unavailable(text)
                | resolver::Fault::Other(text) => text.len(),
            },
            Self::Verdict(Ok(verdict)) => {
                let seen = |finding: &health::Finding| size_of::<health::Finding>() + finding.message.len();
                let findings: usize = verdict.findings.iter().map(seen).sum();
                let own = verdict.message.len() + verdict.reason.len() + verdict.memory.len();
                own + findings + size_of_pairs(&verdict.extra)
            }
            Self::Verdict(Err(health::Fault::Inconclusive(text)))
            | Self::Outcome(
                Err(text) | Ok(discovery::Outcome::Replace(text) | discovery::Outcome::Hide(text)),
            )
            | Self::Order(Err(text)) => text.len(),
            Self::Order(Ok(Some(names))) => names.iter().map(|name| size_of::<String>() + name.len()).sum(),
            Self::Verdict(Err(health::Fault::NotMine))
            | Self::Outcome(Ok(discovery::Outcome::Keep))
            | Self::Order(Ok(None)) => 0,
        }
    }
}

fn size_of_pairs(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(key, value)| size_of::<(String, String)>() + key.len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not counted could be as large as a call may copy, sixteen times for each plugin.
    #[test]
    fn whatever_is_said_counts() {
        let long = || "x".repeat(1_000);
        let pairs = || vec![(String::new(), long())];
        let endpoint = resolver::Endpoint {
            host: String::new(),
            port: 1,
            priority: 0,
            weight: 0,
            server_name: Some(long()),
            extra: pairs(),
        };
        let resolution = resolver::Resolution {
            endpoints: vec![endpoint],
            fresh_ms: None,
            stale_ms: None,
            extra: pairs(),
        };
        let finding = health::Finding { endpoint: 0, state: health::State::Up, message: long() };
        let verdict = health::Verdict {
            state: health::State::Up,
            reason: long(),
            message: long(),
            findings: vec![finding],
            next_ms: None,
            memory: vec![0; 1_000],
            extra: pairs(),
        };
        for (said, wanted) in [
            (Said::Resolution(Ok(resolution)), 3_000),
            (Said::Resolution(Err(resolver::Fault::NotFound(long()))), 1_000),
            (Said::Resolution(Err(resolver::Fault::Unavailable(long()))), 1_000),
            (Said::Verdict(Ok(verdict)), 5_000),
            (Said::Verdict(Err(health::Fault::Inconclusive(long()))), 1_000),
            (Said::Outcome(Ok(discovery::Outcome::Hide(long()))), 1_000),
            (Said::Outcome(Err(long())), 1_000),
            (Said::Order(Err(long())), 1_000),
            (Said::Order(Ok(Some(vec![String::new(); 100]))), 2_400),
        ] {
            assert!(said.size() >= wanted, "{} of {wanted}: {said:?}", said.size());
        }
    }

    #[test]
    fn questions_of_different_kinds_repeat_nothing() {
        let heads = |names: &[&str]| {
            let head = |name: &&str| discovery::Head { name: (*name).to_owned(), versions: Vec::new() };
            Asked::Order(names.iter().map(head).collect())
        };
        let group = |name: &str| Asked::Transform(name.into());
        assert!(group("a").repeats(&group("a")) && !group("a").repeats(&group("b")));
        assert!(heads(&["a", "b"]).repeats(&heads(&["a", "b"])));
        assert!(
            !heads(&["a", "b"]).repeats(&heads(&["b", "a"])) && !heads(&["a"]).repeats(&heads(&["a", "b"]))
        );
        assert!(!group("a").repeats(&heads(&["a"])) && !heads(&["a"]).repeats(&group("a")));
    }
}
