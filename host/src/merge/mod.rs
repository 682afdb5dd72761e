//! Pure merging of discovery and OpenAPI documents.

pub mod discovery;
pub mod openapi;
