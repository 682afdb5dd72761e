//! When a backend is looked at next.

use std::time::Duration;
use tokio::time::Instant;

/// Period of steady probing (contract §5.2).
const STEADY: Duration = Duration::from_secs(30);
/// Waits between tries while something fails. The last one repeats: a recovered backend is to be noticed within
/// two seconds, and one TCP connect per second costs nobody anything.
const RETRY: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];
/// Hints of traffic wake at most this often.
const WAKE_FLOOR: Duration = Duration::from_secs(1);
/// A backend that closes connections faster than this again and again does so out of habit.
const CLOSING_HABIT: Duration = Duration::from_secs(20);

/// Why a sweep begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The steady period is over, or everything is in doubt.
    Full,
    /// Something failed before.
    Retry,
    /// Traffic or a closed connection raised a doubt.
    Wake,
    /// An APIService was never looked at, or a checker asked for this time.
    Due,
}

/// The times of one backend.
#[derive(Debug)]
pub(super) struct Schedule {
    full_at: Instant,
    retry_at: Option<Instant>,
    wake_at: Option<Instant>,
    due_at: Option<Instant>,
    failures: usize,
    swept_at: Instant,
    closed_at: Option<Instant>,
    closing_floor: Duration,
}

impl Schedule {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            full_at: now + jittered(STEADY),
            retry_at: None,
            wake_at: None,
            due_at: None,
            failures: 0,
            swept_at: now,
            closed_at: None,
            closing_floor: Duration::ZERO,
        }
    }

    /// The next time that anything is to be done.
    pub(super) fn next(&self) -> Instant {
        [self.retry_at, self.wake_at, self.due_at].into_iter().flatten().fold(self.full_at, Instant::min)
    }

    /// Why to begin now; `None` when nothing is due.
    pub(super) fn cause(&self, now: Instant) -> Option<Cause> {
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.full_at <= now {
            Some(Cause::Full)
        } else if is_over(self.wake_at) {
            Some(Cause::Wake)
        } else if is_over(self.retry_at) {
            Some(Cause::Retry)
        } else {
            is_over(self.due_at).then_some(Cause::Due)
        }
    }

    /// Somebody is to be looked at by then.
    pub(super) fn due(&mut self, at: Instant) {
        self.due_at = Some(self.due_at.map_or(at, |old| old.min(at)));
    }

    /// Traffic saw something odd.
    pub(super) fn hinted(&mut self, now: Instant) {
        self.wake(now.max(self.swept_at + WAKE_FLOOR));
    }

    /// The kept connection was closed by the other side. Looks at once, unless that keeps happening.
    pub(super) fn closed(&mut self, now: Instant) {
        if self.retry_at.is_some() {
            // It is tried again soon anyway, and whoever refuses requests often closes after each: that is no news.
            return self.hinted(now);
        }
        let is_habit = self.closed_at.is_some_and(|last| now - last < CLOSING_HABIT + self.closing_floor);
        self.closing_floor = match self.closing_floor {
            _ if !is_habit => Duration::ZERO,
            Duration::ZERO => WAKE_FLOOR,
            floor => (floor * 2).min(STEADY),
        };
        self.closed_at = Some(now);
        self.wake(now.max(self.swept_at + self.closing_floor));
    }

    fn wake(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |old| old.min(at)));
    }

    /// Everything is to be looked at, at once.
    pub(super) fn doubt_all(&mut self, now: Instant) {
        self.full_at = now;
    }

    /// A sweep for `cause` has ended; `failing` says whether anything still fails, `progress` whether
    /// something recovered in it.
    pub(super) fn swept(&mut self, cause: Cause, now: Instant, failing: bool, progress: bool) {
        self.swept_at = now;
        self.wake_at = None;
        self.due_at = None;
        if cause == Cause::Full {
            self.full_at = now + jittered(STEADY);
        }
        if !failing {
            self.failures = 0;
            self.retry_at = None;
            return;
        }
        // A backend that died is none that closes connections out of habit.
        self.closed_at = None;
        let wait = RETRY.get(self.failures).or(RETRY.last()).copied().unwrap_or(WAKE_FLOOR);
        self.failures = if progress { 0 } else { self.failures.saturating_add(1).min(RETRY.len()) };
        self.retry_at = Some(if progress { now } else { now + jittered(wait) });
    }
}

