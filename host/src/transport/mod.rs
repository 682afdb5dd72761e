//! Socket wrappers that both directions share: reading in bulk below TLS, writing once per turn above it.

mod bulk_read;
mod deferred_flush;

pub use bulk_read::BulkRead;
pub use deferred_flush::{DeferredFlush, FlushOnce};
