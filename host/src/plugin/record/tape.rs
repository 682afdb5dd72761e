//! What the world answered to a plugin during one call.

use super::body::Body;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The answers of the world to one call, in call order and each with the request that it belongs to. Of equal
/// requests each takes the next answer, and the last answer stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tape {
    /// Answers of `umbel:host/dns`, before the address policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<DnsRecord>,
    /// Answers of `umbel:host/http`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRecord>,
    /// Answers of `umbel:host/probe`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probe: Vec<ProbeRecord>,
    /// What `umbel:host/state` holds when the call begins.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, Body>,
    /// Readings of `umbel:host/clock`.
    #[serde(skip_serializing_if = "ClockReadings::is_empty")]
    pub clock: ClockReadings,
}

impl Tape {
    /// Whether the world answered nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what serde cannot: that each record says exactly one thing.
    ///
    /// # Errors
    /// The record and what it lacks or has too much.
    pub fn check(&self) -> Result<(), String> {
        for (index, record) in self.dns.iter().enumerate() {
            let said = [record.addresses.is_some(), record.services.is_some(), record.fault.is_some()];
            one_of(&said).map_err(|why| {
                format!("dns[{index}] ({}): {why} of addresses, services and fault", record.name)
            })?;
            let addresses = record.addresses.as_ref().map_or(0, Vec::len);
            if !record.ttls_ms.is_empty() && record.ttls_ms.len() != addresses {
                return Err(format!("dns[{index}] ({}): ttlsMs needs one for each address", record.name));
            }
        }
        for (index, HttpRecord { request, response, fault, .. }) in self.http.iter().enumerate() {
            one_of(&[response.is_some(), fault.is_some()])
                .map_err(|why| format!("http[{index}] ({}): {why} of response and fault", request.url))?;
        }
        for (index, ProbeRecord { request, response, fault, .. }) in self.probe.iter().enumerate() {
            one_of(&[response.is_some(), fault.is_some()])
                .map_err(|why| format!("probe[{index}] ({}): {why} of response and fault", request.path))?;
        }
        Ok(())
    }
}

fn one_of(said: &[bool]) -> Result<(), &'static str> {
    match said.iter().filter(|said| **said).count() {
        0 => Err("needs one"),
        1 => Ok(()),
        _ => Err("takes only one"),
    }
}

/// One lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsRecord {
    /// The name that was looked up.
    pub name: String,
    /// The family that was asked for; without it the record answers any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// The addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<IpAddr>>,
    /// The SRV records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<ServiceRecord>>,
    /// For how long the answer is good, in milliseconds.
    #[serde(default = "ttl")]
    pub ttl_ms: u32,
    /// The same for each address, where that differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ttls_ms: Vec<u32>,
    /// Why there is no answer; serves lookups of addresses and of services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<WorldFault>,
    /// The fault in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

fn ttl() -> u32 {
    30_000
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Family {
    /// Both.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Whether an address is of the family.
    pub fn holds(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRecord {
    /// The host.
    pub target: String,
    /// TCP port.
    pub port: u16,
    /// Lower is preferred.
    #[serde(default)]
    pub priority: u16,
    /// Share among those of the same priority.
    #[serde(default)]
    pub weight: u16,
}

/// One HTTP request of the plugin. A secret that the host added is no part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRecord {
    /// What was sent.
    pub request: HttpSent,
    /// What came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// Why nothing came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<WorldFault>,
    /// The fault in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What tells one HTTP request from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpSent {
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The URL as the plugin wrote it.
    pub url: String,
    /// The body; without it the record answers any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

fn get() -> String {
    "GET".to_owned()
}

/// One probe of a health checker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeRecord {
    /// What was sent.
    pub request: ProbeSent,
    /// What came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// Why nothing came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<WorldFault>,
    /// The fault in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What tells one probe from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeSent {
    /// Index into the endpoints of the subject.
    #[serde(default)]
    pub endpoint: u32,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query.
    pub path: String,
}

/// An HTTP response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, as a map or as a list of pairs.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "pairs")]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default, skip_serializing_if = "Body::is_empty")]
    pub body: Body,
    /// Whether more followed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Probes: time to the first byte, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u32>,
}

pub(super) fn pairs<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<(String, String)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a map, or a list of [name, value]")]
    enum Form {
        Map(BTreeMap<String, String>),
        Pairs(Vec<(String, String)>),
    }
    Ok(match Form::deserialize(input)? {
        Form::Map(map) => map.into_iter().collect(),
        Form::Pairs(pairs) => pairs,
    })
}

