//! Does a backend count as available?

use super::resolver::Endpoint;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// What the host knows already from the discovery document that all APIServices of a backend share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// The backend has no aggregated discovery, or it could not be had.
    #[default]
    None,
    /// The backend's aggregated discovery, asked for in this round, lists the group-version.
    Listed,
    /// It was answered and does not list the group-version.
    NotListed,
}

/// What is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Name of the APIService, for example `v1.example.com`.
    pub api_service: String,
    /// Its group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Where its backend listens.
    pub endpoints: Vec<Endpoint>,
    /// How many judgements came before this one, so that a checker without a memory can count.
    pub round: u32,
    /// The verdict before this one.
    pub was: State,
    /// What this round's shared request told, so that most judgements cost no request of their own.
    pub evidence: Evidence,
}

/// How a backend is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nobody knows.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It answers badly, and still counts as available.
    Degraded,
    /// It does not answer.
    Down,
}

/// The judgement. `Up` and `Degraded` become `Available=True`, `Down` becomes `False`, `Unknown` stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// Condition reason in CamelCase, for example `Passed` or `FailedDiscoveryCheck`.
    pub reason: String,
    /// Condition message.
    pub message: String,
    /// When to ask again; `None` leaves it to the host.
    pub next: Option<Duration>,
}

/// Why there is no judgement; the previous verdict stands unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealthFault {
    /// This checker does not handle the subject.
    #[error("no checker handles this APIService")]
    NotMine,
    /// Nobody stands for the verdict before any more: it becomes `Unknown`.
    #[error("{0}")]
    Lapsed(String),
    /// Could not tell.
    #[error("{0}")]
    Inconclusive(String),
}

/// A request to one of the subject's endpoints.
#[derive(Clone, Debug)]
pub struct ProbeRequest {
    /// Index into [`Subject::endpoints`].
    pub endpoint: usize,
    /// `GET` or `HEAD`.
    pub method: http::Method,
    /// Path and query, starting with `/`.
    pub path: String,
    /// Further headers; identity and hop-by-hop headers are refused.
    pub headers: Vec<(String, String)>,
    /// Limit for the whole exchange.
    pub timeout: Duration,
    /// How much of the body to keep, in bytes.
    pub body_max: usize,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct ProbeResponse {
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: Vec<(String, String)>,
    /// The body, at most `body_max` bytes of it.
    pub body: bytes::Bytes,
    /// Whether more followed.
    pub truncated: bool,
    /// Time to the first byte of the answer.
    pub first_byte: Duration,
}

/// Why nothing came back, told apart as a person would want it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFault {
    /// The index names no endpoint, or the request may not be sent.
    #[error("{0}")]
    Refused(String),
    /// The time ran out.
    #[error("{0}")]
    TimedOut(String),
    /// No connection.
    #[error("{0}")]
    Connect(String),
    /// No TLS session.
    #[error("{0}")]
    Tls(String),
    /// No HTTP answer.
    #[error("{0}")]
    Protocol(String),
}

/// Sends probes over the same TLS and identity as traffic. Given to a checker by the host.
pub trait Prober: Send + Sync {
    /// Sends one probe.
    fn send(&self, request: ProbeRequest) -> BoxFuture<'_, Result<ProbeResponse, ProbeFault>>;
}

/// Judges a backend.
pub trait HealthChecker: Send + Sync {
    /// Judges once. Must return within its own time limit.
    fn check<'a>(
        &'a self,
        subject: &'a Subject,
        prober: &'a dyn Prober,
    ) -> BoxFuture<'a, Result<Verdict, HealthFault>>;
}
