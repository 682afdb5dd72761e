//! YAML text to values and back: with budgets on the way in, and unmistakable on the way out.

mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::{MAX_DEPTH, TOO_DEEP, YamlError, read, read_settings, read_with_duplicates};
pub use write::write;
