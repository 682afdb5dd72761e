//! OpenAPI documents: of the own kinds, from their schemas, and of all backends together.

mod combine;
mod convert;
mod definition;
mod fault;
mod filter;
mod json;
mod meta;
mod naming;
mod operation;
mod output;
mod own;
mod parameter;
mod parts;
mod prepare;
mod protobuf;
mod section;
mod version2;

pub use fault::OpenApiFault;
pub use prepare::{OwnDocuments, convert_backend_v2, prepare_backend_v2, prepare_backend_v3, prepare_v3};
