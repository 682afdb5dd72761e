//! What plugins may import: the `umbel:host` interfaces, with their limits.

use crate::decision::health::{ProbeFault, ProbeRequest};
use crate::plugin::component::bindings::offered::umbel::host::{
    clock, dns, http, log, metrics, probe, state,
};
use crate::plugin::component::call_state::{CallState, Profile};
use crate::plugin::offer::address::{AddressPolicy, Use};
use crate::plugin::offer::counted::{Counted, HasCounted};
use crate::plugin::offer::dns::DnsFault;
use crate::plugin::offer::http_client::{HttpFault, Outgoing, is_reserved};
use crate::plugin::offer::log_gate::{Admission, line};
use crate::plugin::offer::probe_rules::check_target;
use crate::plugin::offer::script::SharedScript;
use crate::plugin::offer::witness::{http_sent, probe_sent};
use hickory_resolver::proto::rr::RecordType;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wasmtime::component::{HasSelf, Linker};

pub(in crate::plugin) const LINES_PER_CALL: u32 = 64;
const LOOKUPS_PER_CALL: u32 = 16;
const REQUESTS_PER_CALL: u32 = 8;
const PROBES_PER_CALL: u32 = 32;
/// Bytes of a name, its last dot included.
const NAME_MAX: usize = 254;
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const PROBE_BODY_MAX: usize = 64 << 10;

/// Offers all of it; which plugin may import what is checked before linking.
///
/// # Errors
/// When the bindings contradict themselves.
pub(in crate::plugin) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    log::add_to_linker::<_, HasCounted>(linker, |state| Counted(state))?;
    clock::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    dns::add_to_linker::<_, HasCounted>(linker, |state| Counted(state))?;
    http::add_to_linker::<_, HasCounted>(linker, |state| Counted(state))?;
    probe::add_to_linker::<_, HasCounted>(linker, |state| Counted(state))?;
    state::add_to_linker::<_, HasCounted>(linker, |state| Counted(state))?;
    metrics::add_to_linker::<_, HasCounted>(linker, |state| Counted(state))
}

impl log::Host for CallState {
    async fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        // Kept even when the line is dropped: it may be the text of the panic that ends the call.
        if level == log::Level::Error || (level == log::Level::Warn && ends_a_program(&message)) {
            self.last_error = Some(line(&message, &fields));
        }
        self.lines += 1;
        if self.lines > LINES_PER_CALL {
            self.count_dropped_line();
            return Ok(());
        }
        if self.script.is_none() && !admits_line(&self.profile) {
            self.count_dropped_line();
            return Ok(());
        }
        show_line(&self.profile, self.script.as_ref(), level, &line(&message, &fields));
        Ok(())
    }
}

/// Whether the line begins Go's explanation for the end of the program; the stacks of the goroutines follow it.
fn ends_a_program(line: &str) -> bool {
    line.starts_with("panic: ") || line.starts_with("fatal error: ")
}

/// Whether the plugin may write a line now. Says how many were dropped before it.
pub(in crate::plugin) fn admits_line(profile: &Profile) -> bool {
    let Admission::Write(dropped) = profile.log.admit(Instant::now()) else { return false };
    if dropped > 0 {
        tracing::warn!(plugin = profile.name, dropped, "the plugin logs too much; lines were dropped");
    }
    true
}

/// Shows a line of a plugin to people, or to whoever runs the script.
pub(in crate::plugin) fn show_line(
    profile: &Profile,
    script: Option<&SharedScript>,
    level: log::Level,
    text: &str,
) {
    if let Some(script) = script {
        script.lock().lines.push((level_name(level), text.to_owned()));
        return;
    }
    let (plugin, generation) = (profile.name.as_str(), profile.generation);
    match level {
        log::Level::Trace => tracing::trace!(plugin, generation, said = text, "a plugin says"),
        log::Level::Debug => tracing::debug!(plugin, generation, said = text, "a plugin says"),
        log::Level::Info => tracing::info!(plugin, generation, said = text, "a plugin says"),
        log::Level::Warn => tracing::warn!(plugin, generation, said = text, "a plugin says"),
        log::Level::Error => tracing::error!(plugin, generation, said = text, "a plugin says"),
    }
}

