//! Sockets out: TLS settings of backends, dialling, and telling faults apart.

mod connect;
mod fault;
mod pinned;
mod tls;
mod words;

pub use connect::{Connection, Protocol, Stream, connect};
pub use fault::UpstreamFault;
pub use tls::{BackendTls, FrontProxy, TlsError, TlsSource};
