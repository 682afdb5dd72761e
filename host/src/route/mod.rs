//! The immutable snapshot in which control plane and data plane meet.
//!
//! Control builds a new [`Snapshot`] for every change and swaps it in; a worker loads it once per request. It
//! holds everything a request needs as prepared values: no lock, no parsing, no plugin behind it.

mod backend;
mod document;
mod local;
mod openapi;
mod signal;
mod snapshot;

pub use backend::{Backend, BackendId};
pub use document::{Document, DocumentSet};
pub use local::{ClientBody, LocalApi, LocalBody, LocalError};
pub use openapi::{HashedDocument, OPENAPI_V2_PROTOBUF, OpenApiAnswer, OpenApiDocuments, OpenApiV2};
pub use signal::{Signal, SignalKind, Signals};
pub use snapshot::{Availability, Route, Shared, Snapshot, Target};
