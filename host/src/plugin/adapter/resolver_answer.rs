//! A resolver's answer, judged before anything is dialled.

use crate::decision::resolver::{Endpoint, Resolution, ResolveFault, Target};
use crate::plugin::component::bindings::resolver::exports::umbel::resolver::resolver as wit;
use crate::plugin::offer::address::{AddressPolicy, Use};
use crate::plugin::offer::log_gate::tame;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

pub(in crate::plugin) const ENDPOINTS_MAX: usize = 1024;
/// Names of one answer that the gateway looks up.
pub(in crate::plugin) const NAMES_MAX: usize = 64;
/// Nobody is asked more often than this.
const FRESH_MIN: Duration = Duration::from_secs(1);

/// The resolution, when it breaks no rule. Names are checked in form only; see [`refuse_address`].
///
/// # Errors
/// The rule that is broken.
pub(in crate::plugin) fn accept(
    answer: wit::Resolution,
    target: &Target,
    policy: AddressPolicy<'_>,
) -> Result<Resolution, String> {
    let wit::Resolution { mut endpoints, fresh_ms, stale_ms, extra: _ } = answer;
    if endpoints.is_empty() {
        return Err("no endpoints; a resolver without any answers not-found or unavailable".to_owned());
    }
    if endpoints.len() > ENDPOINTS_MAX {
        return Err(format!("{} endpoints; {ENDPOINTS_MAX} are the limit", endpoints.len()));
    }
    let own_name = format!("{}.{}.svc", target.name, target.namespace);
    for endpoint in &endpoints {
        check_endpoint(endpoint, &own_name)?;
        if !is_own_place(&endpoint.host, endpoint.port, target) {
            refuse_literal(endpoint, policy)?;
        }
    }
    let places = endpoints.iter().map(|endpoint| (endpoint.host.as_str(), endpoint.port));
    let names = names_to_look_up(places, target).len();
    if names > NAMES_MAX {
        return Err(format!("{names} names; {NAMES_MAX} are the limit, so answer with addresses"));
    }
    endpoints.sort_by_key(|endpoint| endpoint.priority);
    let best = endpoints.first().map_or(0, |endpoint| endpoint.priority);
    // Weights of zero throughout mean that the plugin has no preference.
    let unweighted = endpoints.iter().filter(|endpoint| endpoint.priority == best).all(|e| e.weight == 0);
    let endpoints = endpoints
        .into_iter()
        .map(|endpoint| {
            let weight = match (endpoint.priority == best, unweighted) {
                (false, _) => 0,
                (true, true) => 1,
                (true, false) => endpoint.weight,
            };
            Endpoint { host: endpoint.host, port: endpoint.port, weight }
        })
        .collect();
    Ok(Resolution {
        endpoints,
        fresh: fresh_ms.map_or(Duration::ZERO, |ms| millis(ms).max(FRESH_MIN)),
        // "Not at all" must not become "for ever".
        stale: stale_ms.map_or(Duration::ZERO, |ms| millis(ms).max(Duration::from_millis(1))),
    })
}

fn check_endpoint(endpoint: &wit::Endpoint, own_name: &str) -> Result<(), String> {
    let host = tame(&endpoint.host);
    if endpoint.port == 0 {
        return Err(format!("endpoint {host:?} has port 0"));
    }
    if endpoint.host.parse::<IpAddr>().is_err() && !is_dns_name(&endpoint.host) {
        return Err(format!("{host:?} is neither a DNS name nor an IP address"));
    }
    match &endpoint.server_name {
        Some(name) if name != own_name => Err(format!(
            "endpoint {host:?} is to be verified as {:?}, but this service is {own_name:?} and nothing else",
            tame(name)
        )),
        _ => Ok(()),
    }
}

/// The ExternalName's own host is what its author wrote; a plugin that repeats it widens nothing. On another port than
/// the service's own it may be anything, this gateway included.
pub(in crate::plugin) fn is_own_place(host: &str, port: u16, target: &Target) -> bool {
    port == target.port && target.external_name.as_deref() == Some(host)
}

/// The names among the hosts of an answer that the gateway must look behind.
pub(in crate::plugin) fn names_to_look_up<'a>(
    places: impl Iterator<Item = (&'a str, u16)>,
    target: &Target,
) -> BTreeSet<&'a str> {
    places
        .filter(|(host, port)| host.parse::<IpAddr>().is_err() && !is_own_place(host, *port, target))
        .map(|(host, _)| host)
        .collect()
}

fn refuse_literal(endpoint: &wit::Endpoint, policy: AddressPolicy<'_>) -> Result<(), String> {
    match endpoint.host.parse::<IpAddr>() {
        Ok(address) => refuse_address(&endpoint.host, (address, endpoint.port), policy),
        Err(_) => Ok(()),
    }
}

