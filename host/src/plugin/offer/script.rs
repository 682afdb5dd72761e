//! A world that answers out of a record instead of the network.

use crate::decision::health::{ProbeFault, ProbeRequest, ProbeResponse, Prober};
use crate::plugin::component::call_state::CallState;
use crate::plugin::offer::dns::{DnsFault, ServiceRecord};
use crate::plugin::offer::http_client::{HttpFault, Incoming, Outgoing, judge};
use crate::plugin::offer::log_gate::tame_to;
use crate::plugin::offer::state::{KEY_MAX, PluginState};
use crate::plugin::record::{Body, Family, HttpRecord, ProbeRecord, Response, Tape, WorldFault};
use futures_util::future::BoxFuture;
use hickory_resolver::proto::rr::RecordType;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Keys that are remembered as written, and requests without an answer that are told, with so many bytes of each.
const KNOWN_MAX: usize = 1_024;
const MISSED_MAX: usize = 64;
const REQUEST_MAX: usize = 4_096;

/// What one call asks of a recorded world, and what it gets.
#[derive(Debug)]
pub(in crate::plugin) struct Script {
    tape: Tape,
    /// What the plugin remembers, from what the tape says on.
    state: Arc<PluginState>,
    /// Keys of state that the record knows something of, where it is that of a real call; otherwise it knows all.
    known_keys: Option<BTreeSet<String>>,
    /// The records that have answered; of equal ones each takes its turn.
    used: HashSet<(Store, usize)>,
    /// Readings of each clock.
    readings: [usize; 3],
    /// Requests that the record has no answer to, in words.
    pub missed: Vec<String>,
    /// Whether the plugin read a clock that the record has no reading of.
    pub read_real_clock: bool,
    /// Whether the plugin asked the system interface for a time or a random number, which nobody records.
    pub saw_reality: bool,
    /// Lines that the plugin logged: level and text.
    pub lines: Vec<(&'static str, String)>,
    /// How many host calls the plugin made, log and clock apart.
    pub host_calls: usize,
    /// What the call computed, in the engine's units, where the engine counts.
    pub fuel: Option<u64>,
    /// Bytes of linear memory at the end; memories only grow.
    pub memory: usize,
}

/// Which list of the tape a record is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Store {
    Dns,
    Http,
    Probe,
}

/// A script that both ends of a call hold.
pub(in crate::plugin) type SharedScript = Arc<Mutex<Script>>;

impl Script {
    pub(in crate::plugin) fn shared(tape: Tape) -> SharedScript {
        let (used, missed, lines) = (HashSet::new(), Vec::new(), Vec::new());
        let state = tape.state.iter().map(|(key, Body(value))| (key.clone(), value.to_vec()));
        let state = PluginState::holding(state);
        Arc::new(Mutex::new(Self {
            tape,
            state,
            known_keys: None,
            used,
            readings: [0; 3],
            missed,
            read_real_clock: false,
            saw_reality: false,
            lines,
            host_calls: 0,
            fuel: None,
            memory: 0,
        }))
    }

    /// The world of a real call: what its plugin did not look at is not known, `absent_keys` of state apart.
    pub(in crate::plugin) fn of_call(tape: Tape, absent_keys: &BTreeSet<String>) -> SharedScript {
        let known = tape.state.keys().chain(absent_keys).cloned().collect();
        let script = Self::shared(tape);
        script.lock().known_keys = Some(known);
        script
    }

    /// Takes notice of a key that is read.
    pub(super) fn state_read(&mut self, key: &str) {
        // A longer key holds nothing in any world.
        if key.len() <= KEY_MAX && self.known_keys.as_ref().is_some_and(|known| !known.contains(key)) {
            self.miss(format!("state of the key {key:?}"));
        }
    }

    /// Takes notice of a key that is written or deleted: what it holds from then on is known.
    pub(super) fn state_written(&mut self, key: &str) {
        if let Some(known) = &mut self.known_keys
            && key.len() <= KEY_MAX
            && known.len() < KNOWN_MAX
        {
            known.insert(key.to_owned());
        }
    }

    /// Notes what the recorded world has no answer for. It is the guest that says how much that is.
    fn miss(&mut self, request: String) {
        if self.missed.len() < MISSED_MAX {
            self.missed.push(tame_to(REQUEST_MAX, &request));
        }
    }

    /// What the plugin remembers in this world.
    pub(super) fn open_state(&mut self) -> Arc<PluginState> {
        self.host_calls += 1;
        Arc::clone(&self.state)
    }

