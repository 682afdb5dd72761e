//! What is known of plugins across restarts: the files that served last without fault, and the ones that were given up.
//!
//! ```text
//!  plugin-state/<plugin>/record.json                      which pair is good, which one was rejected and why
//!                       /<component>-<manifest>/          a pair of files, named by their SHA-256
//!                            <plugin>.wasm  <plugin>.yaml
//! ```
//!
//! Loading finds most faults of a component again. What only calls show, a rollback or a failed rehearsal, it does not:
//! without a record such a component would serve after the next restart. A record that is damaged costs the reason of
//! the rejection and nothing else: each pair names itself.

mod directory;
mod record;
mod writer;

pub(in crate::plugin) use directory::{Saved, SavedPair};
pub(in crate::plugin) use record::{PairId, Rejection};
pub(in crate::plugin) use writer::{Files, SavedPlugins, ToSave};
