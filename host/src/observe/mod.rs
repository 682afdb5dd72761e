//! Logs and metrics.

pub mod logs;
mod metrics;
mod process;
mod proxied;

pub use metrics::{LongRunning, Metrics, MetricsError, RequestLabels};
pub use proxied::ProxiedRequests;
