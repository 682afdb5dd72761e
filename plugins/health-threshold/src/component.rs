//! The decision as a component: WIT types in and out.

use crate::{Need, Observation, Settings, State, Streak, judge};

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "umbel:plugin/health", generate_all });
}

use bindings::exports::umbel::health::checker as wit;
use bindings::exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use bindings::umbel::host::probe;

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "needs several failures in a row before False and several successes before True"
                .to_owned(),
            settings_schema: Some(include_str!("../settings.schema.json").to_owned()),
            extra: Vec::new(),
        }
    }

    fn validate(settings: String) -> Result<(), Vec<Problem>> {
        match Settings::parse(&settings) {
            Ok(_) => Ok(()),
            Err(message) => Err(vec![Problem { path: String::new(), message }]),
        }
    }
}

impl wit::Guest for Plugin {
    fn check(context: wit::Context, subject: wit::Subject) -> Result<wit::Verdict, wit::Fault> {
        let settings = Settings::parse(&context.settings).map_err(wit::Fault::Inconclusive)?;
        let (observation, findings) = observe(&settings, &subject);
        let was = match context.was {
            wit::State::Unknown => State::Unknown,
            wit::State::Up => State::Up,
            wit::State::Degraded => State::Degraded,
            wit::State::Down => State::Down,
        };
        let judgement = judge(&settings, was, Streak::from_memory(&context.memory), observation);
        Ok(wit::Verdict {
            state: state(judgement.state),
            reason: judgement.reason.to_owned(),
            message: judgement.message,
            findings,
            next_ms: judgement.ask_again_soon.then_some(settings.retry_ms),
            memory: judgement.streak.to_memory(),
            extra: Vec::new(),
        })
    }
}

fn state(state: State) -> wit::State {
    match state {
        State::Unknown => wit::State::Unknown,
        State::Up => wit::State::Up,
        State::Degraded => wit::State::Degraded,
        State::Down => wit::State::Down,
    }
}

/// Asks every endpoint as far as the settings need it, and says what each bad one did.
fn observe(settings: &Settings, subject: &wit::Subject) -> (Observation, Vec<wit::Finding>) {
    let mut findings = Vec::new();
    let mut good = 0;
    for index in 0..u32::try_from(subject.endpoints.len()).unwrap_or(u32::MAX) {
        match ask(settings, index) {
            Ok(()) => good += 1,
            Err(message) => findings.push(wit::Finding { endpoint: index, state: wit::State::Down, message }),
        }
        let decided = match settings.need {
            Need::One => good > 0,
            Need::All => !findings.is_empty(),
        };
        if decided {
            break;
        }
    }
    let success = match settings.need {
        Need::One => good > 0,
        Need::All => good > 0 && findings.is_empty(),
    };
    if success {
        // What another endpoint did does not belong to the message of a success.
        findings.clear();
    }
    (Observation { success }, findings)
}

fn ask(settings: &Settings, endpoint: u32) -> Result<(), String> {
    let request = probe::Request {
        endpoint,
        method: settings.method.clone(),
        path: settings.path.clone(),
        headers: Vec::new(),
        timeout_ms: Some(settings.timeout_ms),
        body_max: Some(0),
        extra: Vec::new(),
    };
    match probe::send(&request) {
        Ok(answer) if settings.accepts(answer.status) => Ok(()),
        Ok(answer) => Err(format!("{} {} answered {}", settings.method, settings.path, answer.status)),
        Err(fault) => Err(match fault {
            probe::Fault::Denied(text)
            | probe::Fault::TimedOut(text)
            | probe::Fault::Connect(text)
            | probe::Fault::Tls(text)
            | probe::Fault::Protocol(text)
            | probe::Fault::Other(text) => text,
            probe::Fault::Budget => "too many endpoints for one check".to_owned(),
        }),
    }
}
