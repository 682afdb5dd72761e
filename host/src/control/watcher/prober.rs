//! Probes of one round: all subjects of a backend share its connections and its connection faults.

use crate::control::client::{Answer, ControlClient, Question};
use crate::decision::builtin::status_meaning;
use crate::decision::health::{ProbeFault, ProbeRequest, ProbeResponse, Prober};
use crate::route::Backend;
use crate::upstream::UpstreamFault;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, header};
use parking_lot::Mutex;
use std::pin::pin;
use std::time::Duration;

/// Limit for opening a connection (contract appendix B: probe 5 s).
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The same when there is a reason to suspect that the backend is gone.
const DOUBT_LIMIT: Duration = Duration::from_secs(4);
/// Longest time that a checker may ask a probe to take.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// An endpoint that accepts requests and leaves so many in a row unanswered answers none in this round.
const SILENCES_MAX: u32 = 3;
/// A time-out shorter than this says nothing about the endpoint.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of a group-version's own document is read, in bytes.
pub(super) const OWN_DOCUMENT_MAX: usize = 32 * 1024 * 1024;
/// How much of any other answer a checker may see, in bytes.
const BODY_MAX: usize = 1024 * 1024;
/// What Go says when its client gives up; people search for it.
const TIMED_OUT: &str = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";

/// The identity of the control plane towards backends (contract appendix C).
pub(in crate::control) fn identity() -> Vec<(HeaderName, HeaderValue)> {
    vec![
        (HeaderName::from_static("x-remote-user"), HeaderValue::from_static("system:kube-aggregator")),
        (HeaderName::from_static("x-remote-group"), HeaderValue::from_static("system:masters")),
        (header::USER_AGENT, HeaderValue::from_static(concat!("umbel/", env!("CARGO_PKG_VERSION")))),
    ]
}

/// One round of probes.
pub(super) struct Round<'a> {
    client: &'a ControlClient,
    /// By endpoint: why it cannot be connected to, or does not answer. Nobody asks it again in this round.
    down: Mutex<Vec<Option<UpstreamFault>>>,
    /// By endpoint: how many requests in a row ran out of time.
    silences: Mutex<Vec<u32>>,
}

impl<'a> Round<'a> {
    pub(super) fn new(client: &'a ControlClient) -> Self {
        let down = Mutex::new(vec![None; client.backend().endpoints.len()]);
        let silences = Mutex::new(vec![0; client.backend().endpoints.len()]);
        Self { client, down, silences }
    }

    pub(super) fn backend(&self) -> &Backend {
        self.client.backend()
    }

    /// Connects to an endpoint that can be connected to and returns its index, or the last fault. The endpoints are
    /// tried one after another, but all at once when the backend is suspected to be gone: the time until it counts as
    /// unavailable must not grow with their number.
    pub(super) async fn connect(&self, is_doubted: bool) -> Result<usize, UpstreamFault> {
        let count = self.client.backend().endpoints.len();
        let (limit, at_once) = if is_doubted { (DOUBT_LIMIT, count.max(1)) } else { (CONNECT_LIMIT, 1) };
        let attempts = (0..count).map(|endpoint| async move {
            let opened = match self.known_fault(endpoint) {
                Some(fault) => Err(fault),
                None => self.client.open(endpoint, limit).await,
            };
            (endpoint, opened)
        });
        let mut attempts = pin!(futures_util::stream::iter(attempts).buffer_unordered(at_once));
        let mut last = UpstreamFault::Closed("the service has no endpoint".to_owned());
        while let Some((endpoint, opened)) = attempts.next().await {
            match opened {
                Ok(()) => return Ok(endpoint),
                Err(fault) => {
                    self.mark(endpoint, &fault);
                    last = fault;
                }
            }
        }
        Err(last)
    }

    /// Whether the last request to an endpoint exceeded a reasonable time.
    pub(super) fn is_silent(&self, endpoint: usize) -> bool {
        self.silences.lock().get(endpoint).is_some_and(|count| *count > 0)
    }

