//! What lies in the plugin directory: files, manifests, and who looks after them.
//!
//! ```text
//! events ─► waker ─► caretaker (thread; never waits for one plugin)
//!                     │ lookout ─► look ─► settling: which change is ripe
//!                     └ intake ─► steps of each plugin, beside those of the others ─► slot
//! ```

mod board;
pub(super) mod caretaker;
mod disk;
mod events;
pub(super) mod files;
pub(super) mod intake;
mod look;
mod lookout;
pub(super) mod manifest;
pub(super) mod pattern;
mod places;
mod readers;
pub(super) mod rights;
mod sections;
mod settling;
pub(super) mod standing;
pub(super) mod steps;
pub(super) mod waker;