    /// Which of `found` records answers this time: one after the other, and the last one stays.
    fn turn(&mut self, store: Store, request: String, found: &[usize]) -> Option<usize> {
        self.host_calls += 1;
        let fresh = found.iter().find(|index| !self.used.contains(&(store, **index)));
        let index = fresh.or(found.last()).copied();
        match index {
            Some(index) => _ = self.used.insert((store, index)),
            None => self.miss(request),
        }
        index
    }

    pub(super) fn addresses(
        &mut self,
        name: &str,
        family: Family,
    ) -> Result<Vec<(IpAddr, Duration)>, DnsFault> {
        let fits = |record: &crate::plugin::record::DnsRecord| {
            let kind = record.addresses.is_some() || record.fault.is_some();
            kind && same_name(&record.name, name)
                && record.family.is_none_or(|own| own == family || own == Family::Any)
        };
        let found = indices(&self.tape.dns, fits);
        let Some(index) = self.turn(Store::Dns, format!("dns addresses of {name}"), &found) else {
            return Err(DnsFault::Failed("the recorded world has no answer".to_owned()));
        };
        let record = &self.tape.dns[index];
        if let Some(fault) = record.fault {
            return Err(dns_fault(fault, &record.message));
        }
        let ttls = record.ttls_ms.iter().copied().chain(std::iter::repeat(record.ttl_ms));
        let all = record.addresses.iter().flatten().zip(ttls).filter(|(address, _)| family.holds(**address));
        let all: Vec<_> =
            all.map(|(address, ttl)| (*address, Duration::from_millis(u64::from(ttl)))).collect();
        if all.is_empty() { Err(DnsFault::NoData) } else { Ok(all) }
    }

    pub(super) fn services(&mut self, name: &str) -> Result<Vec<ServiceRecord>, DnsFault> {
        let found = indices(&self.tape.dns, |record| {
            (record.services.is_some() || record.fault.is_some()) && same_name(&record.name, name)
        });
        let Some(index) = self.turn(Store::Dns, format!("dns services of {name}"), &found) else {
            return Err(DnsFault::Failed("the recorded world has no answer".to_owned()));
        };
        let record = &self.tape.dns[index];
        if let Some(fault) = record.fault {
            return Err(dns_fault(fault, &record.message));
        }
        let ttl = Duration::from_millis(u64::from(record.ttl_ms));
        let service = |one: &crate::plugin::record::ServiceRecord| ServiceRecord {
            target: one.target.clone(),
            port: one.port,
            priority: one.priority,
            weight: one.weight,
            ttl,
        };
        Ok(record.services.iter().flatten().map(service).collect())
    }

    pub(super) fn http(&mut self, outgoing: &Outgoing) -> Result<Incoming, HttpFault> {
        let found = indices(&self.tape.http, |HttpRecord { request, .. }| {
            request.method.eq_ignore_ascii_case(&outgoing.method)
                && request.url == outgoing.url
                && request.body.as_ref().is_none_or(|Body(body)| *body == outgoing.body)
        });
        let Some(index) =
            self.turn(Store::Http, format!("http {} {}", outgoing.method, outgoing.url), &found)
        else {
            return Err(HttpFault::Connect("the recorded world has no answer".to_owned()));
        };
        let HttpRecord { response, fault, message, .. } = &self.tape.http[index];
        match (response, fault) {
            (Some(response), _) => Ok(Incoming {
                status: response.status,
                headers: response.headers.clone(),
                body: response.body.0.clone(),
                truncated: response.truncated,
                repeats_secret: false,
            }),
            (None, fault) => Err(match fault {
                Some(WorldFault::Denied) => HttpFault::Denied(message.clone()),
                Some(WorldFault::TimedOut) => HttpFault::TimedOut(message.clone()),
                Some(WorldFault::Tls) => HttpFault::Tls(message.clone()),
                Some(WorldFault::Protocol) => HttpFault::Protocol(message.clone()),
                _ => HttpFault::Connect(message.clone()),
            }),
        }
    }

    fn probe(&mut self, request: &ProbeRequest) -> Result<ProbeResponse, ProbeFault> {
        let found = indices(&self.tape.probe, |ProbeRecord { request: sent, .. }| {
            usize::try_from(sent.endpoint) == Ok(request.endpoint)
                && sent.method == request.method.as_str()
                && sent.path == request.path
        });
        let words = format!("probe of endpoint {}: {} {}", request.endpoint, request.method, request.path);
        let Some(index) = self.turn(Store::Probe, words, &found) else {
            return Err(ProbeFault::Connect("the recorded world has no answer".to_owned()));
        };
        let ProbeRecord { response, fault, message, .. } = &self.tape.probe[index];
        match (response, fault) {
            (Some(response), _) => Ok(probe_response(response, request.body_max)),
            (None, fault) => Err(match fault {
                Some(WorldFault::Denied) => ProbeFault::Refused(message.clone()),
                Some(WorldFault::TimedOut) => ProbeFault::TimedOut(message.clone()),
                Some(WorldFault::Tls) => ProbeFault::Tls(message.clone()),
                Some(WorldFault::Protocol) => ProbeFault::Protocol(message.clone()),
                _ => ProbeFault::Connect(message.clone()),
            }),
        }
    }

