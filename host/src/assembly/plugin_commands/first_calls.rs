//! One harmless question to each decision that a component exports. A component may export an interface that its
//! source does not implement; that only shows when it is called.

use crate::plugin::record::{
    Body, EndpointSubject, HealthState, HealthSubject, Question, ResolveTarget, Tape,
};
use crate::plugin::{CallFailure, Candidate, Reason, Refusal};

/// Makes one call to each interface, with an example and an empty world, and reports the calls that trap. Every other
/// outcome is valid.
pub(super) fn trapping_call(candidate: &Candidate<'_>, interfaces: &[String]) -> Option<Refusal> {
    let questions = interfaces.iter().flat_map(|interface| questions(interface));
    let mut failures = questions.filter_map(|(question, how)| {
        let failure = candidate.ask(&question, &Tape::default()).answer.err()?;
        Some((question, how, failure))
    });
    let trapped = |CallFailure { kind, .. }: &CallFailure| *kind == "trap";
    let (question, how, failure) = failures.find(|(_, _, failure)| trapped(failure))?;
    let message = format!("a first call, {}, {failure}; if the source lacks it: {how}", question.title());
    Some(Refusal { reason: Reason::DescribeFailed, message })
}

/// The test calls of an interface, and how each language implements it.
fn questions(interface: &str) -> Vec<(Question, &'static str)> {
    let name = interface.split_once('@').map_or(interface, |(name, _)| name);
    match name {
        "umbel:resolver/resolver" => {
            let target = ResolveTarget {
                namespace: "default".to_owned(),
                name: "example".to_owned(),
                port: 443,
                external_name: Some("example.com".to_owned()),
                annotations: Vec::new(),
            };
            let how = "Go calls resolver.Export in init, JavaScript exports const resolver, Python has class Resolver";
            vec![(Question::Resolve { target }, how)]
        }
        "umbel:health/checker" => {
            let subject = HealthSubject {
                api_service: "v1.example.com".to_owned(),
                group: "example.com".to_owned(),
                version: "v1".to_owned(),
                endpoints: vec![EndpointSubject { host: "192.0.2.1".to_owned(), port: 443 }],
                ..HealthSubject::default()
            };
            let question =
                Question::Check { subject, round: 0, was: HealthState::Unknown, memory: Body::default() };
            let how =
                "Go calls checker.Export in init, JavaScript exports const checker, Python has class Checker";
            vec![(question, how)]
        }
        "umbel:discovery/transformer" => {
            let group = r#"{"metadata":{"name":"example.com"},"versions":[{"version":"v1","resources":[]}]}"#;
            let how = "Go calls transformer.Export in init, JavaScript exports const transformer, Python has class Transformer";
            let transform = Question::Transform { group: group.to_owned() };
            vec![(transform, how), (Question::Order { groups: Vec::new() }, how)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_is_asked() {
        let count = |interface: &str| questions(interface).len();
        assert_eq!(count("umbel:resolver/resolver@0.1.0"), 1);
        assert_eq!(count("umbel:health/checker@0.1.0"), 1);
        assert_eq!(count("umbel:discovery/transformer@0.1.0"), 2);
        assert_eq!(count("umbel:lifecycle/lifecycle@0.1.0"), 0);
    }
}