fn level_name(level: log::Level) -> &'static str {
    match level {
        log::Level::Trace => "trace",
        log::Level::Debug => "debug",
        log::Level::Info => "info",
        log::Level::Warn => "warn",
        log::Level::Error => "error",
    }
}

impl clock::Host for CallState {
    async fn wall_ms(&mut self) -> wasmtime::Result<u64> {
        if let Some(recorded) = self.recorded_wall_ms() {
            return Ok(recorded);
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let reading = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.noted(|witness| witness.wall_ms(reading));
        Ok(reading)
    }

    async fn monotonic_us(&mut self) -> wasmtime::Result<u64> {
        if let Some(recorded) = self.recorded_monotonic_us() {
            return Ok(recorded);
        }
        let reading = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.noted(|witness| witness.monotonic_us(reading));
        Ok(reading)
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<u32> {
        if let Some(recorded) = self.recorded_remaining_ms() {
            return Ok(recorded);
        }
        let reading = u32::try_from(self.remaining().as_millis()).unwrap_or(u32::MAX);
        self.noted(|witness| witness.remaining_ms(reading));
        Ok(reading)
    }
}

impl CallState {
    fn admit_lookup(&mut self, name: &str) -> Result<(), dns::Fault> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_PER_CALL {
            return Err(dns::Fault::Denied(format!("a call may look up {LOOKUPS_PER_CALL} names")));
        }
        if name.len() > NAME_MAX {
            return Err(dns::Fault::Denied(format!(
                "a name of {} bytes; {NAME_MAX} are the limit",
                name.len()
            )));
        }
        if self.profile.manifest.spec.grants.dns.iter().any(|pattern| pattern.matches(name)) {
            return Ok(());
        }
        Err(dns::Fault::Denied(format!("{name:?} is not granted; add it to spec.grants.dns of the manifest")))
    }
}

impl dns::Host for CallState {
    async fn addresses(
        &mut self,
        name: String,
        family: dns::Family,
    ) -> wasmtime::Result<Result<Vec<dns::Address>, dns::Fault>> {
        if let Err(fault) = self.admit_lookup(&name) {
            return Ok(Err(fault));
        }
        let kinds: &[RecordType] = match family {
            dns::Family::Any => &[RecordType::A, RecordType::AAAA],
            dns::Family::V4 => &[RecordType::A],
            dns::Family::V6 => &[RecordType::AAAA],
        };
        let limit = self.time_limit(LOOKUP_LIMIT, None);
        let found = self.find_addresses(&name, kinds, limit).await;
        let found = found.map_err(dns_fault);
        let allowed = found.and_then(|found| allowed(&name, found, self.address_policy()));
        let address =
            |(ip, ttl): (IpAddr, Duration)| dns::Address { ip: ip.to_string(), ttl_ms: millis(ttl) };
        Ok(allowed.map(|allowed| allowed.into_iter().map(address).collect()))
    }