    /// The next reading of a clock; `None` where the record has none and the real one is read.
    fn reading<T: Copy>(&mut self, clock: usize, readings: impl Fn(&Tape) -> &[T]) -> Option<T> {
        let readings = readings(&self.tape);
        let reading = readings.get(self.readings[clock]).or(readings.last()).copied();
        self.readings[clock] += 1;
        self.read_real_clock |= reading.is_none();
        reading
    }
}

fn indices<T>(records: &[T], fits: impl Fn(&T) -> bool) -> Vec<usize> {
    records.iter().enumerate().filter(|(_, record)| fits(record)).map(|(index, _)| index).collect()
}

fn same_name(recorded: &str, asked: &str) -> bool {
    recorded.trim_end_matches('.').eq_ignore_ascii_case(asked.trim_end_matches('.'))
}

fn dns_fault(fault: WorldFault, message: &str) -> DnsFault {
    match fault {
        WorldFault::NoSuchName => DnsFault::NoSuchName,
        WorldFault::NoData => DnsFault::NoData,
        WorldFault::TimedOut => DnsFault::TimedOut,
        _ => DnsFault::Failed(message.to_owned()),
    }
}

fn probe_response(response: &Response, body_max: usize) -> ProbeResponse {
    let mut body = response.body.0.clone();
    let truncated = response.truncated || body.len() > body_max;
    body.truncate(body_max);
    ProbeResponse {
        status: response.status,
        headers: response.headers.clone(),
        body,
        truncated,
        first_byte: Duration::from_micros(u64::from(response.first_byte_us.unwrap_or(0))),
    }
}

/// Probes out of a script.
pub(in crate::plugin) struct ScriptedProber(pub SharedScript);

impl Prober for ScriptedProber {
    fn send(&self, request: ProbeRequest) -> BoxFuture<'_, Result<ProbeResponse, ProbeFault>> {
        let answer = self.0.lock().probe(&request);
        Box::pin(std::future::ready(answer))
    }
}

/// Host functions ask here, and never need to know which world answers.
impl CallState {
    /// Lets the recorded world take notice of something, where it answers.
    pub(super) fn scripted(&self, notice: impl FnOnce(&mut Script)) {
        if let Some(script) = &self.script {
            notice(&mut script.lock());
        }
    }

    pub(in crate::plugin) async fn find_addresses(
        &self,
        name: &str,
        kinds: &[RecordType],
        limit: Duration,
    ) -> Result<Vec<(IpAddr, Duration)>, DnsFault> {
        let family = match kinds {
            [RecordType::A] => Family::V4,
            [RecordType::AAAA] => Family::V6,
            _ => Family::Any,
        };
        if let Some(script) = &self.script {
            return script.lock().addresses(name, family);
        }
        let found = self.outside.dns.addresses(name, kinds, limit).await;
        self.noted(|witness| witness.addresses(name, family, &found));
        found
    }

    pub(in crate::plugin) async fn find_services(
        &self,
        name: &str,
        limit: Duration,
    ) -> Result<Vec<ServiceRecord>, DnsFault> {
        if let Some(script) = &self.script {
            return script.lock().services(name);
        }
        let found = self.outside.dns.services(name, limit).await;
        self.noted(|witness| witness.services(name, &found));
        found
    }

    /// The recorded answer to a request, if its form is in order and it is granted.
    pub(in crate::plugin) async fn send_recorded(&self, outgoing: Outgoing) -> Result<Incoming, HttpFault> {
        judge(outgoing.clone(), &self.profile.manifest.spec.grants, &self.outside.own).await?;
        match &self.script {
            Some(script) => script.lock().http(&outgoing),
            None => Err(HttpFault::Connect("there is no recorded world".to_owned())),
        }
    }

    pub(in crate::plugin) fn recorded_wall_ms(&self) -> Option<u64> {
        self.script.as_ref()?.lock().reading(0, |tape| &tape.clock.wall_ms)
    }

    pub(in crate::plugin) fn recorded_monotonic_us(&self) -> Option<u64> {
        self.script.as_ref()?.lock().reading(1, |tape| &tape.clock.monotonic_us)
    }