/// Why the world has no answer; the words of `umbel:host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorldFault {
    /// DNS: the name does not exist.
    NoSuchName,
    /// DNS: it has no records of this kind.
    NoData,
    /// The address policy forbids it.
    Denied,
    /// No answer in time.
    TimedOut,
    /// No connection.
    Connect,
    /// No TLS session.
    Tls,
    /// No HTTP answer.
    Protocol,
    /// Anything else.
    Other,
}

/// Readings of the clock in call order; the last of each kind stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClockReadings {
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wall_ms: Vec<u64>,
    /// Microseconds since the call began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monotonic_us: Vec<u64>,
    /// Milliseconds that are left of the call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remaining_ms: Vec<u32>,
}

impl ClockReadings {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::yaml;
    use crate::plugin::record::{Answer, Question};

    const CASE: &str = "
dns:
- {name: db.internal, addresses: [10.0.0.1, 'fd12::1']}
- {name: _x._tcp.internal, services: [{target: a.internal, port: 1}]}
- {name: gone.internal, fault: noSuchName}
http:
- request: {url: 'https://consul.internal/v1/'}
  response: {status: 200, headers: {x-index: '7'}, body: '[]'}
- request: {method: PUT, url: 'https://consul.internal/v1/', body: {base64: /w==}}
  fault: timedOut
probe:
- request: {path: /healthz}
  response: {status: 500}
clock: {wallMs: [1700000000000]}
state: {seen: '3'}
";

    #[test]
    fn a_world_is_written_as_yaml_and_survives_the_round_trip() {
        let tape: Tape = yaml::read(CASE).unwrap();
        tape.check().unwrap();
        assert_eq!(tape.dns[0].ttl_ms, 30_000);
        assert_eq!(tape.http[0].response.as_ref().unwrap().headers, [("x-index".into(), "7".into())]);
        assert_eq!(tape.http[1].request.body, Some(Body::from(vec![255])));
        assert_eq!(tape.probe[0].request.method, "GET");
        let again: Tape = yaml::read(&yaml::write(&serde_json::to_value(&tape).unwrap())).unwrap();
        assert_eq!(again, tape);
        assert_eq!(serde_json::to_value(Tape::default()).unwrap(), serde_json::json!({}));
    }

    #[test]
    fn questions_and_answers_are_flat_maps() {
        for text in [
            "{call: resolve, target: {namespace: a, name: b, port: 1, externalName: c}}",
            "{call: check, subject: {apiService: v1.a, endpoints: [{host: b, port: 1}]}, was: up}",
            "{call: transform, group: '{}'}",
            "{call: order, groups: [{name: a, versions: [v1]}]}",
        ] {
            let question: Question = yaml::read(text).unwrap();
            let again = yaml::write(&serde_json::to_value(&question).unwrap());
            assert_eq!(yaml::read::<Question>(&again).unwrap(), question, "{again}");
        }
        for text in [
            "{answer: resolution, endpoints: [{host: a, port: 1}], freshMs: 5}",
            "{answer: verdict, state: down, reason: Failed, findings: [{endpoint: 0, state: down}]}",
            "{answer: keep}",
            "{answer: hide, reason: because}",
            "{answer: order}",
            "{answer: fault, fault: notMine}",
        ] {
            let answer: Answer = yaml::read(text).unwrap();
            let again = yaml::write(&serde_json::to_value(&answer).unwrap());
            assert_eq!(yaml::read::<Answer>(&again).unwrap(), answer, "{again}");
        }
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, says) in [
            ("{dns: [{name: a}]}", "dns[0] (a): needs one of addresses"),
            ("{dns: [{name: a, addresses: [], fault: noData}]}", "takes only one"),
            ("{http: [{request: {url: 'http://a/'}}]}", "http[0] (http://a/): needs one"),
            ("{dns: [{name: a, addresses: [10.0.0.1], ttlsMs: [1, 2]}]}", "needs one for each address"),
            ("{probe: [{request: {path: /a}}]}", "probe[0] (/a): needs one"),
        ] {
            let tape: Tape = yaml::read(text).unwrap();
            assert!(tape.check().unwrap_err().contains(says), "{text}");
        }
        for (text, says) in
            [("{dns: [{nam: a}]}", "unknown field `nam`"), ("{dns: [{name: a, fault: lost}]}", "noSuchName")]
        {
            let error = yaml::read::<Tape>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let wrong = "{call: resolve, target: {namespace: a, name: b, port: 1, extra: 2}}";
        let error = yaml::read::<Question>(wrong).unwrap_err().to_string();
        assert!(error.contains("unknown field `extra`"), "{error}");
    }
}
