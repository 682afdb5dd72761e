//! Says the same thing once, and again only after a while.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How long the same words are not repeated.
const QUIET: Duration = Duration::from_secs(60);

/// What was complained about last.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Complaint(Mutex<Option<(String, Instant)>>);

impl Complaint {
    /// Whether this is news, or was said long ago.
    pub(in crate::plugin) fn is_due(&self, text: &str, now: Instant) -> bool {
        let mut last = self.0.lock();
        if last.as_ref().is_some_and(|(said, at)| said == text && now.duration_since(*at) < QUIET) {
            return false;
        }
        *last = Some((text.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_are_said_once_a_minute() {
        let (complaint, now) = (Complaint::default(), Instant::now());
        assert!(complaint.is_due("a", now));
        assert!(!complaint.is_due("a", now + QUIET / 2));
        assert!(complaint.is_due("b", now + QUIET / 2));
        assert!(complaint.is_due("b", now + QUIET * 2));
    }
}
