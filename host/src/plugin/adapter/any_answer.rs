//! Whatever a component may answer, held against what may come of it.
//!
//! A generator makes answers: mostly nearly right ones, since those get furthest. The same seed makes the same answers.
//! `UMBEL_FUZZ_CASES` and `UMBEL_FUZZ_SEED` change how many and which.

use crate::decision::discovery::Outcome;
use crate::decision::resolver::{Endpoint, Target};
use crate::plugin::adapter::{discovery_answer, health_answer, pinning, resolver_answer};
use crate::plugin::component::bindings::discovery::exports::umbel::discovery::transformer as wit_discovery;
use crate::plugin::component::bindings::health::exports::umbel::health::checker as wit_health;
use crate::plugin::component::bindings::resolver::exports::umbel::resolver::resolver as wit_resolver;
use crate::plugin::offer::address::{AddressPolicy, OwnListeners};
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const SEED: u64 = 0x5eed;
const CASES: u64 = 4_000;
/// What one line of a message may have at most, the mark at its end included.
const LINE_MAX: usize = 1_100;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs `case` for every case; a failure names the seed that makes it alone.
fn for_all(case: impl Fn(&mut Rng) -> bool) -> u64 {
    let (first, count) = (number("UMBEL_FUZZ_SEED", SEED), number("UMBEL_FUZZ_CASES", CASES));
    let mut accepted = 0;
    for seed in first..first + count {
        let caught =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&mut Rng::with_seed(seed))));
        match caught {
            Ok(taken) => accepted += u64::from(taken),
            Err(cause) => {
                eprintln!("UMBEL_FUZZ_SEED={seed} UMBEL_FUZZ_CASES=1 repeats it");
                std::panic::resume_unwind(cause);
            }
        }
    }
    accepted
}

fn text(rng: &mut Rng) -> String {
    const PARTS: [&str; 14] = [
        "a",
        "Passed",
        "\n",
        "\u{1b}[31m",
        "\u{202e}",
        "é",
        "\0",
        " ",
        "{}",
        "\"",
        "..",
        "%2e",
        "\u{10ffff}",
        "x",
    ];
    let parts = if rng.u8(..) == 0 { 3_000 } else { rng.usize(0..6) };
    (0..parts).map(|_| PARTS[rng.usize(..PARTS.len())]).collect()
}

/// An IPv4 address, often one that matters.
fn v4(rng: &mut Rng) -> Ipv4Addr {
    const MATTER: [[u8; 4]; 12] = [
        [127, 0, 0, 1],
        [169, 254, 169, 254],
        [100, 100, 100, 200],
        [0, 0, 0, 0],
        [255, 255, 255, 255],
        [224, 0, 0, 1],
        [10, 0, 0, 1],
        [192, 168, 0, 1],
        [172, 16, 0, 1],
        [93, 184, 216, 34],
        [240, 1, 2, 3],
        [168, 63, 129, 16],
    ];
    if rng.bool() { MATTER[rng.usize(..MATTER.len())].into() } else { Ipv4Addr::from_bits(rng.u32(..)) }
}

/// The address, or an IPv6 one that leads there.
fn disguised(rng: &mut Rng, address: Ipv4Addr) -> IpAddr {
    let bits = address.to_bits();
    let (high, low) = ((bits >> 16) as u16, (bits & 0xffff) as u16);
    let v6 = |segments: [u16; 8]| IpAddr::V6(Ipv6Addr::from(segments));
    match rng.u8(..9) {
        0 => v6([0, 0, 0, 0, 0, 0xffff, high, low]),
        1 => v6([0, 0, 0, 0, 0, 0, high, low]),
        2 => v6([0x64, 0xff9b, 0, 0, 0, 0, high, low]),
        3 => v6([0x64, 0xff9b, 1, 0, 0, 0, high, low]),
        4 => v6([0x2002, high, low, 0, 0, 0, 0, 1]),
        5 => v6([0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low]),
        6 => v6([0x2001, 0xdb8, 0, 0, 0x200, 0x5efe, high, low]),
        _ => IpAddr::V4(address),
    }
}

