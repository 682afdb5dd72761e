//! The decision: from SRV records to endpoints.

use crate::settings::Settings;

/// Annotation on the ExternalName that names the SRV record and wins over the settings.
const NAME_ANNOTATION: &str = "resolver-srv.umbel.dev/name";
/// Lookups that the host grants to one call; one is spent on the records themselves.
const ADDRESS_LOOKUPS: usize = 15;

/// The service to resolve.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `spec.host` of the ExternalName, where one exists.
    pub host: Option<String>,
    /// Annotations of the ExternalName.
    pub annotations: Vec<(String, String)>,
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Host name, `""` or `.` when the service is decidedly not available.
    pub target: String,
    /// Port.
    pub port: u16,
    /// Lower is preferred.
    pub priority: u16,
    /// Share among records of the same priority.
    pub weight: u16,
    /// For how long it is good.
    pub ttl_ms: u32,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As text.
    pub ip: String,
    /// For how long it is good.
    pub ttl_ms: u32,
}

/// Why a lookup gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsFault {
    /// DNS says that there is nothing.
    Absent(String),
    /// The host does not allow the lookup.
    Denied(String),
    /// DNS did not answer.
    Failed(String),
}

/// Where names are looked up.
pub trait Dns {
    /// SRV records of a name.
    fn services(&self, name: &str) -> Result<Vec<Record>, DnsFault>;
    /// Addresses of a name.
    fn addresses(&self, name: &str) -> Result<Vec<Address>, DnsFault>;
}

/// One place where the service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Lower is preferred.
    pub priority: u16,
    /// Share among endpoints of the same priority.
    pub weight: u16,
}

/// The endpoints and for how long they are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// The shortest TTL of all records used.
    pub fresh_ms: u32,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service has no host to build a name from.
    NotMine,
    /// DNS says that there is no such service.
    NotFound(String),
    /// DNS cannot say now.
    Unavailable(String),
    /// The host does not allow it.
    Other(String),
}

/// Finds the endpoints of a service.
pub fn resolve(dns: &impl Dns, settings: &Settings, target: &Target) -> Result<Answer, Fault> {
    let name = record_name(settings, target).ok_or(Fault::NotMine)?;
    let mut records = dns.services(&name).map_err(|fault| translate(&name, fault))?;
    records.retain(|record| !matches!(record.target.as_str(), "" | "."));
    if records.is_empty() {
        return Err(Fault::Unavailable(format!(
            "SRV {name}: the service is decidedly not available (target \".\")"
        )));
    }
    records.sort_by_key(|record| (record.priority, std::cmp::Reverse(record.weight)));
    let mut fresh_ms = settings.fresh_seconds_max.saturating_mul(1000);
    let mut endpoints = Vec::new();
    let mut absent = None;
    for (index, record) in records.iter().enumerate() {
        fresh_ms = fresh_ms.min(record.ttl_ms);
        let endpoint = |host: String| Endpoint {
            host,
            port: record.port,
            priority: record.priority,
            weight: share(record, &records),
        };
        if !settings.lookup_addresses || index >= ADDRESS_LOOKUPS {
            endpoints.push(endpoint(record.target.clone()));
            continue;
        }
        match dns.addresses(&record.target) {
            Ok(addresses) => {
                fresh_ms = addresses.iter().map(|address| address.ttl_ms).fold(fresh_ms, u32::min);
                endpoints.extend(addresses.into_iter().map(|address| endpoint(address.ip)));
            }
            // One target without an address must not take the others with it.
            Err(DnsFault::Absent(text)) => {
                absent = Some(Fault::NotFound(format!("{}: {text}", record.target)))
            }
            // Half an answer would replace a whole one that the host still has.
            Err(fault) => return Err(translate(&record.target, fault)),
        }
    }
    match absent {
        Some(fault) if endpoints.is_empty() => Err(fault),
        _ => Ok(Answer { endpoints, fresh_ms }),
    }
}

/// RFC 2782 gives a weight of 0 a very small chance beside others; to the host 0 means none at all.
fn share(record: &Record, records: &[Record]) -> u16 {
    let weighted = records.iter().any(|other| other.priority == record.priority && other.weight > 0);
    if weighted { record.weight.max(1) } else { 1 }
}

fn record_name(settings: &Settings, target: &Target) -> Option<String> {
    if let Some((_, name)) = target.annotations.iter().find(|(key, _)| key == NAME_ANNOTATION) {
        return Some(name.clone());
    }
    let host = target.host.as_deref();
    if host.is_none() && settings.name.contains("{host}") {
        return None;
    }
    let name = settings.name.replace("{host}", host.unwrap_or_default());
    Some(name.replace("{namespace}", &target.namespace).replace("{name}", &target.name))
}

