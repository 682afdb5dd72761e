//! Notes what the world answers to a plugin, so that a call can be repeated without it.
//!
//! A secret is added by the host on the way out and is no part of a request here; a call in which an answer repeats
//! it is not kept.

use crate::decision::health::{ProbeFault, ProbeRequest, ProbeResponse};
use crate::plugin::component::call_state::CallState;
use crate::plugin::offer::dns::{self, DnsFault};
use crate::plugin::offer::http_client::{HttpFault, Incoming, Outgoing};
use crate::plugin::offer::log_gate::tame_to;
use crate::plugin::offer::state::KEY_MAX;
use crate::plugin::record::{
    Body, DnsRecord, Family, HttpRecord, HttpSent, ProbeRecord, ProbeSent, Response, ServiceRecord, Tape,
    WorldFault,
};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a body, of a request or of an answer.
const BODY_MAX: usize = 64 << 10;
/// Readings of one clock.
const READINGS_MAX: usize = 64;
/// Keys of state.
const KEYS_MAX: usize = 1024;
/// A header that carries what only the server may hear again.
const SET_COOKIE: &str = "set-cookie";

/// What the world answered so far during one call.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Witness {
    pub tape: Tape,
    /// The first thing that could not be noted.
    pub gap: Option<String>,
    /// Whether an answer repeated the secret that was sent. Whatever the plugin says afterwards may repeat it too.
    pub heard_secret: bool,
    /// Bytes that the tape takes, about.
    pub size: usize,
    /// Keys of state that the call has read or written: what they hold from then on it knows from itself.
    known_keys: BTreeSet<String>,
    /// Those of them that were not there when the call began.
    pub absent_keys: BTreeSet<String>,
}

/// A witness that both ends of a call hold.
pub(in crate::plugin) type SharedWitness = Arc<Mutex<Witness>>;

impl Witness {
    pub(in crate::plugin) fn shared() -> SharedWitness {
        SharedWitness::default()
    }

    fn leave_out(&mut self, what: String) {
        self.gap.get_or_insert(what);
    }

    pub(super) fn addresses(
        &mut self,
        name: &str,
        family: Family,
        found: &Result<Vec<(IpAddr, Duration)>, DnsFault>,
    ) {
        let mut record = DnsRecord { name: name.to_owned(), family: Some(family), ..DnsRecord::default() };
        match found {
            Err(fault) => note_dns_fault(&mut record, fault),
            Ok(found) => {
                let ttls: Vec<u32> = found.iter().map(|(_, ttl)| millis(*ttl)).collect();
                record.ttl_ms = ttls.iter().copied().min().unwrap_or_default();
                if ttls.iter().any(|ttl| *ttl != record.ttl_ms) {
                    record.ttls_ms = ttls;
                }
                record.addresses = Some(found.iter().map(|(address, _)| *address).collect());
            }
        }
        self.size += name.len() + 24 * record.addresses.as_ref().map_or(1, Vec::len);
        self.tape.dns.push(record);
    }

    pub(super) fn services(&mut self, name: &str, found: &Result<Vec<dns::ServiceRecord>, DnsFault>) {
        let mut record = DnsRecord { name: name.to_owned(), ..DnsRecord::default() };
        match found {
            Err(fault) => note_dns_fault(&mut record, fault),
            Ok(found) => {
                let service = |one: &dns::ServiceRecord| ServiceRecord {
                    target: one.target.clone(),
                    port: one.port,
                    priority: one.priority,
                    weight: one.weight,
                };
                record.ttl_ms = found.iter().map(|one| millis(one.ttl)).min().unwrap_or_default();
                self.size += found.iter().map(|one| one.target.len() + 8).sum::<usize>();
                record.services = Some(found.iter().map(service).collect());
            }
        }
        self.size += name.len() + 32;
        self.tape.dns.push(record);
    }

    pub(super) fn http(&mut self, request: HttpSent, answer: &Result<Incoming, HttpFault>) {
        let sent = request.body.as_ref().map_or(0, |body| body.0.len());
        self.size += request.url.len() + sent + 64;
        let mut record = HttpRecord { request, response: None, fault: None, message: String::new() };
        let what = format!("{} {}", record.request.method, record.request.url);
        if sent > BODY_MAX {
            return self.leave_out(format!("the body of {what} has {sent} bytes"));
        }
        match answer {
            Ok(answer) if answer.repeats_secret => return self.heard_secret = true,
            Ok(answer) if answer.body.len() > BODY_MAX => {
                let bytes = answer.body.len();
                return self.leave_out(format!("the answer to {what} has {bytes} bytes"));
            }
            Ok(answer) => {
                record.response = Some(self.response(
                    (answer.status, answer.truncated),
                    &answer.headers,
                    Body(answer.body.clone()),
                ));
            }
            Err(fault) => {
                let (fault, text) = match fault {
                    HttpFault::Denied(text) => (WorldFault::Denied, text),
                    HttpFault::TimedOut(text) => (WorldFault::TimedOut, text),
                    HttpFault::Connect(text) => (WorldFault::Connect, text),
                    HttpFault::Tls(text) => (WorldFault::Tls, text),
                    HttpFault::Protocol(text) => (WorldFault::Protocol, text),
                };
                (record.fault, record.message) = (Some(fault), text.clone());
            }
        }
        self.tape.http.push(record);
    }

