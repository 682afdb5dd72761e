//! Logs and metrics.

pub mod logs;
mod metrics;
mod process;
mod proxied;
mod sample;

pub use metrics::{LongRunning, Metrics, MetricsError, RequestLabels};
pub use proxied::ProxiedRequests;
pub use sample::sample;
