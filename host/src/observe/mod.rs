//! Logs, metrics and panics.

mod budget;
mod incidents;
mod log_queue;
pub mod logs;
mod metrics;
mod panics;
mod process;
mod proxied;
mod sample;

pub use budget::BudgetCollector;
pub use metrics::{LongRunning, Metrics, MetricsError, RequestLabels};
pub use panics::{RestartPause, Supervisor, catch_panic, catch_panic_in, failpoint};
pub use proxied::ProxiedRequests;
pub use sample::sample;
