//! The twin of the built-in health checker: the group-version's own path must answer 2xx.

wit_bindgen::generate!({ path: "../../../wit", world: "umbel:plugin/health", generate_all });

use exports::umbel::health::checker::{Context, Endpoint, Evidence, Fault, Guest, State, Subject, Verdict};
use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use umbel::host::probe;

struct Plugin;

export!(Plugin);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: "health-discovery-probe".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "asks a backend for its discovery".to_owned(),
            settings_schema: None,
            extra: Vec::new(),
        }
    }

    fn validate(_settings: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

impl Guest for Plugin {
    fn check(_context: Context, subject: Subject) -> Result<Verdict, Fault> {
        if subject.evidence == Evidence::Listed {
            return Ok(verdict(State::Up, "Passed", "all checks passed".to_owned()));
        }
        let path = if subject.group.is_empty() {
            format!("/api/{}", subject.version)
        } else {
            format!("/apis/{}/{}", subject.group, subject.version)
        };
        let mut failure = "the service has no endpoint".to_owned();
        for (index, endpoint) in (0..).zip(&subject.endpoints) {
            let url = format!("https://{}{path}", authority(endpoint));
            let cause = match probe::send(&request(index, &path)) {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    return Ok(verdict(State::Up, "Passed", "all checks passed".to_owned()));
                }
                Ok(answer) => format!("bad status from {url}: {}", answer.status),
                Err(fault) => format!("Get \"{url}\": {}", text(fault)),
            };
            failure = format!("failing or missing response from {url}: {cause}");
        }
        Ok(verdict(State::Down, "FailedDiscoveryCheck", failure))
    }
}

fn request(endpoint: u32, path: &str) -> probe::Request {
    probe::Request {
        endpoint,
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        timeout_ms: None,
        body_max: Some(0),
        extra: Vec::new(),
    }
}

fn text(fault: probe::Fault) -> String {
    match fault {
        probe::Fault::Denied(text)
        | probe::Fault::TimedOut(text)
        | probe::Fault::Connect(text)
        | probe::Fault::Tls(text)
        | probe::Fault::Protocol(text)
        | probe::Fault::Other(text) => text,
        probe::Fault::Budget => "no probes left".to_owned(),
    }
}

fn authority(endpoint: &Endpoint) -> String {
    if endpoint.host.contains(':') {
        format!("[{}]:{}", endpoint.host, endpoint.port)
    } else {
        format!("{}:{}", endpoint.host, endpoint.port)
    }
}

fn verdict(state: State, reason: &str, message: String) -> Verdict {
    Verdict {
        state,
        reason: reason.to_owned(),
        message,
        findings: Vec::new(),
        next_ms: None,
        memory: Vec::new(),
        extra: Vec::new(),
    }
}
