//! Between the words of records and those of the WIT interfaces.

use crate::decision::health::{Evidence as HostEvidence, State, Subject};
use crate::decision::resolver::{Endpoint, Target};
use crate::plugin::component::bindings::discovery::exports::umbel::discovery::transformer as discovery;
use crate::plugin::component::bindings::health::exports::umbel::health::checker as health;
use crate::plugin::component::bindings::resolver::exports::umbel::resolver::resolver;
use crate::plugin::record::{
    Answer, DeclaredFault, EndpointAnswer, EndpointSubject, Evidence, Finding, HealthState, HealthSubject,
    Question, ResolveTarget, VersionedGroup,
};

pub(in crate::plugin) fn target(target: &ResolveTarget) -> Target {
    Target {
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        port: target.port,
        external_name: target.external_name.clone(),
        annotations: target.annotations.clone(),
    }
}

pub(in crate::plugin) fn wit_target(target: &ResolveTarget) -> resolver::Target {
    resolver::Target {
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        port: target.port,
        external_name: target.external_name.clone(),
        annotations: target.annotations.clone(),
        extra: Vec::new(),
    }
}

pub(in crate::plugin) fn asked_resolve(target: &resolver::Target) -> Question {
    Question::Resolve {
        target: ResolveTarget {
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            port: target.port,
            external_name: target.external_name.clone(),
            annotations: target.annotations.clone(),
        },
    }
}

pub(in crate::plugin) fn asked_check(context: &health::Context, subject: &health::Subject) -> Question {
    let endpoint = |one: &health::Endpoint| EndpointSubject { host: one.host.clone(), port: one.port };
    Question::Check {
        subject: HealthSubject {
            api_service: subject.api_service.clone(),
            group: subject.group.clone(),
            version: subject.version.clone(),
            endpoints: subject.endpoints.iter().map(endpoint).collect(),
            evidence: match subject.evidence {
                health::Evidence::None => Evidence::None,
                health::Evidence::Listed => Evidence::Listed,
                health::Evidence::NotListed => Evidence::NotListed,
            },
        },
        round: context.round,
        was: state(context.was),
        memory: context.memory.clone().into(),
    }
}

pub(in crate::plugin) fn asked_order(heads: &[discovery::Head]) -> Question {
    let group =
        |head: &discovery::Head| VersionedGroup { name: head.name.clone(), versions: head.versions.clone() };
    Question::Order { groups: heads.iter().map(group).collect() }
}

pub(in crate::plugin) fn heads(groups: &[VersionedGroup]) -> Vec<discovery::Head> {
    let head = |group: &VersionedGroup| discovery::Head {
        name: group.name.clone(),
        versions: group.versions.clone(),
    };
    groups.iter().map(head).collect()
}

pub(in crate::plugin) fn resolution(answer: &Result<resolver::Resolution, resolver::Fault>) -> Answer {
    let resolution = match answer {
        Ok(resolution) => resolution,
        Err(resolver::Fault::NotMine) => return fault(DeclaredFault::NotMine, ""),
        Err(resolver::Fault::NotFound(text)) => return fault(DeclaredFault::NotFound, text),
        Err(resolver::Fault::Invalid(text)) => return fault(DeclaredFault::Invalid, text),
        Err(resolver::Fault::Unavailable(text)) => return fault(DeclaredFault::Unavailable, text),
        Err(resolver::Fault::Other(text)) => return fault(DeclaredFault::Other, text),
    };
    let endpoint = |endpoint: &resolver::Endpoint| EndpointAnswer {
        host: endpoint.host.clone(),
        port: endpoint.port,
        priority: endpoint.priority,
        weight: endpoint.weight,
        server_name: endpoint.server_name.clone(),
    };
    Answer::Resolution {
        endpoints: resolution.endpoints.iter().map(endpoint).collect(),
        fresh_ms: resolution.fresh_ms,
        stale_ms: resolution.stale_ms,
    }
}

pub(in crate::plugin) fn subject(subject: &HealthSubject, round: u32, was: HealthState) -> Subject {
    let endpoint =
        |endpoint: &EndpointSubject| Endpoint { host: endpoint.host.clone(), port: endpoint.port, weight: 1 };
    Subject {
        api_service: subject.api_service.clone(),
        group: subject.group.clone(),
        version: subject.version.clone(),
        endpoints: subject.endpoints.iter().map(endpoint).collect(),
        round,
        was: match was {
            HealthState::Unknown => State::Unknown,
            HealthState::Up => State::Up,
            HealthState::Degraded => State::Degraded,
            HealthState::Down => State::Down,
        },
        evidence: match subject.evidence {
            Evidence::None => HostEvidence::None,
            Evidence::Listed => HostEvidence::Listed,
            Evidence::NotListed => HostEvidence::NotListed,
        },
    }
}

pub(in crate::plugin) fn verdict(answer: &Result<health::Verdict, health::Fault>) -> Answer {
    let verdict = match answer {
        Ok(verdict) => verdict,
        Err(health::Fault::NotMine) => return fault(DeclaredFault::NotMine, ""),
        Err(health::Fault::Inconclusive(text)) => return fault(DeclaredFault::Inconclusive, text),
    };
    let finding = |finding: &health::Finding| Finding {
        endpoint: finding.endpoint,
        state: state(finding.state),
        message: finding.message.clone(),
    };
    Answer::Verdict {
        state: state(verdict.state),
        reason: verdict.reason.clone(),
        message: verdict.message.clone(),
        findings: verdict.findings.iter().map(finding).collect(),
        next_ms: verdict.next_ms,
        memory: verdict.memory.clone().into(),
    }
}

fn state(state: health::State) -> HealthState {
    match state {
        health::State::Unknown => HealthState::Unknown,
        health::State::Up => HealthState::Up,
        health::State::Degraded => HealthState::Degraded,
        health::State::Down => HealthState::Down,
    }
}

pub(in crate::plugin) fn outcome(answer: &Result<discovery::Outcome, String>) -> Answer {
    match answer {
        Ok(discovery::Outcome::Keep) => Answer::Keep,
        Ok(discovery::Outcome::Replace(group)) => Answer::Replace { group: group.clone() },
        Ok(discovery::Outcome::Hide(reason)) => Answer::Hide { reason: reason.clone() },
        Err(text) => fault(DeclaredFault::Other, text),
    }
}

pub(in crate::plugin) fn order(answer: &Result<Option<Vec<String>>, String>) -> Answer {
    match answer {
        Ok(groups) => Answer::Order { groups: groups.clone() },
        Err(text) => fault(DeclaredFault::Other, text),
    }
}

fn fault(fault: DeclaredFault, message: &str) -> Answer {
    Answer::Fault { fault, message: message.to_owned() }
}
