//! Certificates that Go's `crypto/x509` accepts and webpki alone does not: any extended key usage, critical
//! policies, and keys of certificates that webpki cannot read.

mod chain;
mod handshake_signature;
mod policies;

pub use chain::{Purpose, verify_chain};
pub use handshake_signature::{verify_tls12, verify_tls13};
pub use policies::without_critical_policies;
