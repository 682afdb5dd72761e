//! The data plane between real TLS clients and real TLS backends, all in this process.

mod bodies;
mod endpoints;
mod faults;
mod frames;
mod heads;
mod identity;
mod lifetime;
mod plane;
mod refusals;
mod repeats;
mod stalls;
mod upgrades;
mod windows;

pub(crate) use umbel_tests::{authority as pki, tls_backend as backend};
