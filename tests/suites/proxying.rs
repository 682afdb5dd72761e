//! The data plane between real TLS clients and real TLS backends, all in this process.

pub(crate) mod backend;
mod bodies;
mod endpoints;
mod faults;
mod frames;
mod heads;
mod identity;
mod lifetime;
pub(crate) mod pki;
mod plane;
mod refusals;
mod repeats;
mod stalls;
mod upgrades;
mod windows;