/// What nothing may lead to: said anew and in short, so that it is no copy of the policy.
fn is_forbidden(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first == 0
        || first >= 224
        || address.is_link_local()
        || [[100, 100, 100, 200], [168, 63, 129, 16], [192, 0, 0, 192]].contains(&address.octets())
}

struct Place {
    endpoint: wit_resolver::Endpoint,
    /// The address behind an IP literal.
    behind: Option<Ipv4Addr>,
}

fn place(rng: &mut Rng, own_name: &str) -> Place {
    let behind = rng.bool().then(|| v4(rng));
    let host = match behind {
        Some(address) => disguised(rng, address).to_string(),
        None if rng.u8(..4) == 0 => text(rng),
        None => ["a.test", "b.test.", "localhost", "own.test", "-a", "1.2.3", "fe80::1%eth0", "[::1]"]
            [rng.usize(..8)]
        .to_owned(),
    };
    let server_name = match rng.u8(..12) {
        0 => Some(text(rng)),
        1 => Some(own_name.to_owned()),
        _ => None,
    };
    let port = if rng.u8(..16) == 0 { 0 } else { rng.u16(..) };
    let (priority, weight) = (rng.u16(..3), if rng.bool() { rng.u16(..) } else { 0 });
    let endpoint = wit_resolver::Endpoint { host, port, priority, weight, server_name, extra: Vec::new() };
    Place { endpoint, behind }
}

fn check_served(endpoints: &[Endpoint], places: &[Place], own_host: &str, loopback_granted: bool) {
    assert!((1..=resolver_answer::ENDPOINTS_MAX).contains(&endpoints.len()));
    assert!(endpoints.iter().any(|endpoint| endpoint.weight > 0), "nobody gets traffic: {endpoints:?}");
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.host != own_host) {
        assert!(endpoint.port != 0 && endpoint.host.len() <= 254, "{endpoint:?}");
        assert!(
            endpoint.host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)),
            "{endpoint:?}"
        );
        let place = places.iter().find(|place| place.endpoint.host == endpoint.host);
        if let Some(behind) = place.and_then(|place| place.behind) {
            assert!(!is_forbidden(behind), "{endpoint:?} leads to {behind}");
            assert!(!behind.is_loopback() || loopback_granted, "{endpoint:?} leads to {behind}");
        }
    }
}

#[test]
fn any_resolution() {
    let own = OwnListeners::default();
    let accepted = for_all(|rng| {
        let target = Target {
            namespace: "prod".into(),
            name: "shop".into(),
            port: 443,
            external_name: rng.bool().then(|| "own.test".to_owned()),
            annotations: Vec::new(),
        };
        let loopback_granted = rng.bool();
        let granted = if loopback_granted { vec!["127.0.0.0/8".parse().unwrap()] } else { Vec::new() };
        let policy = AddressPolicy { granted: &granted, own: &own };
        let count = if rng.u8(..) == 0 { 1_020 + rng.usize(..8) } else { rng.usize(..4) };
        let places: Vec<Place> = (0..count).map(|_| place(rng, "shop.prod.svc")).collect();
        let answer = wit_resolver::Resolution {
            endpoints: places.iter().map(|place| place.endpoint.clone()).collect(),
            fresh_ms: rng.bool().then(|| rng.u32(..)),
            stale_ms: rng.bool().then(|| rng.u32(..)),
            extra: Vec::new(),
        };
        let Ok(resolution) = resolver_answer::accept(answer, &target, policy) else { return false };
        let own_host = target.external_name.as_deref().unwrap_or_default();
        check_served(&resolution.endpoints, &places, own_host, loopback_granted);
        assert!(resolution.fresh.is_zero() || resolution.fresh >= Duration::from_secs(1));
        check_pinned(rng, resolution, policy, own_host);
        true
    });
    assert!(accepted > 0, "the generator makes nothing that is taken");
}

