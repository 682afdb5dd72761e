//! Parsing and writing YAML: parsing has budgets, and written text is unambiguous for all parsers.

mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::{MAX_DEPTH, TOO_DEEP, YamlError, read, read_settings, read_with_duplicates};
pub use write::write;
