//! Pure merging of discovery and OpenAPI documents.