    pub(super) fn probe(&mut self, request: ProbeSent, answer: &Result<ProbeResponse, ProbeFault>) {
        self.size += request.path.len() + 64;
        let mut record = ProbeRecord { request, response: None, fault: None, message: String::new() };
        match answer {
            Ok(answer) => {
                let body = Body(answer.body.clone());
                let mut response = self.response((answer.status, answer.truncated), &answer.headers, body);
                response.first_byte_us =
                    Some(u32::try_from(answer.first_byte.as_micros()).unwrap_or(u32::MAX));
                record.response = Some(response);
            }
            Err(fault) => {
                let (fault, text) = match fault {
                    ProbeFault::Refused(text) => (WorldFault::Denied, text),
                    ProbeFault::TimedOut(text) => (WorldFault::TimedOut, text),
                    ProbeFault::Connect(text) => (WorldFault::Connect, text),
                    ProbeFault::Tls(text) => (WorldFault::Tls, text),
                    ProbeFault::Protocol(text) => (WorldFault::Protocol, text),
                };
                (record.fault, record.message) = (Some(fault), text.clone());
            }
        }
        self.tape.probe.push(record);
    }

    fn response(
        &mut self,
        (status, truncated): (u16, bool),
        headers: &[(String, String)],
        body: Body,
    ) -> Response {
        let headers: Vec<_> =
            headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(SET_COOKIE)).cloned().collect();
        self.size +=
            body.0.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        Response { status, headers, body, truncated, first_byte_us: None }
    }

    /// The first look at a key tells what it held when the call began.
    pub(super) fn state_read(&mut self, key: &str, value: Option<&[u8]>) {
        if !self.meets(key) {
            return;
        }
        if let Some(value) = value {
            self.size += key.len() + value.len();
            self.tape.state.insert(key.to_owned(), Body::from(value.to_vec()));
        } else {
            self.size += key.len();
            self.absent_keys.insert(key.to_owned());
        }
    }

    pub(super) fn state_written(&mut self, key: &str, fitted: bool) {
        self.meets(key);
        if !fitted {
            self.leave_out(format!("there was no room for the key {:?} of its state", tame_to(KEY_MAX, key)));
        }
    }

    /// Whether the call has not touched this key before. A key that is too long for state is none.
    fn meets(&mut self, key: &str) -> bool {
        if key.len() > KEY_MAX || self.known_keys.contains(key) {
            return false;
        }
        if self.known_keys.len() >= KEYS_MAX {
            self.leave_out(format!("it asked for more than {KEYS_MAX} keys of its state"));
            return false;
        }
        self.known_keys.insert(key.to_owned())
    }

    pub(super) fn wall_ms(&mut self, reading: u64) {
        let has_room = add(&mut self.tape.clock.wall_ms, reading);
        self.note_reading(has_room);
    }

    pub(super) fn monotonic_us(&mut self, reading: u64) {
        let has_room = add(&mut self.tape.clock.monotonic_us, reading);
        self.note_reading(has_room);
    }

    pub(super) fn remaining_ms(&mut self, reading: u32) {
        let has_room = add(&mut self.tape.clock.remaining_ms, reading);
        self.note_reading(has_room);
    }

    fn note_reading(&mut self, has_room: bool) {
        self.size += size_of::<u64>();
        if !has_room {
            self.leave_out(format!("it read a clock more than {READINGS_MAX} times"));
        }
    }
}

fn add<T>(readings: &mut Vec<T>, reading: T) -> bool {
    let has_room = readings.len() < READINGS_MAX;
    if has_room {
        readings.push(reading);
    }
    has_room
}

