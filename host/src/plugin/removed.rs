//! Plugins whose files are gone, so that people still see that there was one.

use super::status::{State, Status};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a plugin stays visible after its file was removed.
const KEPT: Duration = Duration::from_secs(3_600);
/// How many are kept; the oldest go first.
const KEPT_MAX: usize = 256;

/// What was removed lately, by name.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Removed(BTreeMap<String, (Instant, Status)>);

impl Removed {
    /// Keeps what was known of a plugin whose file is gone.
    pub(in crate::plugin) fn note(&mut self, status: Status, now: Instant) {
        self.0.retain(|_, (since, _)| now.duration_since(*since) < KEPT);
        self.0.insert(status.name.clone(), (now, status));
        while self.0.len() > KEPT_MAX {
            let oldest = self.0.iter().min_by_key(|(_, (since, _))| *since).map(|(name, _)| name.clone());
            oldest.map(|name| self.0.remove(&name));
        }
    }

    /// A file of that name is there again.
    pub(in crate::plugin) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// All that are still shown.
    pub(in crate::plugin) fn shown(&self, now: Instant) -> Vec<Status> {
        let is_kept = |since: &Instant| now.duration_since(*since) < KEPT;
        self.0.values().filter(|(since, _)| is_kept(since)).map(|(_, status)| status.clone()).collect()
    }
}

impl Status {
    /// The same plugin without its file: nothing of it serves any more.
    pub(in crate::plugin) fn into_removed(self) -> Self {
        Self {
            state: State::Removed,
            since: jiff::Timestamp::now(),
            message: format!("{} is gone; the name is shown for an hour", self.path),
            reason: None,
            failing: None,
            hold: None,
            steps: Vec::new(),
            generation: 0,
            digest: None,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn gone(name: &str) -> Status {
        let since = jiff::Timestamp::now();
        Status::missing(name, PathBuf::from("/p"), String::new(), since).into_removed()
    }

    fn names(removed: &Removed, now: Instant) -> Vec<String> {
        removed.shown(now).into_iter().map(|status| status.name).collect()
    }

    #[test]
    fn what_was_removed_is_shown_for_an_hour_or_until_it_is_back() {
        let (mut removed, start) = (Removed::default(), Instant::now());
        removed.note(gone("a"), start);
        removed.note(gone("b"), start + KEPT / 2);
        assert_eq!(names(&removed, start + KEPT - Duration::from_secs(1)), ["a", "b"]);
        assert_eq!(names(&removed, start + KEPT), ["b"]);
        removed.forget("b");
        assert_eq!(names(&removed, start), ["a"]);
    }

    #[test]
    fn a_directory_that_is_emptied_again_and_again_fills_no_memory() {
        let (mut removed, start) = (Removed::default(), Instant::now());
        for number in 0..KEPT_MAX as u64 + 10 {
            removed.note(gone(&format!("p{number:04}")), start + Duration::from_millis(number));
        }
        let left = names(&removed, start);
        assert_eq!((left.len(), left[0].as_str()), (KEPT_MAX, "p0010"), "the oldest went");
    }
}
