//! Pure merging of discovery and OpenAPI documents.

pub mod discovery;