/// The duration plus or minus a tenth, so that backends which failed together are not tried together.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.9 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_backend_is_tried_about_once_a_second_for_ever() {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(now);
        for round in 0..100 {
            let cause = schedule.cause(now).unwrap_or(Cause::Retry);
            schedule.swept(cause, now, true, false);
            let wait = schedule.next() - now;
            assert!(wait <= Duration::from_millis(1100), "{wait:?}");
            let is_full = schedule.cause(now + wait) == Some(Cause::Full);
            assert!(round < 4 || is_full || wait >= Duration::from_millis(900), "{wait:?}");
            now += wait;
        }
        // A full sweep comes first, so that none is due within these seconds anyway.
        schedule.swept(Cause::Full, now, false, true);
        assert_eq!(schedule.cause(now + Duration::from_secs(2)), None);
    }

    #[test]
    fn a_first_closing_wakes_at_once_and_a_habit_does_not() {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.closed(now);
        assert_eq!(schedule.cause(now), Some(Cause::Wake));
        let mut sweeps = 0;
        let end = now + Duration::from_secs(120);
        while now < end {
            let cause = schedule.cause(now).unwrap();
            schedule.swept(cause, now, false, false);
            sweeps += 1;
            if cause == Cause::Wake {
                schedule.closed(now);
            }
            now = schedule.next();
        }
        assert!(sweeps < 16, "{sweeps}");
        now += Duration::from_secs(90);
        schedule.swept(Cause::Full, now, false, false);
        schedule.closed(now);
        assert_eq!(schedule.cause(now), Some(Cause::Wake));
    }

    #[test]
    fn a_failing_backend_that_closes_each_connection_is_tried_about_once_a_second() {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(now);
        let (end, mut sweeps) = (now + Duration::from_secs(60), 0);
        while now < end && sweeps < 1000 {
            let cause = schedule.cause(now).unwrap_or(Cause::Retry);
            schedule.swept(cause, now, true, false);
            sweeps += 1;
            schedule.closed(now);
            now = schedule.next();
        }
        assert!((50..80).contains(&sweeps), "{sweeps}");
    }

    #[test]
    fn progress_is_followed_at_once_and_by_quick_tries() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        for _ in 0..5 {
            schedule.swept(Cause::Retry, now, true, false);
        }
        assert!(schedule.next() - now >= Duration::from_millis(900));
        schedule.swept(Cause::Retry, now, true, true);
        assert_eq!(schedule.cause(now), Some(Cause::Retry));
        schedule.swept(Cause::Retry, now, true, false);
        assert!(schedule.next() - now <= Duration::from_millis(110));
    }

    #[test]
    fn what_is_due_and_what_is_in_doubt_has_its_time() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut schedule = Schedule::new(now);
        assert!(schedule.next() >= later(27) && schedule.next() <= later(33));
        schedule.due(later(9));
        schedule.due(later(5));
        schedule.due(later(7));
        assert_eq!((schedule.next(), schedule.cause(later(4))), (later(5), None));
        assert_eq!(schedule.cause(later(5)), Some(Cause::Due));
        schedule.swept(Cause::Due, later(5), false, false);
        assert_eq!(schedule.cause(later(9)), None);
        schedule.doubt_all(later(9));
        assert_eq!(schedule.cause(later(9)), Some(Cause::Full));
        schedule.swept(Cause::Full, later(9), false, false);
        assert!(schedule.next() >= later(36));
    }

    #[test]
    fn hints_of_traffic_wake_at_most_once_a_second() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.swept(Cause::Due, now, false, false);
        schedule.hinted(now);
        assert_eq!(schedule.cause(now), None);
        assert_eq!(schedule.cause(now + WAKE_FLOOR), Some(Cause::Wake));
    }
}
