//! What lies in the plugin directory: files, manifests, and who looks after them.

pub(super) mod caretaker;
pub(super) mod directory;
pub(super) mod files;
pub(super) mod intake;
pub(super) mod manifest;
pub(super) mod pattern;
pub(super) mod rights;
mod sections;
