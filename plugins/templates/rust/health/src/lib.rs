//! A backend is available when one of its endpoints answers a path with a status below 400.

#[macro_use]
mod log_output;
mod logged;

wit_bindgen::generate!({ path: "wit", world: "umbel:plugin/health", generate_all });

use exports::umbel::health::checker::{Context, Fault, Finding, Guest as Checker, State, Subject, Verdict};
use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use umbel::host::probe;

struct Plugin;
/// With panics that reach the gateway's log.
type Exported = logged::Logged<Plugin>;
export!(Exported);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "needs one endpoint that answers a path".into(),
            settings_schema: Some(include_str!("../settings.schema.json").into()),
            extra: vec![],
        }
    }

    fn validate(settings: String) -> Result<(), Vec<Problem>> {
        path(&settings).map(drop).map_err(|problem| vec![problem])
    }
}

/// The one setting.
fn path(settings: &str) -> Result<String, Problem> {
    let settings: serde_json::Value = serde_json::from_str(settings)
        .map_err(|error| Problem { path: String::new(), message: error.to_string() })?;
    match settings["path"].as_str() {
        Some(path) if path.starts_with('/') => Ok(path.to_owned()),
        _ => Err(Problem { path: "/path".into(), message: "must begin with /, for example /readyz".into() }),
    }
}

impl Checker for Plugin {
    fn check(context: Context, subject: Subject) -> Result<Verdict, Fault> {
        // `validate` has accepted these settings before the first call.
        let path = path(&context.settings).map_err(|problem| Fault::Inconclusive(problem.message))?;
        let mut findings = Vec::new();
        for endpoint in 0..subject.endpoints.len() as u32 {
            match ask(endpoint, &path) {
                Ok(()) => return Ok(verdict(State::Up, "Ready", format!("{path} answers"), vec![])),
                Err(message) => findings.push(Finding { endpoint, state: State::Down, message }),
            }
        }
        Ok(verdict(State::Down, "NotReady", "no endpoint answers well".into(), findings))
    }
}

fn ask(endpoint: u32, path: &str) -> Result<(), String> {
    let request = probe::Request {
        endpoint,
        method: "GET".into(),
        path: path.into(),
        headers: vec![],
        timeout_ms: Some(1_000),
        body_max: Some(0),
        extra: vec![],
    };
    match probe::send(&request) {
        Ok(answer) if answer.status < 400 => Ok(()),
        Ok(answer) => Err(format!("{path} answered {}", answer.status)),
        Err(probe::Fault::Budget) => Err("too many endpoints for one call".into()),
        Err(
            probe::Fault::Denied(text)
            | probe::Fault::TimedOut(text)
            | probe::Fault::Connect(text)
            | probe::Fault::Tls(text)
            | probe::Fault::Protocol(text)
            | probe::Fault::Other(text),
        ) => Err(text),
    }
}

fn verdict(state: State, reason: &str, message: String, findings: Vec<Finding>) -> Verdict {
    // `memory` comes back as `context.memory` with the next call: a checker that counts keeps its count there.
    Verdict { state, reason: reason.into(), message, findings, next_ms: None, memory: vec![], extra: vec![] }
}
