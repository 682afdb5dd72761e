//! Calls as data: what a plugin is asked, what the world answers to it, and what it answers.
//!
//! Authors' tests are written in these types, as YAML. A gateway keeps the last calls of each plugin, shows them in
//! these types, and rehearses a new component with them before it may serve.

mod answer;
mod body;
pub(in crate::plugin) mod difference;
pub(in crate::plugin) mod exchange;
mod question;
pub(in crate::plugin) mod ring;
mod tape;
pub(in crate::plugin) mod translate;

pub use answer::{Answer, DeclaredFault, EndpointAnswer, Finding, HealthState};
pub use body::Body;
pub use question::{EndpointSubject, Evidence, HealthSubject, Question, ResolveTarget, VersionedGroup};
pub use tape::{
    ClockReadings, DnsRecord, Family, HttpRecord, HttpSent, ProbeRecord, ProbeSent, Response, ServiceRecord,
    Tape, WorldFault,
};
