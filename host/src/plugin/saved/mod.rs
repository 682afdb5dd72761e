//! Saved state of plugins across restarts: the files that served last without fault, and the rejected ones.
//!
//! ```text
//!  plugin-state/<plugin>/record.json                      which pair is good, which ones were rejected and why
//!                       /<component>-<manifest>/          a pair of files, named by their SHA-256
//!                            <plugin>.wasm  <plugin>.yaml
//! ```
//!
//! Loading finds most faults of a component again. It does not find the faults that only calls show: those that led
//! to a rollback or a failed rehearsal. Without a record, such a component would serve after the next restart. If a
//! record is damaged, only the reason of the rejection is lost: each pair names itself.

mod directory;
mod record;
mod writer;

pub(in crate::plugin) use directory::{Saved, SavedPair};
pub(in crate::plugin) use record::{PairId, Rejection, Rejections};
pub(in crate::plugin) use writer::{Files, SavedPlugins, ToSave};
