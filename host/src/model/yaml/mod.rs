//! YAML that every reader takes for what was meant.

mod write;

#[cfg(test)]
mod tests;

pub use write::write;
