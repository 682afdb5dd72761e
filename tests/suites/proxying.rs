//! The data plane between real TLS clients and real TLS backends, all in this process.

mod bodies;
mod breaking;
mod endings;
mod endpoints;
mod faults;
mod frames;
mod framing;
mod header_blocks;
mod heads;
mod identity;
pub(crate) mod interim;
mod lifetime;
mod once;
mod plane;
mod raw;
mod refusals;
mod repeats;
mod silence;
mod stalls;
mod trailers;
mod unread;
mod unread_bodies;
mod upgrades;
mod windows;

pub(crate) use umbel_tests::{authority as pki, tls_backend as backend};
