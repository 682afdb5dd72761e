//! A component that does whatever its settings say: `{"describe": …}` while it is loaded, `{"do": …}` in every
//! decision. The settings hold one word each, so that no parser is needed. A resolver does what the annotation `do`
//! says, where there is one.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package umbel:misbehaving;
        world misbehaving {
            import umbel:host/log@0.1.1;
            export umbel:lifecycle/lifecycle@0.1.0;
            export umbel:resolver/resolver@0.1.0;
            export umbel:health/checker@0.1.0;
            export umbel:discovery/transformer@0.1.0;
        }",
    world: "umbel:misbehaving/misbehaving",
    generate_all,
});

use exports::umbel::discovery::transformer;
use exports::umbel::health::checker;
use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use exports::umbel::resolver::resolver;
use std::sync::atomic::{AtomicU32, Ordering};
use umbel::host::log;

/// Answers of this instance.
static ANSWERS: AtomicU32 = AtomicU32::new(0);

struct Plugin;

export!(Plugin);

/// The text behind `"<key>":"` up to the next quotation mark.
fn setting<'a>(settings: &'a str, key: &str) -> &'a str {
    let start = format!("\"{key}\":\"");
    let rest = settings.split_once(start.as_str()).map_or("", |(_, rest)| rest);
    rest.split_once('"').map_or("", |(value, _)| value)
}

fn misbehave(deed: &str) {
    match deed {
        "trap" => panic!("as told"),
        "loop" => loop {
            std::hint::black_box(());
        },
        "eat-memory" => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "keep-26-mib" => {
            std::hint::black_box(vec![1_u8; 26 << 20]).leak();
        }
        "compute" => {
            for round in 0..60_000_000_u32 {
                std::hint::black_box(round);
            }
        }
        "recurse" => {
            std::hint::black_box(recurse(1));
        }
        "log" => {
            for line in 0..1_000 {
                let fields = [("line\n".to_owned(), line.to_string())];
                log::write(log::Level::Info, "flood\u{1b}[31m\nforged", &fields);
            }
        }
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "that is the deed")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box([depth; 64])[7] + recurse(depth + 1)
}

/// What differs from machine to machine and from process to process where nobody takes care.
fn odd_note() -> String {
    let with_payload = f64::from_bits(std::hint::black_box(0x7ff8_0000_dead_beef));
    let infinite = std::hint::black_box(f64::INFINITY);
    let nans = [with_payload + infinite, infinite * std::hint::black_box(0.0)]
        .map(|nan| format!("{:x}", nan.to_bits()));
    let map: std::collections::HashMap<String, u32> = (0..64).map(|n| (format!("k{n}"), n)).collect();
    let keys: Vec<&str> = map.keys().map(String::as_str).collect();
    format!("nan {} keys {}", nans.join(" "), keys.join(" "))
}

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: "misbehaving".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "does what its settings say".to_owned(),
            settings_schema: None,
            extra: Vec::new(),
        }
    }

    fn validate(settings: String) -> Result<(), Vec<Problem>> {
        let deed = setting(&settings, "validate");
        misbehave(deed);
        if deed == "refuse" {
            let message = "as told\nand more".to_owned();
            return Err(vec![Problem { path: "/validate".to_owned(), message }]);
        }
        Ok(())
    }
}

impl resolver::Guest for Plugin {
    fn resolve(
        context: resolver::Context,
        target: resolver::Target,
    ) -> Result<resolver::Resolution, resolver::Fault> {
        let told = target.annotations.iter().find(|(key, _)| key == "do");
        let deed = told.map_or_else(|| setting(&context.settings, "do"), |(_, deed)| deed.as_str());
        misbehave(deed);
        let endpoint = |host: &str| resolver::Endpoint {
            host: host.to_owned(),
            port: target.port,
            priority: 0,
            weight: 1,
            server_name: (deed == "widen-trust").then(|| "evil.test".to_owned()),
            extra: Vec::new(),
        };
        let endpoints = match deed {
            "no-endpoints" => Vec::new(),
            "many-endpoints" => vec![endpoint("10.0.0.1"); 2_000],
            "huge" => vec![endpoint(&"x".repeat(6 << 20))],
            "count" | "keep-26-mib" | "compute" => {
                let answers = ANSWERS.fetch_add(1, Ordering::Relaxed) + 1;
                vec![endpoint(&format!("10.0.0.{answers}"))]
            }
            "not-mine" => return Err(resolver::Fault::NotMine),
            "unavailable" => return Err(resolver::Fault::Unavailable("later".to_owned())),
            _ => vec![endpoint(setting(&context.settings, "host"))],
        };
        Ok(resolver::Resolution {
            endpoints,
            fresh_ms: Some(1_000),
            stale_ms: Some(60_000),
            extra: Vec::new(),
        })
    }
}

impl checker::Guest for Plugin {
    fn check(
        context: checker::Context,
        _subject: checker::Subject,
    ) -> Result<checker::Verdict, checker::Fault> {
        let deed = setting(&context.settings, "do");
        misbehave(deed);
        if deed == "not-mine" {
            return Err(checker::Fault::NotMine);
        }
        Ok(checker::Verdict {
            state: checker::State::Up,
            reason: if deed == "bad-reason" { "no reason" } else { "Passed" }.to_owned(),
            message: format!("judged by a plugin, {}", ANSWERS.fetch_add(1, Ordering::Relaxed) + 1),
            findings: Vec::new(),
            next_ms: None,
            memory: Vec::new(),
            extra: Vec::new(),
        })
    }
}

impl transformer::Guest for Plugin {
    fn transform(context: transformer::Context, group: String) -> Result<transformer::Outcome, String> {
        use transformer::Outcome;
        let deed = setting(&context.settings, "do");
        misbehave(deed);
        Ok(match deed {
            "bad-json" => Outcome::Replace("{".to_owned()),
            "rename" => Outcome::Replace(group.replace("\"name\":\"", "\"name\":\"other-")),
            "hide" => Outcome::Hide("as told".to_owned()),
            "invent-verb" => Outcome::Replace(group.replacen("[\"get\"", "[\"get\",\"delete\"", 1)),
            "duplicate-kind" => Outcome::Replace(group.replace("\"others\"", "\"things\"")),
            "grow" => Outcome::Replace(format!("{group}{}", " ".repeat(group.len() * 10 + (64 << 10)))),
            "empty" => Outcome::Replace("{\"metadata\":{\"name\":\"a.test\"},\"versions\":[]}".to_owned()),
            "nan-and-maps" => {
                let note = format!("{{\"note\":\"{}\",\"name\":", odd_note());
                Outcome::Replace(group.replacen("{\"name\":", &note, 1))
            }
            _ => Outcome::Keep,
        })
    }

    fn order(
        context: transformer::Context,
        _groups: Vec<transformer::Head>,
    ) -> Result<Option<Vec<String>>, String> {
        let deed = setting(&context.settings, "do");
        Ok((deed == "bad-order").then(|| vec!["nowhere".to_owned()]))
    }
}
