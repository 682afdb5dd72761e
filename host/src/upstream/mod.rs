//! Sockets out: TLS settings of backends, dialling, and telling faults apart.

mod connect;
mod fault;
mod interim;
mod interim_frames;
mod pinned;
mod stream;
mod tls;
mod verify;
mod words;

pub use connect::{Connection, Protocol, connect, connect_to_address};
pub use fault::UpstreamFault;
pub use interim::{INTERIM_MAX, InterimCount, InterimLimit, too_many_interim, write_interim};
pub use interim_frames::InterimFrames;
pub use stream::Stream;
pub use tls::{BackendTls, FrontProxy, TlsError, TlsSource};
