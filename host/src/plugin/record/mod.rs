//! Calls as data: what a plugin is asked, what the world answers to it, and what it answers.
//!
//! Authors' tests are written in these types, as YAML.

mod answer;
mod body;
mod question;
mod tape;

pub use answer::{Answer, DeclaredFault, EndpointAnswer, Finding, HealthState};
pub use body::Body;
pub use question::{EndpointSubject, Evidence, HealthSubject, Question, ResolveTarget, VersionedGroup};
pub use tape::{
    ClockReadings, DnsRecord, Family, HttpRecord, HttpSent, ProbeRecord, ProbeSent, Response, ServiceRecord,
    Tape, WorldFault,
};