/// Looks behind the names as the adapter does, with made-up addresses.
fn check_pinned(
    rng: &mut Rng,
    resolution: crate::decision::resolver::Resolution,
    policy: AddressPolicy<'_>,
    own_host: &str,
) {
    let mut found = pinning::Found::new();
    let mut forbidden = BTreeSet::new();
    for endpoint in &resolution.endpoints {
        if endpoint.host == own_host || endpoint.host.parse::<IpAddr>().is_ok() {
            continue;
        }
        for _ in 0..rng.usize(..3) {
            let address = v4(rng);
            let shown = disguised(rng, address);
            if is_forbidden(address) {
                forbidden.insert(shown.to_string());
            }
            found.entry(endpoint.host.clone()).or_default().push(shown);
        }
    }
    let is_open = |(host, addresses): (&String, &Vec<IpAddr>)| {
        addresses.iter().all(|address| resolver_answer::refuse_address(host, (*address, 443), policy).is_ok())
    };
    if !found.iter().all(is_open) {
        return;
    }
    if let Ok(pinned) = pinning::pin(resolution, &found) {
        assert!(pinned.endpoints.len() <= resolver_answer::ENDPOINTS_MAX);
        for endpoint in &pinned.endpoints {
            assert!(!forbidden.contains(&endpoint.host), "{endpoint:?}");
        }
    }
}

#[test]
fn any_verdict() {
    let accepted = for_all(|rng| {
        let endpoints =
            (0..rng.usize(..3)).map(|n| Endpoint { host: format!("h{n}"), port: 1, weight: 1 }).collect();
        let subject = crate::decision::health::Subject { endpoints, ..Default::default() };
        let state = |rng: &mut Rng| match rng.u8(..4) {
            0 => wit_health::State::Unknown,
            1 => wit_health::State::Up,
            2 => wit_health::State::Degraded,
            _ => wit_health::State::Down,
        };
        let findings = (0..rng.usize(..12))
            .map(|_| wit_health::Finding {
                endpoint: if rng.u8(..8) == 0 { rng.u32(..) } else { rng.u32(..2) },
                state: state(rng),
                message: text(rng),
            })
            .collect();
        let verdict = wit_health::Verdict {
            state: state(rng),
            reason: if rng.bool() { "Passed".to_owned() } else { text(rng) },
            message: text(rng),
            findings,
            next_ms: rng.bool().then(|| rng.u32(..)),
            memory: vec![0; rng.usize(..5_000)],
            extra: Vec::new(),
        };
        let Ok((verdict, memory)) = health_answer::accept(verdict, &subject) else { return false };
        assert!(memory.len() <= 4_096 && verdict.message.len() <= LINE_MAX);
        assert!((1..=128).contains(&verdict.reason.len()));
        assert!(verdict.reason.bytes().all(|b| b.is_ascii_alphanumeric()), "{}", verdict.reason);
        assert!(!verdict.message.chars().any(char::is_control), "{:?}", verdict.message);
        let bounds = Duration::from_millis(500)..=Duration::from_secs(300);
        assert!(verdict.next.is_none_or(|next| bounds.contains(&next)), "{:?}", verdict.next);
        true
    });
    assert!(accepted > 0, "the generator makes nothing that is taken");
}

fn group(rng: &mut Rng) -> Value {
    let verbs = |rng: &mut Rng| {
        let all = ["get", "list", "watch", "create", "delete"];
        let some: Vec<&str> = all.into_iter().filter(|_| rng.bool()).collect();
        json!(some)
    };
    let versions: Vec<Value> = (1..=rng.usize(1..4))
        .map(|version| {
            let resources: Vec<Value> = (0..rng.usize(..4))
                .map(|n| {
                    let kind = json!({"group": "g.test", "version": format!("v{version}"), "kind": format!("K{n}")});
                    let status = json!({"subresource": "status", "responseKind": kind, "verbs": verbs(rng)});
                    let subresources = if rng.bool() { vec![status] } else { Vec::new() };
                    json!({
                        "resource": format!("r{n}"), "responseKind": kind, "scope": "Namespaced",
                        "singularResource": format!("k{n}"), "verbs": verbs(rng), "subresources": subresources,
                    })
                })
                .collect();
            json!({"version": format!("v{version}"), "resources": resources, "freshness": "Current"})
        })
        .collect();
    json!({"metadata": {"name": "g.test"}, "versions": versions})
}

