//! Test kit: starts Umbel, kubectl and real API servers, and waits for conditions.
//!
//! Everything a test starts listens on a free loopback port, keeps its files in a temporary directory and dies
//! with the value that stands for it.

mod author;
pub mod authority;
mod client;
mod components;
mod connection;
mod dns_server;
mod etcd;
mod guests;
mod kubectl;
mod memory;
pub mod multi_memory;
mod normalise;
mod openapi_documents;
mod peers;
mod port;
mod process;
mod python_backend;
mod raw_backend;
mod reasons;
mod registration;
mod replay;
mod sample_api_server;
mod silent_mount;
mod stoppable;
pub mod tls_backend;
mod umbel;
mod wait;

pub use author::{Author, AuthorLanguage, Step, first_ten_minutes};
pub use client::{Answer, Client, Lines};
pub use components::{large_component_of_all_kinds, looping_component, trapping_component};
pub use connection::{Asking, Connection};
pub use dns_server::{DnsServer, Record};
pub use etcd::Etcd;
pub use guests::Guest;
pub use kubectl::{Kubectl, Output};
pub use memory::Memory;
pub use openapi_documents::{many_definitions, shared_parts};
pub use peers::{Missing, Peer, need};
pub use port::ReservedPort;
pub use process::Process;
pub use python_backend::PythonBackend;
pub use raw_backend::{Far, RawBackend, read_head};
pub use reasons::{reasons_page, reasons_path};
pub use registration::{register_backend, resource_list};
pub use replay::{Answering, Case, Difference, Outcome, Recording};
pub use sample_api_server::SampleApiServer;
pub use silent_mount::SilentMount;
pub use stoppable::{StoppableBackend, Stopped};
pub use umbel::{Umbel, umbel_program};
pub use wait::{Hopeless, wait_for};
