//! Which step the newest file of a plugin is in, and how long each step took.

use super::status::{State, StepTime};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// The way of one plugin's files from the directory into service. Whoever does a step says so when it begins; the
/// one who knows the result ends the last.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Progress(Mutex<Course>);

#[derive(Debug, Default)]
struct Course {
    under_way: Option<(State, Instant)>,
    /// Whether the files have to come to rest before they are read.
    restless: bool,
    took: Vec<StepTime>,
    /// The state that people were told last, and since when it holds.
    shown: Option<(State, Timestamp)>,
}

impl Course {
    fn open(&mut self, step: State, now: Instant) {
        self.under_way = Some((step, now));
        self.restless = false;
        self.shown = Some((step, Timestamp::now()));
    }

    fn close(&mut self, now: Instant) {
        if let Some((step, began)) = self.under_way.take() {
            let took = now.saturating_duration_since(began).as_millis();
            let milliseconds = u64::try_from(took).unwrap_or(u64::MAX);
            self.took.push(StepTime { step, milliseconds });
        }
    }
}

/// A step that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct UnderWay {
    /// Which one.
    pub step: State,
    /// For how much longer than it should, where that is so.
    pub overdue: Option<Duration>,
    /// Whether the files have to come to rest before they are read.
    pub restless: bool,
}

impl Progress {
    /// New files are being read since `began`: what the ones before took no longer matters.
    pub(in crate::plugin) fn begin(&self, began: Instant) {
        let mut course = self.0.lock();
        course.took.clear();
        course.open(State::Checking, began);
    }

    /// New files have been coming since `began`, and do not rest so that they can be read.
    pub(in crate::plugin) fn wait_for_rest(&self, began: Instant) {
        let mut course = self.0.lock();
        course.took.clear();
        course.open(State::Checking, began);
        course.restless = true;
    }

    /// The step before is over, this one begins.
    pub(in crate::plugin) fn enter(&self, step: State) {
        let now = Instant::now();
        let mut course = self.0.lock();
        course.close(now);
        course.open(step, now);
    }

    /// The newest files are taken into service or refused.
    pub(in crate::plugin) fn end(&self) {
        let mut course = self.0.lock();
        course.close(Instant::now());
        // The same state as before the step is another one: that of other files.
        course.shown = None;
    }

    /// The step that has not ended, where there is one.
    pub(in crate::plugin) fn under_way(&self) -> Option<UnderWay> {
        let course = self.0.lock();
        let ((step, began), restless) = (course.under_way?, course.restless);
        let overdue = step.limit().and_then(|limit| began.elapsed().checked_sub(limit));
        Some(UnderWay { step, overdue, restless })
    }

    /// How long the steps of the newest files took that are over.
    pub(in crate::plugin) fn took(&self) -> Vec<StepTime> {
        self.0.lock().took.clone()
    }

    /// Since when this is the state.
    pub(in crate::plugin) fn since(&self, state: State) -> Timestamp {
        let mut course = self.0.lock();
        match course.shown {
            Some((shown, since)) if shown == state => since,
            _ => course.shown.insert((state, Timestamp::now())).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_timed_and_new_files_begin_anew() {
        let progress = Progress::default();
        assert_eq!(progress.under_way(), None);
        for _ in 0..2 {
            progress.begin(Instant::now());
            progress.enter(State::Compiling);
            progress.enter(State::Linking);
            assert_eq!(progress.under_way().map(|now| (now.step, now.overdue)), Some((State::Linking, None)));
            progress.end();
            assert_eq!(progress.under_way(), None);
            let steps: Vec<State> = progress.took().iter().map(|took| took.step).collect();
            assert_eq!(steps, [State::Checking, State::Compiling, State::Linking]);
        }
    }

    #[test]
    fn a_step_that_hangs_is_told() {
        let progress = Progress::default();
        let limit = State::Checking.limit().unwrap();
        let began = Instant::now().checked_sub(limit + Duration::from_secs(3)).unwrap();
        progress.0.lock().under_way = Some((State::Checking, began));
        let overdue = progress.under_way().and_then(|now| now.overdue).unwrap();
        assert_eq!(overdue.as_secs(), 3);
    }

    #[test]
    fn a_state_keeps_the_time_at_which_it_was_entered() {
        let progress = Progress::default();
        let first = progress.since(State::Compiling);
        assert_eq!(progress.since(State::Compiling), first);
        let second = progress.since(State::Active);
        assert!(second >= first && progress.since(State::Active) == second);
        assert!(progress.since(State::Compiling) >= second, "again, so anew");
        let third = progress.since(State::Active);
        progress.begin(Instant::now());
        std::thread::sleep(Duration::from_millis(2));
        progress.end();
        assert!(progress.since(State::Active) > third, "of other files");
    }

    #[test]
    fn the_time_of_a_state_is_that_of_its_beginning() {
        let progress = Progress::default();
        let first = progress.since(State::Compiling);
        while Timestamp::now() <= first {
            std::thread::yield_now();
        }
        assert_eq!(progress.since(State::Compiling), first);
        let second = progress.since(State::Active);
        assert!(second > first);
        assert_eq!(progress.since(State::Active), second);
    }
}