fn note_dns_fault(record: &mut DnsRecord, fault: &DnsFault) {
    let (fault, text) = match fault {
        DnsFault::NoSuchName => (WorldFault::NoSuchName, ""),
        DnsFault::NoData => (WorldFault::NoData, ""),
        DnsFault::TimedOut => (WorldFault::TimedOut, ""),
        DnsFault::Failed(text) => (WorldFault::Other, text.as_str()),
    };
    (record.fault, record.message) = (Some(fault), text.to_owned());
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// What tells this request from another. A GET has no body, so that its record answers whatever is sent along.
pub(super) fn http_sent(outgoing: &Outgoing) -> HttpSent {
    let bare = outgoing.body.is_empty() && matches!(outgoing.method.as_str(), "GET" | "HEAD");
    let body = (!bare).then(|| Body::from(outgoing.body.clone()));
    HttpSent { method: outgoing.method.clone(), url: outgoing.url.clone(), body }
}

pub(super) fn probe_sent(request: &ProbeRequest) -> ProbeSent {
    ProbeSent {
        endpoint: u32::try_from(request.endpoint).unwrap_or(u32::MAX),
        method: request.method.to_string(),
        path: request.path.clone(),
    }
}

impl CallState {
    /// Lets the witness note something, where there is one.
    pub(super) fn noted(&self, note: impl FnOnce(&mut Witness)) {
        if let Some(witness) = &self.witness {
            note(&mut witness.lock());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::offer::script::Script;

    fn answer(body: &[u8]) -> Incoming {
        Incoming {
            status: 200,
            headers: vec![("x-index".into(), "7".into()), ("Set-Cookie".into(), "session=1".into())],
            body: body.to_vec().into(),
            truncated: false,
            repeats_secret: false,
        }
    }

    fn get(url: &str) -> Outgoing {
        Outgoing {
            method: "GET".into(),
            url: url.into(),
            headers: vec![("x-mine".into(), "of the plugin".into())],
            body: Vec::new(),
        }
    }

    #[test]
    fn what_was_noted_answers_in_its_place() {
        let mut witness = Witness::default();
        let found = Ok(vec![
            ("10.0.0.1".parse().unwrap(), Duration::from_secs(30)),
            ("fd00::1".parse().unwrap(), Duration::from_secs(5)),
        ]);
        let services = Ok(vec![dns::ServiceRecord {
            target: "a".into(),
            port: 1,
            priority: 2,
            weight: 3,
            ttl: Duration::from_secs(9),
        }]);
        witness.addresses("a.test", Family::Any, &found);
        witness.addresses("b.test", Family::V4, &Err(DnsFault::Failed("no server".into())));
        witness.services("_x.test", &services);
        witness.http(http_sent(&get("http://a/")), &Ok(answer(b"[]")));
        witness.http(http_sent(&get("http://b/")), &Err(HttpFault::Tls("expired".into())));
        witness.tape.check().unwrap();
        let text = serde_json::to_string(&witness.tape).unwrap();
        let script = Script::shared(serde_json::from_str(&text).unwrap());
        let mut script = script.lock();
        assert_eq!(script.addresses("a.test", Family::Any), found);
        assert_eq!(script.addresses("b.test", Family::V4), Err(DnsFault::Failed("no server".into())));
        assert_eq!(script.services("_x.test"), services);
        let again = script.http(&get("http://a/")).unwrap();
        assert_eq!((again.status, &again.body[..]), (200, &b"[]"[..]));
        assert_eq!(again.headers, [("x-index".to_owned(), "7".to_owned())], "a cookie is nobody else's");
        assert_eq!(script.http(&get("http://b/")).unwrap_err(), HttpFault::Tls("expired".into()));
        assert!(script.missed.is_empty(), "{:?}", script.missed);
        assert!(!text.contains("x-mine"), "{text}");
    }

    #[test]
    fn state_is_kept_as_it_was_when_the_call_began() {
        let mut witness = Witness::default();
        witness.state_read("a", Some(b"1"));
        witness.state_written("a", true);
        witness.state_read("a", Some(b"2"));
        witness.state_read("b", None);
        witness.state_written("c", true);
        witness.state_read("c", Some(b"3"));
        assert_eq!(witness.tape.state, [("a".to_owned(), Body::from("1"))].into());
        assert_eq!(witness.absent_keys, ["b".to_owned()].into());
        assert_eq!(witness.gap, None);
        witness.state_written("d", false);
        assert!(witness.gap.unwrap().contains("no room for the key \"d\""));
        let mut witness = Witness::default();
        witness.state_read(&"k".repeat(KEY_MAX + 1), None);
        assert_eq!(witness.known_keys.len(), 0, "state has no such key");
        (0..10_000).for_each(|n| witness.state_read(&n.to_string(), None));
        assert_eq!(witness.known_keys.len(), KEYS_MAX);
        assert!(witness.gap.unwrap().contains("more than 1024 keys"));
    }

    #[test]
    fn what_is_too_much_or_secret_leaves_a_gap() {
        let large = vec![b'x'; BODY_MAX + 1];
        let repeating = Incoming { repeats_secret: true, ..answer(b"hunter2") };
        let post = Outgoing { method: "POST".into(), body: large.clone(), ..get("http://a/") };
        for (sent, answer, says) in [
            (get("http://a/"), answer(&large), "the answer to GET http://a/ has 65537 bytes"),
            (post, answer(b""), "the body of POST http://a/ has 65537 bytes"),
        ] {
            let mut witness = Witness::default();
            witness.http(http_sent(&sent), &Ok(answer));
            assert_eq!((witness.gap.as_deref(), witness.tape.is_empty()), (Some(says), true));
        }
        let mut witness = Witness::default();
        witness.http(http_sent(&get("http://a/")), &Ok(repeating));
        assert!(witness.heard_secret && witness.tape.is_empty() && witness.gap.is_none());
        let mut witness = Witness::default();
        (0..=READINGS_MAX as u64).for_each(|reading| witness.wall_ms(reading));
        assert_eq!(witness.tape.clock.wall_ms.len(), READINGS_MAX);
        assert_eq!(witness.gap.as_deref(), Some("it read a clock more than 64 times"));
    }
}
