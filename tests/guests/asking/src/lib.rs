//! A component that asks the host for one thing and answers with what came of it: `{"ask": …}` names the function,
//! `{"with": …}` its argument.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package umbel:asking;
        world asking {
            import umbel:host/log@0.1.1;
            import umbel:host/dns@0.1.1;
            import umbel:host/http@0.1.1;
            import umbel:host/probe@0.1.1;
            import umbel:host/state@0.1.1;
            import umbel:host/metrics@0.1.1;
            export umbel:lifecycle/lifecycle@0.1.0;
            export umbel:resolver/resolver@0.1.0;
            export umbel:health/checker@0.1.0;
        }",
    world: "umbel:asking/asking",
    generate_all,
});

use exports::umbel::health::checker;
use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use exports::umbel::resolver::resolver;
use umbel::host::{dns, http, metrics, probe, state};

struct Plugin;

export!(Plugin);

/// The text behind `"<key>":"` up to the next quotation mark.
fn setting<'a>(settings: &'a str, key: &str) -> &'a str {
    let start = format!("\"{key}\":\"");
    let rest = settings.split_once(start.as_str()).map_or("", |(_, rest)| rest);
    rest.split_once('"').map_or("", |(value, _)| value)
}

fn ask(settings: &str) -> String {
    let with = setting(settings, "with");
    let send = |credential: Option<&str>| {
        let request = http::Request {
            method: "GET".to_owned(),
            url: with.to_owned(),
            headers: Vec::new(),
            body: None,
            credential: credential.map(str::to_owned),
            timeout_ms: None,
            extra: Vec::new(),
        };
        http::send(&request).map(|response| response.status)
    };
    match setting(settings, "ask") {
        "dns-addresses" => format!("{:?}", dns::addresses(with, dns::Family::Any)),
        "dns-services" => format!("{:?}", dns::services(with)),
        "http" => format!("{:?}", send(None)),
        "http-credential" => format!("{:?}", send(Some("token"))),
        "probe" => {
            let request = probe::Request {
                endpoint: 0,
                method: "GET".to_owned(),
                path: with.to_owned(),
                headers: Vec::new(),
                timeout_ms: None,
                body_max: None,
                extra: Vec::new(),
            };
            format!("{:?}", probe::send(&request).map(|response| response.status))
        }
        "state-get" => format!("{:?}", state::get(with)),
        "state-put" => format!("{:?}", state::put(with, b"kept", None)),
        "state-put-large" => format!("{:?}", state::put(with, &[7; 2_000], Some(60_000))),
        "state-delete" => format!("{:?}", state::delete(with)),
        "metrics-count" => format!("{:?}", metrics::count(with, 2)),
        "metrics-gauge" => format!("{:?}", metrics::gauge(with, 0.5)),
        "metrics-observe" => format!("{:?}", metrics::observe(with, 0.25)),
        other => format!("nothing is named {other:?}"),
    }
}

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: "asking".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "asks the host".to_owned(),
            settings_schema: None,
            extra: Vec::new(),
        }
    }

    fn validate(_settings: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

impl resolver::Guest for Plugin {
    fn resolve(
        context: resolver::Context,
        _target: resolver::Target,
    ) -> Result<resolver::Resolution, resolver::Fault> {
        Err(resolver::Fault::Other(ask(&context.settings)))
    }
}

impl checker::Guest for Plugin {
    fn check(
        context: checker::Context,
        _subject: checker::Subject,
    ) -> Result<checker::Verdict, checker::Fault> {
        Err(checker::Fault::Inconclusive(ask(&context.settings)))
    }
}
