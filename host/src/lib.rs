//! Umbel puts many API servers under one address.
//!
//! ```text
//!                 assembly   (cli, serve, demo, backend init, store commands)
//!        ┌───────────┼────────────┐
//!       api       control       proxy        api: own kinds over HTTP; control: decides; proxy: forwards
//!        └─────┬─────┘            │          they meet in one immutable `route::Snapshot`
//!           registry              │          objects with admission over the store
//!        ┌─────┴─────┬────────────┤
//!      store  pki  plugin     listen  upstream      the only folders that touch disk and sockets
//!        └───────────┴──────┬─────┘        (listen and upstream share `transport`: bulk reads, deferred writes;
//!                           │               and `certificate`: what Go accepts beyond webpki)
//!     route   decision   merge   kind → object      pure: inputs in, values out
//!                           │
//!                     model   config   observe      words that everybody uses
//! ```
//!
//! Imports point downward only. A request is served by one of N single-threaded workers that share nothing
//! but the snapshot; everything that parses JSON, waits for a disk or asks a plugin runs on the control
//! runtime and publishes its result as prepared bytes.

pub mod api;
pub mod assembly;
pub mod certificate;
pub mod config;
pub mod control;
pub mod decision;
pub mod kind;
pub mod listen;
pub mod merge;
pub mod model;
pub mod object;
pub mod observe;
pub mod pki;
#[cfg(feature = "plugins")]
pub mod plugin;
pub mod proxy;
pub mod registry;
pub mod route;
pub mod store;
pub mod transport;
pub mod upstream;
