//! OpenAPI documents: of the own kinds, from their schemas, and of all backends together.

mod combine;
mod convert;
mod definition;
mod filter;
mod meta;
mod operation;
mod own;
mod parameter;
mod protobuf;
mod reference;
mod version2;

pub use combine::combine;
pub use convert::convert_to_v3;
pub use filter::keep_group_versions;
pub use own::own_document;
pub use protobuf::encode_v2;
pub use version2::own_document_v2;
