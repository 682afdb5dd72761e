//! OpenAPI documents: of the own kinds, from their schemas, and of all backends together.

mod combine;
mod convert;
mod definition;
mod filter;
mod meta;
mod operation;
mod own;
mod parameter;
mod prepare;
mod protobuf;
mod reference;
mod version2;

pub use convert::convert_to_v3;
pub use prepare::{OwnDocuments, prepare_backend_v2, prepare_v3};
