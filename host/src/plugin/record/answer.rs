//! What a plugin answers.

use super::body::Body;
use serde::{Deserialize, Serialize};

/// One answer of a plugin, in the words of its WIT interface, before the host judges it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Answer {
    /// Where a service is.
    Resolution {
        /// The places.
        endpoints: Vec<EndpointAnswer>,
        /// For how long nobody needs to ask again, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fresh_ms: Option<u32>,
        /// For how long the answer may serve when asking again fails, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stale_ms: Option<u32>,
    },
    /// A judgement.
    Verdict {
        /// The state.
        state: HealthState,
        /// Condition reason.
        reason: String,
        /// Condition message.
        #[serde(default)]
        message: String,
        /// What was seen at single endpoints.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        findings: Vec<Finding>,
        /// When to ask again, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_ms: Option<u32>,
        /// What the plugin wants back the next time.
        #[serde(default, skip_serializing_if = "Body::is_empty")]
        memory: Body,
    },
    /// The group stays as it is.
    Keep,
    /// The group is served so.
    Replace {
        /// One `APIGroupDiscovery` as JSON text.
        group: String,
    },
    /// The group is not listed.
    Hide {
        /// Why, for people.
        reason: String,
    },
    /// A new order of groups; none keeps the present one.
    Order {
        /// The names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        groups: Option<Vec<String>>,
    },
    /// A fault that the plugin declares. It is an answer, not a failure of the plugin.
    Fault {
        /// Which one.
        fault: DeclaredFault,
        /// Its text, where it has one.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    },
}

/// One place in a resolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointAnswer {
    /// DNS name or IP literal.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Lower is preferred.
    #[serde(default)]
    pub priority: u16,
    /// Share of the traffic.
    #[serde(default)]
    pub weight: u16,
    /// The name to verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// What was seen at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finding {
    /// Index into the endpoints of the subject.
    pub endpoint: u32,
    /// Its state.
    pub state: HealthState,
    /// In words.
    #[serde(default)]
    pub message: String,
}

/// How a backend is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthState {
    /// Nobody knows.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It answers badly and still counts as available.
    Degraded,
    /// It does not answer.
    Down,
}

/// The faults that a plugin can declare, of all kinds of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeclaredFault {
    /// Another one may try.
    NotMine,
    /// Resolvers: there is no such service.
    NotFound,
    /// Resolvers: the target cannot be understood.
    Invalid,
    /// Resolvers: the answer cannot be had now.
    Unavailable,
    /// Health checkers: could not tell.
    Inconclusive,
    /// Anything else.
    Other,
}