    /// Sends a request unless its endpoint is known to be down.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Answer, UpstreamFault> {
        if let Some(fault) = self.known_fault(question.endpoint) {
            return Err(fault);
        }
        let answer = self.client.ask(question).await;
        let is_silent = self.count_silence(question, &answer) >= SILENCES_MAX;
        if let Err(fault) = &answer
            && (is_silent || is_about_connecting(fault))
        {
            self.mark(question.endpoint, fault);
        }
        answer
    }

    /// Counts how often an endpoint did not answer in a reasonable time since it last did.
    fn count_silence(&self, question: &Question<'_>, answer: &Result<Answer, UpstreamFault>) -> u32 {
        let mut silences = self.silences.lock();
        let Some(count) = silences.get_mut(question.endpoint) else { return 0 };
        match answer {
            Err(UpstreamFault::TimedOut { .. }) if question.limit >= PATIENCE => *count += 1,
            Err(UpstreamFault::TimedOut { .. }) => {}
            Ok(_) | Err(_) => *count = 0,
        }
        *count
    }

    fn known_fault(&self, endpoint: usize) -> Option<UpstreamFault> {
        self.down.lock().get(endpoint).cloned().flatten()
    }

    fn mark(&self, endpoint: usize, fault: &UpstreamFault) {
        if let Some(slot) = self.down.lock().get_mut(endpoint) {
            *slot = Some(fault.clone());
        }
    }
}

fn is_about_connecting(fault: &UpstreamFault) -> bool {
    !matches!(
        fault,
        UpstreamFault::TimedOut { .. }
            | UpstreamFault::Silent
            | UpstreamFault::Closed(_)
            | UpstreamFault::Protocol(_)
    )
}

/// The probes of one subject.
pub(super) struct SubjectProber<'a> {
    round: &'a Round<'a>,
    own_path: &'a str,
    seen: Mutex<Seen>,
}

/// What the probes of a subject saw.
#[derive(Default)]
pub(super) struct Seen {
    /// The last fault, for clients: without addresses.
    pub(super) trouble: Option<String>,
    /// The answer of the own path, where it was had.
    pub(super) own: Option<Answer>,
    /// Whether somebody asked for the own path.
    pub(super) asked_own: bool,
}

impl<'a> SubjectProber<'a> {
    pub(super) fn new(round: &'a Round<'a>, own_path: &'a str) -> Self {
        Self { round, own_path, seen: Mutex::default() }
    }

    /// What was seen.
    pub(super) fn into_seen(self) -> Seen {
        self.seen.into_inner()
    }

    /// Asks for the own path as discovery needs it, unless a probe did so already.
    pub(super) async fn fetch_own(&self) {
        if !self.seen.lock().asked_own {
            let request = ProbeRequest {
                endpoint: 0,
                method: Method::GET,
                path: self.own_path.to_owned(),
                headers: Vec::new(),
                timeout: CONNECT_LIMIT,
                body_max: 0,
            };
            // What came back, or why nothing did, lies in `seen`.
            drop(self.probe(request).await);
        }
    }

    async fn probe(&self, request: ProbeRequest) -> Result<ProbeResponse, ProbeFault> {
        let is_own =
            request.method == Method::GET && request.path == self.own_path && request.headers.is_empty();
        let mut headers = check(&request)?;
        headers.extend(identity());
        if is_own {
            self.seen.lock().asked_own = true;
            headers.push((header::ACCEPT, HeaderValue::from_static("application/json")));
        }
        let wanted = request.body_max.min(BODY_MAX);
        let question = Question {
            endpoint: request.endpoint,
            method: request.method,
            path: &request.path,
            headers,
            limit: request.timeout.min(PROBE_LIMIT),
            body_max: if is_own { OWN_DOCUMENT_MAX } else { wanted },
        };
        match self.round.ask(&question).await {
            Ok(answer) => {
                let response = respond(&answer, wanted);
                self.note(&answer, is_own);
                if is_own {
                    self.seen.lock().own = Some(answer);
                }
                Ok(response)
            }
            Err(fault) => {
                self.seen.lock().trouble = Some(fault.for_client());
                Err(name(&fault))
            }
        }
    }

    fn note(&self, answer: &Answer, is_own: bool) {
        let status = answer.status;
        let is_good = (200..300).contains(&status);
        self.seen.lock().trouble = (!is_good).then(|| {
            let meaning = status_meaning(status, self.own_path).filter(|_| is_own);
            let meaning = meaning.map(|meaning| format!(": {meaning}")).unwrap_or_default();
            format!("the backend answered its health check with {status}{meaning}")
        });
    }
}

