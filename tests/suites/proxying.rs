//! The data plane between real TLS clients and real TLS backends, all in this process.

mod backend;
mod bodies;
mod faults;
mod identity;
mod lifetime;
mod pki;
mod plane;
mod upgrades;
