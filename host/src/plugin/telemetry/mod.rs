//! What plugins cost and what becomes of their calls, for `/metrics`.
//!
//! Counting is an addition to a number that belongs to the plugin; names and labels are put to the numbers when
//! somebody asks. The series of a plugin go with it.

mod collector;
mod histogram;
mod sheet;
mod tally;

pub use collector::PluginCollector;
pub(in crate::plugin) use tally::{HostFunction, HostResult, Spent, Tally};
