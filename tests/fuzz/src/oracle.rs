//! What may come of an answer, whatever it is.

use crate::image::{Answer as Given, Case, GROUP};
use crate::parrot::{self, manifest};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use umbel::plugin::record::{
    Answer, EndpointAnswer, EndpointSubject, HealthSubject, Question, ResolveTarget, Tape, VersionedGroup,
};
use umbel::plugin::{Compiled, Metering, Workbench};

/// Bytes of a sentence about a refused answer.
const SENTENCE_MAX: usize = 6 << 10;

static PARROT: LazyLock<Compiled<'static>> = LazyLock::new(|| {
    let bench = Workbench::open(Metering::Off).expect("an engine");
    let bench: &'static Workbench = Box::leak(Box::new(bench));
    let component = parrot::component().expect("a component");
    bench.compile("parrot", &component).unwrap_or_else(|refusal| panic!("{refusal}"))
});

/// Has the component answer so, and holds what comes of it against the rules.
///
/// # Panics
/// When a rule is broken.
pub fn run(case: &Case) {
    let candidate = PARROT.unasked(&manifest(&case.image())).unwrap_or_else(|refusal| panic!("{refusal}"));
    let question = match &case.answer {
        Given::Validate(_) => {
            if let Err(sentence) = candidate.validate(&Tape::default()).answer {
                check_sentence(&sentence);
            }
            return;
        }
        Given::Resolve(_) => Question::Resolve { target: target() },
        Given::Check(_) => Question::Check {
            subject: subject(),
            round: 0,
            was: Default::default(),
            memory: Default::default(),
        },
        Given::Transform(_) => Question::Transform { group: GROUP.to_owned() },
        Given::Order(_) => Question::Order { groups: groups() },
    };
    let tried = candidate.ask(&question, &Tape::default());
    assert!(tried.memory <= 32 << 20, "{} bytes", tried.memory);
    match tried.answer {
        Err(sentence) => check_sentence(&sentence),
        Ok(answer) => check_answer(&answer),
    }
}

fn target() -> ResolveTarget {
    ResolveTarget {
        namespace: "prod".to_owned(),
        name: "shop".to_owned(),
        port: 443,
        external_name: Some("own.test".to_owned()),
        annotations: Vec::new(),
    }
}

fn subject() -> HealthSubject {
    let endpoints = ["a.test", "::1"].map(|host| EndpointSubject { host: host.to_owned(), port: 443 });
    HealthSubject { api_service: "v1.g.test".to_owned(), endpoints: endpoints.into(), ..Default::default() }
}

fn groups() -> Vec<VersionedGroup> {
    let group = |name: &str| VersionedGroup { name: name.to_owned(), versions: vec!["v1".to_owned()] };
    ["g.test", "h.test"].map(group).into()
}

/// It may stand in a log line, a condition and a table.
fn check_sentence(sentence: &str) {
    assert!(sentence.len() <= SENTENCE_MAX, "{} bytes: {sentence}", sentence.len());
    let odd = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!sentence.contains(odd), "{sentence:?}");
}

fn check_answer(answer: &Answer) {
    match answer {
        Answer::Resolution { endpoints, .. } => {
            assert!((1..=1024).contains(&endpoints.len()));
            endpoints.iter().for_each(check_endpoint);
        }
        Answer::Verdict { reason, findings, memory, .. } => {
            assert!((1..=128).contains(&reason.len()), "{reason}");
            assert!(reason.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{reason:?}");
            assert!(findings.iter().all(|finding| finding.endpoint < 2), "{findings:?}");
            assert!(memory.0.len() <= 4096);
        }
        Answer::Replace { group } => {
            let (before, after) = (served(GROUP), served(group));
            assert!(after.is_subset(&before), "{:?}", after.difference(&before));
        }
        Answer::Order { groups: Some(names) } => {
            let known = ["g.test", "h.test"];
            assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
            assert!(names.len() <= known.len(), "{names:?}");
        }
        Answer::Keep | Answer::Hide { .. } | Answer::Order { groups: None } | Answer::Fault { .. } => {}
    }
}

fn check_endpoint(endpoint: &EndpointAnswer) {
    assert!(endpoint.port != 0, "{endpoint:?}");
    assert!(endpoint.server_name.as_deref().is_none_or(|name| name == "shop.prod.svc"), "{endpoint:?}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    assert!(endpoint.host.len() <= 254 && endpoint.host.bytes().all(plain), "{endpoint:?}");
    let behind = match endpoint.host.parse() {
        Err(_) => return,
        Ok(IpAddr::V4(v4)) => v4,
        Ok(IpAddr::V6(v6)) => {
            assert!(!v6.is_loopback() && !v6.is_unspecified() && !v6.is_multicast(), "{endpoint:?}");
            assert!(!v6.is_unicast_link_local(), "{endpoint:?}");
            match v6.segments() {
                [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
                    let [.., a, b, c, d] = v6.octets();
                    Ipv4Addr::new(a, b, c, d)
                }
                [0x2002, high, low, ..] => Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)),
                _ => return,
            }
        }
    };
    let is_forbidden = behind.octets()[0] == 0
        || behind.octets()[0] >= 224
        || behind.is_link_local()
        || behind.is_loopback()
        || behind == Ipv4Addr::new(100, 100, 100, 200);
    assert!(!is_forbidden, "{endpoint:?}");
}

/// Everything that a document says is served.
fn served(document: &str) -> BTreeSet<String> {
    let document: Value = serde_json::from_str(document).expect("a document that was taken is JSON");
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut all = BTreeSet::from([format!("group {}", document["metadata"]["name"])]);
    for version in list(&document, "versions") {
        let place = version["version"].to_string();
        all.insert(place.clone());
        for resource in list(&version, "resources") {
            let place = format!("{place} {}", resource["resource"]);
            all.insert(format!("{place} is {} {}", resource["scope"], resource["responseKind"]["kind"]));
            all.extend(list(&resource, "verbs").iter().map(|verb| format!("{place} {verb}")));
            for sub in list(&resource, "subresources") {
                let place = format!("{place}/{}", sub["subresource"]);
                all.insert(place.clone());
                all.extend(list(&sub, "verbs").iter().map(|verb| format!("{place} {verb}")));
            }
        }
    }
    all
}
