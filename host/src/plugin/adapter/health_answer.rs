//! A health checker's answer, judged before it becomes a condition.

use crate::decision::health::{Evidence, HealthFault, State, Subject, Verdict};
use crate::decision::resolver::url_authority;
use crate::plugin::adapter::health_memory::MEMORY_MAX;
use crate::plugin::component::bindings::health::exports::umbel::health::checker as wit;
use crate::plugin::offer::log_gate::tame;
use std::fmt::Write;
use std::time::Duration;

/// Bounds of when a plugin may ask to be asked again.
const NEXT_MIN: Duration = Duration::from_millis(500);
const NEXT_MAX: Duration = Duration::from_secs(300);
/// Findings that stand in a message.
const FINDINGS_SHOWN: usize = 8;

/// The subject as a plugin sees it.
pub(in crate::plugin) fn describe(subject: &Subject) -> wit::Subject {
    let endpoint = |endpoint: &crate::decision::resolver::Endpoint| wit::Endpoint {
        host: endpoint.host.clone(),
        port: endpoint.port,
        extra: Vec::new(),
    };
    wit::Subject {
        api_service: subject.api_service.clone(),
        group: subject.group.clone(),
        version: subject.version.clone(),
        endpoints: subject.endpoints.iter().map(endpoint).collect(),
        evidence: match subject.evidence {
            Evidence::None => wit::Evidence::None,
            Evidence::Listed => wit::Evidence::Listed,
            Evidence::NotListed => wit::Evidence::NotListed,
        },
        extra: Vec::new(),
    }
}

/// The state as a plugin sees it.
pub(in crate::plugin) fn state_for_plugin(state: State) -> wit::State {
    match state {
        State::Unknown => wit::State::Unknown,
        State::Up => wit::State::Up,
        State::Degraded => wit::State::Degraded,
        State::Down => wit::State::Down,
    }
}

/// The verdict, when it breaks no rule, and what the plugin wants to remember.
///
/// # Errors
/// The rule that is broken.
pub(in crate::plugin) fn accept(
    verdict: wit::Verdict,
    subject: &Subject,
) -> Result<(Verdict, Vec<u8>), String> {
    if !is_camel_case(&verdict.reason) {
        return Err(format!("reason {:?} is not in CamelCase, such as Passed", tame(&verdict.reason)));
    }
    if verdict.memory.len() > MEMORY_MAX {
        return Err(format!("a memory of {} bytes; {MEMORY_MAX} are the limit", verdict.memory.len()));
    }
    let mut message = tame(&verdict.message);
    for (place, finding) in verdict.findings.iter().enumerate() {
        let index = usize::try_from(finding.endpoint).unwrap_or(usize::MAX);
        let Some(endpoint) = subject.endpoints.get(index) else {
            return Err(format!(
                "a finding about endpoint {index}, but there are {}",
                subject.endpoints.len()
            ));
        };
        if place >= FINDINGS_SHOWN {
            continue;
        }
        let (place, seen) = (url_authority(endpoint), tame(&finding.message));
        let separator = if message.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _: std::fmt::Result = write!(message, "{separator}{place} is {}: {seen}", word(finding.state));
    }
    let accepted = Verdict {
        state: match verdict.state {
            wit::State::Unknown => State::Unknown,
            wit::State::Up => State::Up,
            wit::State::Degraded => State::Degraded,
            wit::State::Down => State::Down,
        },
        reason: verdict.reason,
        message: tame(&message),
        next: verdict.next_ms.map(|ms| Duration::from_millis(u64::from(ms)).clamp(NEXT_MIN, NEXT_MAX)),
    };
    Ok((accepted, verdict.memory))
}

fn word(state: wit::State) -> &'static str {
    match state {
        wit::State::Unknown => "unknown",
        wit::State::Up => "up",
        wit::State::Degraded => "degraded",
        wit::State::Down => "down",
    }
}

/// What Kubernetes accepts as a condition's reason.
fn is_camel_case(reason: &str) -> bool {
    let mut bytes = reason.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_uppercase())
        && reason.len() <= 128
        && bytes.all(|b| b.is_ascii_alphanumeric())
}

/// A declared fault in the host's words.
pub(in crate::plugin) fn declared(fault: wit::Fault) -> HealthFault {
    match fault {
        wit::Fault::NotMine => HealthFault::NotMine,
        wit::Fault::Inconclusive(text) => HealthFault::Inconclusive(tame(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::resolver::Endpoint;

    fn verdict() -> wit::Verdict {
        wit::Verdict {
            state: wit::State::Down,
            reason: "FailedHealthCheck".into(),
            message: "3 failures in a row".into(),
            findings: vec![wit::Finding {
                endpoint: 0,
                state: wit::State::Down,
                message: "status 500".into(),
            }],
            next_ms: Some(1),
            memory: vec![3],
            extra: Vec::new(),
        }
    }

    fn subject() -> Subject {
        let endpoints = vec![Endpoint { host: "::1".into(), port: 443, weight: 1 }];
        Subject { endpoints, ..Subject::default() }
    }

    #[test]
    fn findings_stand_in_the_message() {
        let (accepted, memory) = accept(verdict(), &subject()).unwrap();
        assert_eq!(accepted.message, "3 failures in a row; [::1]:443 is down: status 500");
        assert_eq!((accepted.state, accepted.next, memory), (State::Down, Some(NEXT_MIN), vec![3]));
    }

    #[test]
    fn every_broken_rule_is_named() {
        let refused = |verdict| accept(verdict, &subject()).unwrap_err();
        for reason in ["", "passed", "Not Passed", "Ä"] {
            assert!(refused(wit::Verdict { reason: reason.into(), ..verdict() }).contains("CamelCase"));
        }
        assert!(refused(wit::Verdict { memory: vec![0; 4097], ..verdict() }).contains("4096 are the limit"));
        let finding = wit::Finding { endpoint: 7, state: wit::State::Up, message: String::new() };
        let mut findings = vec![verdict().findings[0].clone(); FINDINGS_SHOWN];
        findings.push(finding);
        assert!(refused(wit::Verdict { findings, ..verdict() }).contains("endpoint 7"));
    }
}