fn translate(name: &str, fault: DnsFault) -> Fault {
    match fault {
        DnsFault::Absent(text) => Fault::NotFound(format!("{name}: {text}")),
        DnsFault::Failed(text) => Fault::Unavailable(format!("{name}: {text}")),
        DnsFault::Denied(text) => Fault::Other(format!("{name}: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[derive(Default)]
    struct Zone {
        records: HashMap<String, Vec<Record>>,
        addresses: HashMap<String, Vec<Address>>,
        down: bool,
        addresses_down: bool,
    }

    impl Dns for Zone {
        fn services(&self, name: &str) -> Result<Vec<Record>, DnsFault> {
            if self.down {
                return Err(DnsFault::Failed("timed out".into()));
            }
            self.records.get(name).cloned().ok_or(DnsFault::Absent("no such name".into()))
        }

        fn addresses(&self, name: &str) -> Result<Vec<Address>, DnsFault> {
            if self.addresses_down {
                return Err(DnsFault::Failed("timed out".into()));
            }
            self.addresses.get(name).cloned().ok_or(DnsFault::Absent("no such name".into()))
        }
    }

    fn record(target: &str, priority: u16, weight: u16, ttl_ms: u32) -> Record {
        Record { target: target.into(), port: 8443, priority, weight, ttl_ms }
    }

    fn zone(records: Vec<Record>) -> Zone {
        let address = |ip: &str, ttl_ms| vec![Address { ip: ip.into(), ttl_ms }];
        Zone {
            records: HashMap::from([("_https._tcp.shop.test".into(), records)]),
            addresses: HashMap::from([
                ("a.test".into(), address("10.0.0.1", 7_000)),
                ("b.test".into(), address("10.0.0.2", 90_000)),
            ]),
            ..Zone::default()
        }
    }

    fn target() -> Target {
        Target {
            namespace: "prod".into(),
            name: "shop".into(),
            host: Some("shop.test".into()),
            ..Target::default()
        }
    }

    fn places(answer: &Answer) -> Vec<(&str, u16, u16)> {
        answer.endpoints.iter().map(|e| (e.host.as_str(), e.priority, e.weight)).collect()
    }

    #[test]
    fn records_become_endpoints_in_order_of_priority() {
        let zone = zone(vec![record("b.test", 20, 5, 60_000), record("a.test", 10, 3, 30_000)]);
        let answer = resolve(&zone, &Settings::default(), &target()).unwrap();
        assert_eq!(places(&answer), [("10.0.0.1", 10, 3), ("10.0.0.2", 20, 5)]);
        assert_eq!(answer.fresh_ms, 7_000, "the shortest TTL of all");
    }

    #[test]
    fn a_weight_of_zero_keeps_a_small_share() {
        let zone = zone(vec![record("a.test", 1, 0, 1_000), record("b.test", 1, 50, 1_000)]);
        let answer = resolve(&zone, &Settings::default(), &target()).unwrap();
        assert_eq!(places(&answer), [("10.0.0.2", 1, 50), ("10.0.0.1", 1, 1)]);
    }

    #[test]
    fn names_pass_through_when_addresses_are_not_wanted() {
        let settings = Settings { lookup_addresses: false, fresh_seconds_max: 2, ..Settings::default() };
        let answer = resolve(&zone(vec![record("x.test", 1, 1, 60_000)]), &settings, &target()).unwrap();
        assert_eq!((places(&answer), answer.fresh_ms), (vec![("x.test", 1, 1)], 2_000));
    }

    #[test]
    fn a_target_without_address_leaves_the_others() {
        let zone = zone(vec![record("gone.test", 1, 1, 1_000), record("b.test", 1, 1, 1_000)]);
        let answer = resolve(&zone, &Settings::default(), &target()).unwrap();
        assert_eq!(places(&answer), [("10.0.0.2", 1, 1)]);
    }

    #[test]
    fn half_an_answer_is_none() {
        let zone = Zone { addresses_down: true, ..zone(vec![record("a.test", 1, 1, 1_000)]) };
        let answer = resolve(&zone, &Settings::default(), &target());
        assert_eq!(answer, Err(Fault::Unavailable("a.test: timed out".into())));
    }

    #[test]
    fn the_annotation_wins_over_the_template() {
        let annotated =
            Target { annotations: vec![(NAME_ANNOTATION.into(), "_x._tcp.y".into())], ..target() };
        assert_eq!(record_name(&Settings::default(), &annotated).as_deref(), Some("_x._tcp.y"));
        let settings = Settings { name: "_s._tcp.{name}.{namespace}.svc".into(), ..Settings::default() };
        assert_eq!(record_name(&settings, &target()).as_deref(), Some("_s._tcp.shop.prod.svc"));
    }

    #[test]
    fn what_is_missing_is_told_apart() {
        let absent = resolve(&Zone::default(), &Settings::default(), &target());
        assert_eq!(absent, Err(Fault::NotFound("_https._tcp.shop.test: no such name".into())));
        let down = resolve(&Zone { down: true, ..Zone::default() }, &Settings::default(), &target());
        assert_eq!(down, Err(Fault::Unavailable("_https._tcp.shop.test: timed out".into())));
        let off = resolve(&zone(vec![record(".", 0, 0, 1)]), &Settings::default(), &target());
        assert!(matches!(off, Err(Fault::Unavailable(_))));
        let hostless = resolve(&Zone::default(), &Settings::default(), &Target { host: None, ..target() });
        assert_eq!(hostless, Err(Fault::NotMine));
    }
}
