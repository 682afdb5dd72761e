//! Suites that run Umbel as a process beside real peers. One binary, so that it links once.

#![cfg(test)]

mod availability;
mod bad_input;
mod cli;
mod compatibility;
mod control_client;
mod control_kit;
mod demo;
mod discovery;
mod events;
mod first_start;
mod golden;
mod golden_plugins;
mod language_matrix;
mod manifests;
mod old_and_new_kubectl;
mod openapi;
mod openapi_backends;
mod plugin_commands;
mod plugin_faults;
mod plugin_objects;
mod plugin_restart;
mod plugin_states;
mod plugins;
mod proxying;
mod resolvers;
mod restart;
mod robustness;
mod sample_apiserver;
mod stopping;
mod store_commands;
mod writes_once;
mod yaml;
