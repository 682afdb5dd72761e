//! Socket wrappers: reading in bulk below TLS, writing once per turn above it, closing so that answers arrive.

mod bulk_read;
mod deferred_flush;
mod lingering_close;

pub use bulk_read::BulkRead;
pub use deferred_flush::{DeferredFlush, FlushOnce};
pub use lingering_close::{LingerHandle, LingerLimits, LingeringClose};
