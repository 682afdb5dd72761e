//! Suites that run Umbel as a process beside real peers. One binary, so that it links once.

#![cfg(test)]

mod cli;
mod demo;
mod first_start;
mod golden;
mod old_and_new_kubectl;
mod plugins;
mod proxying;
mod restart;
mod sample_apiserver;
mod store_commands;