fn odd_value(rng: &mut Rng) -> Value {
    match rng.u8(..7) {
        0 => Value::Null,
        1 => json!(7),
        2 => json!([]),
        3 => json!({}),
        4 => json!(text(rng)),
        5 => json!(["get", "impersonate"]),
        _ => json!("Cluster"),
    }
}

/// Changes one place of a document.
fn mutate(rng: &mut Rng, value: &mut Value) {
    match value {
        Value::Object(map) if !map.is_empty() && rng.u8(..8) > 0 => {
            let key = map.keys().nth(rng.usize(..map.len())).cloned().unwrap_or_default();
            match rng.u8(..8) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(text(rng), odd_value(rng))),
                _ => map.get_mut(&key).into_iter().for_each(|inner| mutate(rng, inner)),
            }
        }
        Value::Array(items) if !items.is_empty() && rng.u8(..8) > 0 => {
            let index = rng.usize(..items.len());
            match rng.u8(..8) {
                0 => drop(items.remove(index)),
                1 => items.push(items[index].clone()),
                2 => rng.shuffle(items),
                3 => items.push(odd_value(rng)),
                _ => mutate(rng, &mut items[index]),
            }
        }
        Value::String(text) if rng.bool() => {
            *text =
                ["v1", "v2", "r0", "r1", "r9", "status", "scale", "get", "delete", "deletecollection", "K9"]
                    [rng.usize(..11)]
                .to_owned();
        }
        other => *other = odd_value(rng),
    }
}

/// Everything that a document says is served: version, resource, subresource, verb, scope and kind.
fn served(document: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    for version in list(document, "versions") {
        let place = format!("{}", version["version"]);
        all.insert(place.clone());
        for resource in list(&version, "resources") {
            let place = format!("{place} {}", resource["resource"]);
            all.insert(place.clone());
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

#[test]
fn any_outcome() {
    let accepted = for_all(|rng| {
        let before = group(rng);
        let mut after = before.clone();
        (0..rng.usize(..4)).for_each(|_| mutate(rng, &mut after));
        let input = before.to_string();
        let mut document = after.to_string();
        match rng.u8(..16) {
            0 => document.truncate(document.floor_char_boundary(rng.usize(..document.len().max(1)))),
            1 => document.push_str(&" ".repeat(rng.usize(..200_000))),
            2 => document = document.replacen("{", "{\"metadata\":{\"name\":\"other\"},", 1),
            _ => {}
        }
        let limit = input.len() * 2 + (64 << 10);
        let answer = match rng.u8(..16) {
            0 => wit_discovery::Outcome::Hide(text(rng)),
            _ => wit_discovery::Outcome::Replace(document),
        };
        match discovery_answer::accept(answer, &input) {
            Ok(Outcome::Replace(taken)) => {
                let shown: Value = serde_json::from_str(&taken).unwrap();
                assert!(
                    taken.len() <= limit && shown["metadata"]["name"] == before["metadata"]["name"],
                    "{taken}"
                );
                assert!(!served(&shown).is_empty(), "nothing is left: {taken}");
                let invented: Vec<String> = served(&shown).difference(&served(&before)).cloned().collect();
                assert!(invented.is_empty(), "{invented:?} in {taken}");
                true
            }
            Ok(Outcome::Hide(reason)) => {
                assert!(reason.len() <= LINE_MAX && !reason.chars().any(char::is_control), "{reason:?}");
                true
            }
            Ok(Outcome::Keep) => true,
            Err(refused) => {
                assert!(refused.len() <= 4 * LINE_MAX, "{}", refused.len());
                false
            }
        }
    });
    assert!(accepted > 0, "the generator makes nothing that is taken");
}

#[test]
fn any_order() {
    let accepted = for_all(|rng| {
        let known = ["a", "b", "c", "d"];
        let names = ["a", "b", "c", "d", "e", ""];
        let order = (0..rng.usize(..6)).map(|_| names[rng.usize(..names.len())].to_owned()).collect();
        let Ok(mut taken) = discovery_answer::accept_order(order, &known) else { return false };
        taken.sort();
        assert_eq!(taken, known, "everything once");
        true
    });
    assert!(accepted > 0, "the generator makes nothing that is taken");
}
