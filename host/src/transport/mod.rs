//! Socket wrappers: bulk reads below TLS, tracking of TLS record boundaries, one write per turn above TLS, lingering
//! close so that responses arrive, and features that HTTP codecs lack.

mod bulk_read;
mod deferred_flush;
mod frame_head;
mod header_block;
mod header_limit;
mod http1_output;
mod lingering_close;
mod tls_records;

pub use bulk_read::BulkRead;
pub use deferred_flush::{DeferredFlush, FlushOnce};
pub use frame_head::{END_STREAM, FrameHead, HEAD};
pub use header_limit::{HeaderLimit, HeaderLimitHandle};
pub use http1_output::{Http1Output, Http1OutputHandle};
pub use lingering_close::{LingerHandle, LingerLimits, LingeringClose};
pub use tls_records::TlsRecords;