    pub(in crate::plugin) fn recorded_remaining_ms(&self) -> Option<u32> {
        self.script.as_ref()?.lock().reading(2, |tape| &tape.clock.remaining_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::yaml;

    fn script(text: &str) -> Script {
        let tape: Tape = yaml::read(text).unwrap();
        Arc::into_inner(Script::shared(tape)).unwrap().into_inner()
    }

    #[test]
    fn equal_requests_take_the_answers_in_order_and_the_last_stays() {
        let mut script =
            script("dns: [{name: a., addresses: [10.0.0.1, 'fd00::1']}, {name: A, fault: timedOut}]");
        let first = script.addresses("a", Family::V4).unwrap();
        assert_eq!(first, [("10.0.0.1".parse().unwrap(), Duration::from_secs(30))]);
        assert_eq!(script.addresses("a", Family::V4), Err(DnsFault::TimedOut));
        assert_eq!(script.addresses("a", Family::V4), Err(DnsFault::TimedOut));
        assert_eq!((script.host_calls, script.missed.len()), (3, 0));
    }

    #[test]
    fn other_requests_of_a_name_take_no_turn() {
        let mut script = script(
            "dns: [{name: a, family: v4, addresses: [10.0.0.1]}, {name: a, family: v6, addresses: ['fd00::1']}, \
             {name: a, family: v6, addresses: ['fd00::2'], ttlsMs: [7]}]",
        );
        script.addresses("a", Family::V4).unwrap();
        let six = script.addresses("a", Family::V6).unwrap();
        assert_eq!(six[0].0, "fd00::1".parse::<IpAddr>().unwrap());
        let six = script.addresses("a", Family::V6).unwrap();
        assert_eq!(six, [("fd00::2".parse().unwrap(), Duration::from_millis(7))]);
    }

    #[test]
    fn a_guest_cannot_make_the_list_of_what_is_missing_long() {
        let script = Script::of_call(Tape::default(), &BTreeSet::new());
        let mut script = script.lock();
        script.state_read(&"k".repeat(KEY_MAX + 1));
        script.state_written(&"k".repeat(KEY_MAX + 1));
        assert_eq!((script.missed.len(), script.known_keys.as_ref().map(BTreeSet::len)), (0, Some(0)));
        for number in 0..2 * KNOWN_MAX {
            script.state_written(&format!("written {number}"));
            script.state_read(&format!("read {number}"));
        }
        assert_eq!(script.missed.len(), MISSED_MAX);
        assert_eq!(script.known_keys.as_ref().map(BTreeSet::len), Some(KNOWN_MAX));
    }

    #[test]
    fn what_is_not_recorded_is_remembered() {
        let mut script = script("http: [{request: {url: 'http://a/', body: x}, response: {status: 204}}]");
        let mut outgoing =
            Outgoing { method: "GET".into(), url: "http://a/".into(), headers: vec![], body: b"x".to_vec() };
        assert_eq!(script.http(&outgoing).unwrap().status, 204);
        outgoing.body.clear();
        assert!(script.http(&outgoing).is_err());
        assert!(script.services("b").is_err());
        // The second request of that method and URL is another one: the body tells.
        assert_eq!(script.missed, ["http GET http://a/", "dns services of b"]);
    }

    #[test]
    fn keys_that_a_real_call_did_not_look_at_are_not_known() {
        let tape: Tape = yaml::read("state: {a: '1'}").unwrap();
        let script = Script::of_call(tape.clone(), &["b".to_owned()].into());
        let mut script = script.lock();
        script.state_read("a");
        script.state_read("b");
        script.state_written("c");
        script.state_read("c");
        assert_eq!(script.missed, [""; 0]);
        script.state_read("d");
        assert_eq!(script.missed, ["state of the key \"d\""]);
        let written = Script::shared(tape);
        written.lock().state_read("d");
        assert_eq!(written.lock().missed, [""; 0], "a case says all there is");
    }

    #[test]
    fn probes_keep_as_much_of_a_body_as_was_asked_for() {
        let mut script = script("probe: [{request: {path: /a}, response: {status: 200, body: abc}}]");
        let request = ProbeRequest {
            endpoint: 0,
            method: http::Method::GET,
            path: "/a".into(),
            headers: vec![],
            timeout: Duration::from_secs(1),
            body_max: 2,
        };
        let answer = script.probe(&request).unwrap();
        assert_eq!((&answer.body[..], answer.truncated), (&b"ab"[..], true));
        assert!(script.probe(&ProbeRequest { endpoint: 1, ..request }).is_err());
        assert_eq!(script.missed, ["probe of endpoint 1: GET /a"]);
    }
}
