//! Events: what happened to objects lately, for `kubectl get events`.
//!
//! ```text
//!  plugins, reconciler ─▶ Recorder ─▶ scribe ─▶ Registry::keep (in memory) ─▶ kubectl
//!                                       └── ledger: what is one series, what is over
//! ```
//!
//! Whoever records never waits. What happens again is counted in one event; an event is forgotten an hour after it
//! was last seen, or when a thousand others are newer.

mod ledger;
mod scribe;

use crate::kind::Kind;
use crate::registry::{ObjectKey, Registry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;

/// How many occurrences may wait to be written down.
const QUEUE: usize = 1_024;
/// The longest note, in bytes (upstream's limit for new events); a longer one is cut at its end.
pub const NOTE_MAX: usize = 1_024;

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weight {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Weight {
    /// As it stands in `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// What happened.
    pub tale: Tale,
    /// The kind of the object.
    pub kind: &'static Kind,
    /// The object.
    pub object: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Which part of the gateway tells it, for example `umbel.dev/plugins`.
    pub reporter: &'static str,
}

/// What happened, whatever it happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tale {
    /// Whether somebody should look.
    pub weight: Weight,
    /// What was done or tried, in one word.
    pub action: &'static str,
    /// Why, in one word.
    pub reason: String,
    /// What happened, and how to mend it.
    pub note: String,
}

/// Takes down what happens.
#[derive(Clone, Debug)]
pub struct Recorder {
    sender: mpsc::Sender<Occurrence>,
    is_behind: Arc<AtomicBool>,
}

impl Recorder {
    /// Notes an occurrence. Never waits: where too many come at once, some are left out, and the log says so once.
    /// Nothing is noted once [`Events`] is dropped.
    pub fn record(&self, occurrence: Occurrence) {
        match self.sender.try_send(occurrence) {
            Ok(()) => self.is_behind.store(false, Ordering::Relaxed),
            Err(TrySendError::Full(_)) if !self.is_behind.swap(true, Ordering::Relaxed) => {
                tracing::warn!("events come faster than they can be written down; some are left out");
            }
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {}
        }
    }
}

/// The running task; dropping it ends it, and what was told stays readable.
#[derive(Debug)]
pub struct Events(JoinHandle<()>);

impl Drop for Events {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Writes down what the recorder takes. Must be called on the control runtime.
pub fn start(registry: Registry) -> (Recorder, Events) {
    let (sender, occurrences) = mpsc::channel(QUEUE);
    let task = tokio::spawn(scribe::run(registry, occurrences));
    (Recorder { sender, is_behind: Arc::default() }, Events(task))
}

/// A text of at most `max` bytes, with a sign where it was cut.
pub fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let dots = "…";
    format!("{}{dots}", &text[..text.floor_char_boundary(max.saturating_sub(dots.len()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(shorten("short", NOTE_MAX), "short");
        let cut = shorten(&"é".repeat(600), NOTE_MAX);
        assert!(cut.len() <= NOTE_MAX && cut.ends_with("é…"), "{cut}");
    }
}
