//! Names in a resolver's answer become the addresses that were checked, so that a name cannot lead elsewhere when
//! it is dialled. The name that TLS verifies is the service's own and stays.

use crate::decision::resolver::{Endpoint, Resolution};
use crate::plugin::adapter::resolver_answer::ENDPOINTS_MAX;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// For how long addresses of names are good: the system's lookup tells no time of its own.
const FRESH_MAX: Duration = Duration::from_secs(30);

/// Checked addresses by the name that they were found under, in the system's order of preference.
pub(in crate::plugin) type Found = BTreeMap<String, Vec<IpAddr>>;

/// The resolution with addresses in the place of the names that were looked up.
///
/// # Errors
/// When a name has no address, or the names have too many.
pub(in crate::plugin) fn pin(resolution: Resolution, found: &Found) -> Result<Resolution, String> {
    if found.is_empty() {
        return Ok(resolution);
    }
    let Resolution { endpoints, fresh, stale } = resolution;
    let heaviest = endpoints.iter().map(|endpoint| endpoint.weight).max().unwrap_or_default();
    // Weights are made as large as they can be, so that shares of them stay exact.
    let scale = u16::MAX / heaviest.max(1);
    let mut pinned = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let weight = endpoint.weight * scale;
        match found.get(&endpoint.host) {
            None => pinned.push(Endpoint { weight, ..endpoint }),
            Some(addresses) => spread(&endpoint, weight, addresses, &mut pinned)?,
        }
    }
    if pinned.len() > ENDPOINTS_MAX {
        return Err(format!("names with {} addresses; {ENDPOINTS_MAX} are the limit", pinned.len()));
    }
    let fresh = if fresh.is_zero() { FRESH_MAX } else { fresh.min(FRESH_MAX) };
    Ok(Resolution { endpoints: pinned, fresh, stale })
}

/// Splits a weight over the addresses of the family that the system prefers; the other one stands by.
fn spread(
    endpoint: &Endpoint,
    weight: u16,
    addresses: &[IpAddr],
    into: &mut Vec<Endpoint>,
) -> Result<(), String> {
    let preferred = addresses.first().ok_or_else(|| format!("{:?} has no address", endpoint.host))?.is_ipv4();
    let sharing = addresses.iter().filter(|address| address.is_ipv4() == preferred).count();
    let share = weight / u16::try_from(sharing).unwrap_or(u16::MAX);
    for address in addresses {
        let weight = match (weight, address.is_ipv4() == preferred) {
            (0, _) | (_, false) => 0,
            (_, true) => share.max(1),
        };
        into.push(Endpoint { host: address.to_string(), port: endpoint.port, weight });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolution(endpoints: &[(&str, u16)]) -> Resolution {
        let endpoint =
            |(host, weight): &(&str, u16)| Endpoint { host: (*host).to_owned(), port: 443, weight: *weight };
        let endpoints = endpoints.iter().map(endpoint).collect();
        Resolution { endpoints, fresh: Duration::ZERO, stale: Duration::from_secs(9) }
    }

    fn found(name: &str, addresses: &[&str]) -> Found {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        BTreeMap::from([(name.to_owned(), addresses)])
    }

    #[test]
    fn checked_addresses_share_the_weight_of_their_name() {
        let asked = resolution(&[("a.test", 1), ("10.0.0.9", 1), ("b.test", 0)]);
        let mut found = found("a.test", &["10.0.0.1", "10.0.0.2", "fd00::1"]);
        found.insert("b.test".to_owned(), vec!["10.0.0.3".parse().unwrap()]);
        let pinned = pin(asked, &found).unwrap();
        let all: Vec<_> = pinned.endpoints.iter().map(|e| (e.host.as_str(), e.weight)).collect();
        let (whole, half) = (u16::MAX, u16::MAX / 2);
        let wanted =
            [("10.0.0.1", half), ("10.0.0.2", half), ("fd00::1", 0), ("10.0.0.9", whole), ("10.0.0.3", 0)];
        assert_eq!(all, wanted);
        assert_eq!((pinned.fresh, pinned.stale), (FRESH_MAX, Duration::from_secs(9)));
    }

    #[test]
    fn an_answer_without_looked_up_names_stays_as_it_is() {
        let asked = resolution(&[("10.0.0.9", 3)]);
        assert_eq!(pin(asked.clone(), &Found::new()).unwrap(), asked);
    }

    #[test]
    fn a_name_without_address_or_with_too_many_is_refused() {
        assert!(pin(resolution(&[("a.test", 1)]), &found("a.test", &[])).unwrap_err().contains("no address"));
        let many = found("a.test", &["10.0.0.1"; 1025]);
        assert!(pin(resolution(&[("a.test", 1)]), &many).unwrap_err().contains("are the limit"));
    }
}
