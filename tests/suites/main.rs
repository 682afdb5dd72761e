//! Suites that run Umbel as a process beside real peers. One binary, so that it links once.

mod golden;
mod store_commands;