/// Refuses an address that a resolver may not lead to, given as it is or found behind a name.
///
/// # Errors
/// The reason, with the grant that would open it where one can.
pub(in crate::plugin) fn refuse_address(
    host: &str,
    (address, port): (IpAddr, u16),
    policy: AddressPolicy<'_>,
) -> Result<(), String> {
    policy
        .judge(address, Some(port), Use::Backend)
        .map_err(|refusal| format!("{host:?} is {refusal} ({address}); {}", refusal.mend()))
}

fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A name whose last label is a number would be read as an address by some resolvers.
    let numeric_end = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (1..=253).contains(&name.len()) && name.split('.').all(label) && !numeric_end
}

/// A declared fault in the host's words.
pub(in crate::plugin) fn declared(fault: wit::Fault) -> ResolveFault {
    match fault {
        wit::Fault::NotMine => ResolveFault::NotMine,
        wit::Fault::NotFound(text) => ResolveFault::NotFound(tame(&text)),
        wit::Fault::Invalid(text) => ResolveFault::Invalid(tame(&text)),
        wit::Fault::Unavailable(text) => ResolveFault::Unavailable(tame(&text)),
        wit::Fault::Other(text) => ResolveFault::Other(tame(&text)),
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::offer::address::OwnListeners;

    fn endpoint(host: &str, priority: u16, weight: u16) -> wit::Endpoint {
        wit::Endpoint {
            host: host.to_owned(),
            port: 443,
            priority,
            weight,
            server_name: None,
            extra: Vec::new(),
        }
    }

    fn answer(endpoints: Vec<wit::Endpoint>) -> wit::Resolution {
        wit::Resolution { endpoints, fresh_ms: Some(10), stale_ms: Some(0), extra: Vec::new() }
    }

    fn target() -> Target {
        Target { namespace: "prod".into(), name: "shop".into(), port: 443, ..Target::default() }
    }

    fn judge(answer: wit::Resolution, target: &Target) -> Result<Resolution, String> {
        accept(answer, target, AddressPolicy { granted: &[], own: &OwnListeners::default() })
    }

    fn refused(endpoints: Vec<wit::Endpoint>) -> String {
        judge(answer(endpoints), &target()).unwrap_err()
    }

    #[test]
    fn priorities_become_stand_by_weights() {
        let endpoints = vec![endpoint("b", 20, 5), endpoint("a", 10, 7), endpoint("c", 10, 0)];
        let accepted = judge(answer(endpoints), &target()).unwrap();
        let weights: Vec<_> = accepted.endpoints.iter().map(|e| (e.host.as_str(), e.weight)).collect();
        assert_eq!(weights, [("a", 7), ("c", 0), ("b", 0)]);
        assert_eq!((accepted.fresh, accepted.stale), (FRESH_MIN, Duration::from_millis(1)));
        let accepted = judge(answer(vec![endpoint("a", 1, 0), endpoint("b", 1, 0)]), &target()).unwrap();
        assert!(accepted.endpoints.iter().all(|e| e.weight == 1));
    }

    #[test]
    fn every_broken_rule_is_named() {
        assert!(refused(vec![]).contains("no endpoints"));
        let names = (0..=NAMES_MAX).map(|n| endpoint(&format!("n{n}"), 0, 1)).collect();
        assert!(refused(names).contains("65 names; 64 are the limit"));
        assert!(refused(vec![endpoint("a", 0, 1); 1025]).contains("1024 are the limit"));
        assert!(refused(vec![wit::Endpoint { port: 0, ..endpoint("a", 0, 1) }]).contains("port 0"));
        for host in
            ["", "a b", "http://a", "a:80", "[::1]", "a..b", "-a", "1.2.3", "300.1.1.1", &"a".repeat(64)]
        {
            assert!(refused(vec![endpoint(host, 0, 1)]).contains("neither a DNS name"), "{host}");
        }
        assert!(refused(vec![endpoint("169.254.169.254", 0, 1)]).contains("no plugin may lead to"));
        assert!(refused(vec![endpoint("127.0.0.1", 0, 1)]).contains("spec.grants.addresses"));
        let named = wit::Endpoint { server_name: Some("evil.test".into()), ..endpoint("a", 0, 1) };
        assert!(refused(vec![named]).contains("\"shop.prod.svc\" and nothing else"));
    }

    #[test]
    fn the_hosts_own_words_are_no_threat() {
        let target = Target { external_name: Some("127.0.0.1".into()), ..target() };
        judge(answer(vec![endpoint("127.0.0.1", 0, 1)]), &target).unwrap();
        let elsewhere = wit::Endpoint { port: 6443, ..endpoint("127.0.0.1", 0, 1) };
        assert!(judge(answer(vec![elsewhere]), &target).unwrap_err().contains("loopback"));
        let own = wit::Endpoint { server_name: Some("shop.prod.svc".into()), ..endpoint("a", 0, 1) };
        judge(answer(vec![own]), &target).unwrap();
    }
}