    async fn services(&mut self, name: String) -> wasmtime::Result<Result<Vec<dns::Service>, dns::Fault>> {
        if let Err(fault) = self.admit_lookup(&name) {
            return Ok(Err(fault));
        }
        let limit = self.time_limit(LOOKUP_LIMIT, None);
        let found = self.find_services(&name, limit).await;
        Ok(found.map_err(dns_fault).map(|found| {
            let service = |record: crate::plugin::offer::dns::ServiceRecord| dns::Service {
                target: record.target,
                port: record.port,
                priority: record.priority,
                weight: record.weight,
                ttl_ms: millis(record.ttl),
            };
            found.into_iter().map(service).collect()
        }))
    }
}

/// The addresses that the policy allows.
pub(in crate::plugin) fn allowed(
    name: &str,
    found: Vec<(IpAddr, Duration)>,
    policy: AddressPolicy<'_>,
) -> Result<Vec<(IpAddr, Duration)>, dns::Fault> {
    let mut refused = None;
    let mut allowed = Vec::with_capacity(found.len());
    for (ip, ttl) in found {
        match policy.judge(ip, None, Use::Backend) {
            Ok(()) => allowed.push((ip, ttl)),
            Err(refusal) => refused = Some((ip, refusal)),
        }
    }
    match refused.filter(|_| allowed.is_empty()) {
        None => Ok(allowed),
        Some((ip, refusal)) => {
            Err(dns::Fault::Denied(format!("{name:?} leads to {ip}, {refusal}: {}", refusal.mend())))
        }
    }
}

fn dns_fault(fault: DnsFault) -> dns::Fault {
    match fault {
        DnsFault::NoSuchName => dns::Fault::NoSuchName,
        DnsFault::NoData => dns::Fault::NoData,
        DnsFault::TimedOut => dns::Fault::TimedOut,
        DnsFault::Failed(cause) => dns::Fault::Failed(cause),
    }
}

impl http::Host for CallState {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::Fault>> {
        self.requests += 1;
        if self.requests > REQUESTS_PER_CALL {
            return Ok(Err(http::Fault::Budget));
        }
        let spec = &self.profile.manifest.spec;
        let secret = match request.credential.as_deref().map(|name| (name, spec.secrets.get(name))) {
            None => None,
            Some((_, Some(secret))) => Some(secret),
            Some((name, None)) => {
                let text = format!("secret {name:?} is not in spec.secrets of the manifest");
                return Ok(Err(http::Fault::Denied(text)));
            }
        };
        let limit = self.time_limit(REQUEST_LIMIT, request.timeout_ms);
        let outgoing = Outgoing {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body.unwrap_or_default(),
        };
        let answer = if self.script.is_some() {
            self.send_recorded(outgoing).await
        } else {
            let noted = self.witness.is_some().then(|| http_sent(&outgoing));
            let sent = self.outside.http.send(
                outgoing,
                secret,
                &spec.grants,
                (&self.outside.dns, &self.outside.own),
            );
            let late = |_| HttpFault::TimedOut(format!("no answer within {} ms", limit.as_millis()));
            let answer = tokio::time::timeout(limit, sent).await.map_err(late).flatten();
            if let Some(request) = noted {
                self.noted(|witness| witness.http(request, &answer));
            }
            answer
        };
        Ok(answer.map_err(http_fault).map(|answer| http::Response {
            status: answer.status,
            headers: answer.headers,
            body: answer.body.into(),
            truncated: answer.truncated,
            extra: Vec::new(),
        }))
    }
}

fn http_fault(fault: HttpFault) -> http::Fault {
    match fault {
        HttpFault::Denied(text) => http::Fault::Denied(text),
        HttpFault::TimedOut(text) => http::Fault::TimedOut(text),
        HttpFault::Connect(text) => http::Fault::Connect(text),
        HttpFault::Tls(text) => http::Fault::Tls(text),
        HttpFault::Protocol(text) => http::Fault::Protocol(text),
    }
}

impl probe::Host for CallState {
    async fn send(
        &mut self,
        request: probe::Request,
    ) -> wasmtime::Result<Result<probe::Response, probe::Fault>> {
        let limit = self.time_limit(PROBE_LIMIT, request.timeout_ms);
        let Some(gate) = self.probes.as_mut() else {
            return Ok(Err(probe::Fault::Denied("probes belong to health checks".to_owned())));
        };
        gate.sent += 1;
        if gate.sent > PROBES_PER_CALL {
            return Ok(Err(probe::Fault::Budget));
        }
        let granted = &self.profile.manifest.spec.grants.probe;
        if let Err(text) = check_target(&request.path, &gate.own_path, granted) {
            return Ok(Err(probe::Fault::Denied(text)));
        }
        let request = match checked(request, gate.endpoints, limit) {
            Ok(request) => request,
            Err(text) => return Ok(Err(probe::Fault::Denied(text))),
        };
        let noted = self.witness.is_some().then(|| probe_sent(&request));
        let answer = gate.send(request).await;
        if let (Some(request), Some(answer)) = (noted, &answer) {
            self.noted(|witness| witness.probe(request, answer));
        }
        Ok(match answer {
            None => Err(probe::Fault::Other("nobody waits for this judgement any more".to_owned())),
            Some(Err(fault)) => Err(probe_fault(fault)),
            Some(Ok(response)) => Ok(probe::Response {
                status: response.status,
                headers: response.headers,
                body: response.body.into(),
                truncated: response.truncated,
                first_byte_us: u32::try_from(response.first_byte.as_micros()).unwrap_or(u32::MAX),
                extra: Vec::new(),
            }),
        })
    }
}

fn checked(request: probe::Request, endpoints: usize, limit: Duration) -> Result<ProbeRequest, String> {
    let method = match request.method.as_str() {
        "GET" => ::http::Method::GET,
        "HEAD" => ::http::Method::HEAD,
        other => return Err(format!("method {other:?} may not be sent; use GET or HEAD")),
    };
    let endpoint = usize::try_from(request.endpoint).unwrap_or(usize::MAX);
    if endpoint >= endpoints {
        return Err(format!("endpoint {} does not exist; the subject has {endpoints}", request.endpoint));
    }
    if let Some((name, _)) = request.headers.iter().find(|(name, _)| {
        is_reserved(name) || name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("cookie")
    }) {
        return Err(format!("header {name:?} may not be set by a plugin"));
    }
    let asked = request.body_max.and_then(|max| usize::try_from(max).ok()).unwrap_or(PROBE_BODY_MAX);
    Ok(ProbeRequest {
        endpoint,
        method,
        path: request.path,
        headers: request.headers,
        timeout: limit,
        body_max: asked.min(PROBE_BODY_MAX),
    })
}

fn probe_fault(fault: ProbeFault) -> probe::Fault {
    match fault {
        ProbeFault::Refused(text) => probe::Fault::Denied(text),
        ProbeFault::TimedOut(text) => probe::Fault::TimedOut(text),
        ProbeFault::Connect(text) => probe::Fault::Connect(text),
        ProbeFault::Tls(text) => probe::Fault::Tls(text),
        ProbeFault::Protocol(text) => probe::Fault::Protocol(text),
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::health::Subject;
    use crate::plugin::component::budget::Facet;
    use crate::plugin::component::call_state::Outside;
    use crate::plugin::component::runner::Surroundings;
    use crate::plugin::offer::probe_gate::{self, ProbeGate};
    use crate::plugin::source::manifest::Manifest;
    use parking_lot::Mutex;
    use std::io::Write;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn state(manifest: &str, probes: Option<ProbeGate>) -> CallState {
        let head = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: ";
        let manifest = Manifest::parse("p", &format!("{head}{manifest}\n")).unwrap();
        let budget = Facet::Health.budget(&manifest.spec.limits);
        let profile = Arc::new(Profile::new("p", 1, manifest));
        let surroundings = Surroundings { probes, ..Surroundings::default() };
        CallState::new(profile, Arc::new(Outside::new(&[], Vec::new())), surroundings, &budget)
    }

    fn probe_request(path: &str) -> probe::Request {
        probe::Request {
            endpoint: 0,
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            timeout_ms: None,
            body_max: None,
            extra: Vec::new(),
        }
    }

    #[test]
    fn a_call_may_look_up_so_many_names_and_only_those_that_are_granted() {
        let mut state = state("{grants: {dns: ['*.test']}}", None);
        for _ in 0..LOOKUPS_PER_CALL - 1 {
            state.admit_lookup("a.test").unwrap();
        }
        let long = format!("{}.test", "a".repeat(NAME_MAX));
        let refused = state.admit_lookup(&long).unwrap_err();
        assert!(format!("{refused:?}").contains("254 are the limit"), "{refused:?}");
        let refused = state.admit_lookup("a.test").unwrap_err();
        assert!(format!("{refused:?}").contains("a call may look up 16 names"), "{refused:?}");
        let refused = self::state("{}", None).admit_lookup("a.test").unwrap_err();
        assert!(format!("{refused:?}").contains("is not granted"), "{refused:?}");
    }

    #[tokio::test]
    async fn a_call_may_send_so_many_requests_and_probes() {
        let (gate, _desk) = probe_gate::channel(&Subject::default());
        let mut state = state("{}", Some(gate));
        let request = || http::Request {
            method: "GET".to_owned(),
            url: "https://a.test/".to_owned(),
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            credential: None,
            extra: Vec::new(),
        };
        for _ in 0..REQUESTS_PER_CALL {
            let refused = http::Host::send(&mut state, request()).await.unwrap();
            assert!(matches!(refused, Err(http::Fault::Denied(_))), "nothing is granted");
        }
        let refused = http::Host::send(&mut state, request()).await.unwrap();
        assert!(matches!(refused, Err(http::Fault::Budget)), "{refused:?}");
        for _ in 0..PROBES_PER_CALL {
            let refused = probe::Host::send(&mut state, probe_request("/secret")).await.unwrap();
            assert!(matches!(refused, Err(probe::Fault::Denied(_))), "nothing is granted");
        }
        let refused = probe::Host::send(&mut state, probe_request("/healthz")).await.unwrap();
        assert!(matches!(refused, Err(probe::Fault::Budget)), "{refused:?}");
    }

    #[test]
    fn a_probe_has_the_form_of_one() {
        let judged = |request| checked(request, 2, PROBE_LIMIT);
        let plain = judged(probe_request("/healthz")).unwrap();
        assert_eq!((plain.body_max, plain.timeout), (PROBE_BODY_MAX, PROBE_LIMIT));
        let body_max =
            |max| judged(probe::Request { body_max: Some(max), ..probe_request("/") }).unwrap().body_max;
        assert_eq!((body_max(7), body_max(u32::MAX)), (7, PROBE_BODY_MAX));
        assert!(judged(probe::Request { endpoint: 1, ..probe_request("/") }).is_ok());
        for endpoint in [2, 3, u32::MAX] {
            let refused = judged(probe::Request { endpoint, ..probe_request("/") }).unwrap_err();
            assert!(refused.contains("the subject has 2"), "{refused}");
        }
        for header in ["Authorization", "cookie", "Host", "X-Remote-User", "x_remote_group", "Content-Length"]
        {
            let headers = vec![(header.to_owned(), "v".to_owned())];
            let refused = judged(probe::Request { headers, ..probe_request("/") }).unwrap_err();
            assert!(refused.contains("may not be set"), "{refused}");
        }
        for method in ["POST", "get", ""] {
            judged(probe::Request { method: method.to_owned(), ..probe_request("/") }).unwrap_err();
        }
    }

    #[test]
    fn a_line_cannot_pass_for_one_of_another_plugin() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        let profile = Profile::new("mine", 3, Manifest::absent());
        tracing::subscriber::with_default(subscriber.finish(), || {
            show_line(&profile, None, log::Level::Info, "hello plugin=\"other\" generation=9");
        });
        let text = String::from_utf8(written.0.lock().clone()).unwrap();
        assert!(text.contains("plugin=\"mine\" generation=3"), "{text}");
        assert!(text.contains("said=\"hello plugin=\\\"other\\\" generation=9\""), "{text}");
        assert_eq!(text.matches("plugin=\"").count(), 1, "{text}");
    }

    #[test]
    fn a_plugin_may_write_so_many_lines_a_second() {
        let state = state("{}", None);
        let admitted = (0..1_000).take_while(|_| admits_line(&state.profile)).count();
        assert!((200..1_000).contains(&admitted), "{admitted}");
    }
}