impl Prober for SubjectProber<'_> {
    fn send(&self, request: ProbeRequest) -> BoxFuture<'_, Result<ProbeResponse, ProbeFault>> {
        Box::pin(self.probe(request))
    }
}

fn respond(answer: &Answer, wanted: usize) -> ProbeResponse {
    let headers = answer.headers.iter();
    ProbeResponse {
        status: answer.status,
        headers: headers
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect(),
        body: answer.body.slice(..wanted.min(answer.body.len())),
        truncated: answer.truncated || answer.body.len() > wanted,
        first_byte: answer.first_byte,
    }
}

/// Converts the headers of a probe, or says why it may not be sent.
fn check(request: &ProbeRequest) -> Result<Vec<(HeaderName, HeaderValue)>, ProbeFault> {
    if request.method != Method::GET && request.method != Method::HEAD {
        return Err(ProbeFault::Refused(format!("a probe may be GET or HEAD, not {}", request.method)));
    }
    if !request.path.starts_with('/') {
        return Err(ProbeFault::Refused(format!("the path {:?} does not start with '/'", request.path)));
    }
    let mut headers = Vec::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        let refused = |why: &str| ProbeFault::Refused(format!("the header {name:?} {why}"));
        let name = HeaderName::try_from(name.as_str()).map_err(|_| refused("is no header name"))?;
        if is_reserved(name.as_str()) {
            return Err(refused("belongs to the host"));
        }
        let value = HeaderValue::try_from(value.as_str()).map_err(|_| refused("has an unusable value"))?;
        headers.push((name, value));
    }
    Ok(headers)
}

fn is_reserved(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["x-remote-", "impersonate-", "x-forwarded-"];
    const NAMES: [&str; 11] = [
        "authorization",
        "host",
        "connection",
        "content-length",
        "cookie",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

fn name(fault: &UpstreamFault) -> ProbeFault {
    let text = fault.to_string();
    match fault {
        UpstreamFault::TimedOut { .. } | UpstreamFault::Silent => ProbeFault::TimedOut(TIMED_OUT.to_owned()),
        UpstreamFault::Closed(_) | UpstreamFault::Protocol(_) => ProbeFault::Protocol(text),
        UpstreamFault::Lookup { .. }
        | UpstreamFault::Refused { .. }
        | UpstreamFault::Unreachable { .. }
        | UpstreamFault::Dial { .. } => ProbeFault::Connect(text),
        _ => ProbeFault::Tls(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::watcher::tests::backend;
    use std::sync::Arc;
    use tokio::net::TcpListener;

    fn request(method: Method, path: &str, header: Option<&str>) -> ProbeRequest {
        ProbeRequest {
            endpoint: 0,
            method,
            path: path.into(),
            headers: header.map(|name| (name.to_owned(), "x".to_owned())).into_iter().collect(),
            timeout: Duration::from_secs(1),
            body_max: 0,
        }
    }

    #[tokio::test]
    async fn endpoints_of_a_suspected_backend_are_tried_at_once() {
        let mut silent = Vec::new();
        for _ in 0..4 {
            silent.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let ports: Vec<u16> = silent.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let client = ControlClient::new(Arc::new(backend(&ports)));
        let round = Round::new(&client);
        let connecting = round.connect(true);
        let accepted = futures_util::future::join_all(silent.iter().map(TcpListener::accept));
        // The first endpoint keeps the connection open and silent, and the others are dialed all the same.
        tokio::select! {
            outcome = connecting => panic!("no endpoint answers, and yet: {outcome:?}"),
            accepted = accepted => assert_eq!(accepted.iter().flatten().count(), 4),
        }
    }

    #[test]
    fn a_checker_cannot_pose_as_somebody_else() {
        for name in ["X-Remote-User", "Authorization", "Impersonate-User", "Host", "X-Forwarded-For"] {
            let fault = check(&request(Method::GET, "/", Some(name))).unwrap_err();
            assert!(matches!(fault, ProbeFault::Refused(_)), "{name}");
        }
        assert!(check(&request(Method::GET, "/x", Some("Accept"))).is_ok());
        assert!(check(&request(Method::POST, "/x", None)).is_err());
        assert!(check(&request(Method::GET, "x", None)).is_err());
    }
}
