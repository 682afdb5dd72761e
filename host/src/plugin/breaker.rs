//! Keeps a plugin that fails again and again from being asked: each call would cost its whole budget.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Faults in a row after which a generation is not asked for a while, or the one before it serves again.
pub(in crate::plugin) const FAULTS_MAX: u32 = 5;
/// The first suspension; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// The other rule: more than half of at least so many calls failed within the last minute.
const CALLS_MIN: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Calls that are remembered for that rule; the newest count.
const CALLS_KEPT: usize = 256;
/// Consecutive answers, and time without a fault, after which a generation counts as healthy again. Both are
/// required, so that a generation with occasional failures is not reported as failing and recovered with every call.
const GOOD_MIN: u32 = 3;
const GOOD_TIME: Duration = Duration::from_secs(10);
/// The opening within this time that ends in quarantine.
const OPENINGS_MAX: usize = 3;
const OPENINGS_WINDOW: Duration = Duration::from_secs(600);

/// Decides from the faults of one generation whether it is asked.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Breaker(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    in_row: u32,
    /// When the last call failed, until the plugin counts as recovered, and the number of calls answered since.
    last_fault: Option<Instant>,
    good_in_row: u32,
    /// When calls ended, and whether with a fault.
    calls: VecDeque<(Instant, bool)>,
    /// How often the pause was lengthened since the plugin last answered.
    suspensions: u32,
    /// When the plugin was suspended while it still counted as good.
    openings: VecDeque<Instant>,
    until: Option<Instant>,
    /// Whether the one call is under way that finds out about a recovery.
    on_trial: bool,
    quarantined: bool,
}

impl Count {
    fn note_call(&mut self, now: Instant, failed: bool) {
        if self.calls.len() >= CALLS_KEPT {
            self.calls.pop_front();
        }
        self.calls.push_back((now, failed));
        while self.calls.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.calls.pop_front();
        }
    }

    fn is_failing(&self, now: Instant) -> bool {
        let is_recent = |fault: Instant| now.saturating_duration_since(fault) < GOOD_TIME;
        self.last_fault.is_some_and(|fault| self.good_in_row < GOOD_MIN || is_recent(fault))
    }

    fn fails_mostly(&self) -> bool {
        let faults = self.calls.iter().filter(|(_, failed)| *failed).count();
        self.calls.len() >= CALLS_MIN && faults * 2 > self.calls.len()
    }
}

/// Leave to ask a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Admission {
    /// As everybody may.
    Free,
    /// As the one who finds out whether it has recovered. Whoever gives up without a result says so to
    /// [`Breaker::abandon_trial`].
    Trial,
}

/// What became of a plugin that failed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Verdict {
    /// Nobody asks it for so long.
    Suspended(Duration),
    /// Nobody asks it until its files change or an operator resets it.
    Quarantined,
}

impl Breaker {
    /// Whether the plugin may be asked. When a suspension is over, exactly one call at a time may try.
    pub(in crate::plugin) fn admit(&self, now: Instant) -> Option<Admission> {
        let mut count = self.0.lock();
        match count.until {
            _ if count.quarantined => None,
            None => Some(Admission::Free),
            Some(until) if until > now || count.on_trial => None,
            Some(_) => {
                count.on_trial = true;
                Some(Admission::Trial)
            }
        }
    }

    /// The one call that may try found nothing out: another one may.
    pub(in crate::plugin) fn abandon_trial(&self) {
        self.0.lock().on_trial = false;
    }

    /// Whether it is neither suspended nor quarantined.
    pub(in crate::plugin) fn is_closed(&self) -> bool {
        let count = self.0.lock();
        !count.quarantined && count.until.is_none()
    }

    /// For how long nobody asks it, where that is so.
    pub(in crate::plugin) fn suspended_for(&self, now: Instant) -> Option<Duration> {
        let until = self.0.lock().until?;
        Some(until.saturating_duration_since(now))
    }

    /// Whether a call has failed and not enough of them were answered since.
    pub(in crate::plugin) fn is_failing(&self, now: Instant) -> bool {
        self.0.lock().is_failing(now)
    }

    /// Whether it was suspended so often that nobody asks it any more.
    pub(in crate::plugin) fn is_quarantined(&self) -> bool {
        self.0.lock().quarantined
    }

    /// Forgets everything, because an operator says so: faults, pauses, openings and the quarantine.
    pub(in crate::plugin) fn reset(&self) {
        *self.0.lock() = Count::default();
    }

    /// Counts an answer, which ends a suspension; how often there was one stays known. A call that began before
    /// the quarantine does not end that.
    pub(in crate::plugin) fn note_answer(&self) {
        self.note_answer_at(Instant::now());
    }

    fn note_answer_at(&self, now: Instant) {
        let mut count = self.0.lock();
        if count.quarantined {
            return;
        }
        // What failed before the trial says nothing about a plugin that has recovered.
        if count.until.take().is_some() {
            count.calls.clear();
            count.last_fault = None;
        }
        count.good_in_row = count.good_in_row.saturating_add(1);
        count.note_call(now, false);
        (count.in_row, count.suspensions, count.on_trial) = (0, 0, false);
    }

    /// Counts one more fault and says whether the plugin has failed too often.
    pub(in crate::plugin) fn note_fault(&self, now: Instant) -> bool {
        let mut count = self.0.lock();
        count.note_call(now, true);
        (count.last_fault, count.good_in_row) = (Some(now), 0);
        count.in_row = count.in_row.saturating_add(1);
        count.in_row >= FAULTS_MAX || count.fails_mostly()
    }

    /// Suspends the plugin, unless it is suspended already: calls that began before say nothing new. The third
    /// time within ten minutes that a plugin which had answered is suspended, it is for good. `jitter` lies
    /// between 0 and 1.
    pub(in crate::plugin) fn suspend(&self, now: Instant, jitter: f64) -> Option<Verdict> {
        let mut count = self.0.lock();
        if count.quarantined || (count.until.is_some_and(|until| until > now)) {
            return None;
        }
        if count.until.is_none() {
            count.openings.retain(|opening| now.duration_since(*opening) <= OPENINGS_WINDOW);
            count.openings.push_back(now);
            if count.openings.len() >= OPENINGS_MAX {
                count.openings.clear();
                count.quarantined = true;
                return Some(Verdict::Quarantined);
            }
        }
        let whole =
            FIRST.saturating_mul(1_u32.checked_shl(count.suspensions).unwrap_or(u32::MAX)).min(LONGEST);
        let pause = whole.mul_f64(0.75 + jitter * 0.25);
        count.suspensions = count.suspensions.saturating_add(1);
        count.until = Some(now + pause);
        count.on_trial = false;
        Some(Verdict::Suspended(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(verdict: Option<Verdict>) -> u64 {
        let Some(Verdict::Suspended(pause)) = verdict else { panic!("{verdict:?}") };
        pause.as_secs()
    }

    #[test]
    fn breaker_opens_and_probes() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        for opening in 1..=3 {
            for _ in 1..FAULTS_MAX {
                assert!(breaker.admit(now).is_some());
                assert!(!breaker.note_fault(now), "four in a row are not enough");
            }
            assert!(breaker.note_fault(now));
            if opening == 3 {
                break;
            }
            assert_eq!(seconds(breaker.suspend(now, 1.0)), 1);
            assert!(breaker.admit(now).is_none());
            now += Duration::from_secs(1);
            assert_eq!(breaker.admit(now), Some(Admission::Trial), "one call may try");
            let long_after = now + Duration::from_secs(3_600);
            assert_eq!(breaker.admit(long_after), None, "and no other, however long it takes");
            breaker.abandon_trial();
            assert_eq!(breaker.admit(now), Some(Admission::Trial), "it was given up, so another may");
            assert!(breaker.note_fault(now));
            assert_eq!(seconds(breaker.suspend(now, 1.0)), 2, "it has not recovered");
            now += Duration::from_secs(2);
            assert!(breaker.admit(now).is_some());
            breaker.note_answer_at(now);
            assert!(breaker.admit(now).is_some() && breaker.suspended_for(now).is_none(), "it has");
        }
        assert_eq!(breaker.suspend(now, 1.0), Some(Verdict::Quarantined));
        now += Duration::from_secs(100_000);
        assert!(breaker.is_quarantined() && breaker.admit(now).is_none(), "no time heals that");
    }

    #[test]
    fn a_reset_forgets_the_whole_history() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 1..OPENINGS_MAX {
            assert_eq!(seconds(breaker.suspend(now, 1.0)), 1);
            breaker.note_answer_at(now);
        }
        breaker.reset();
        for _ in 1..OPENINGS_MAX {
            assert_eq!(seconds(breaker.suspend(now, 1.0)), 1, "openings are forgotten");
            breaker.note_answer_at(now);
        }
        assert_eq!(breaker.suspend(now, 1.0), Some(Verdict::Quarantined));
        breaker.note_answer_at(now);
        assert!(breaker.is_quarantined() && breaker.admit(now).is_none(), "a late answer does not end it");
        breaker.reset();
        assert!(!breaker.is_quarantined() && breaker.admit(now).is_some(), "an operator does");

        assert_eq!(seconds(breaker.suspend(now, 1.0)), 1);
        let trial = now + Duration::from_secs(1);
        assert!(breaker.admit(trial).is_some() && !breaker.note_fault(trial));
        assert_eq!(seconds(breaker.suspend(trial, 1.0)), 2);
        breaker.reset();
        assert!(breaker.suspended_for(trial).is_none(), "the pause ends");
        for _ in 1..FAULTS_MAX {
            assert!(!breaker.note_fault(trial), "faults are forgotten");
        }
        assert!(breaker.note_fault(trial));
        assert_eq!(seconds(breaker.suspend(trial, 1.0)), 1, "and so is the back-off");
    }

    #[test]
    fn openings_that_lie_far_apart_do_not_add_up() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            assert_eq!(seconds(breaker.suspend(now, 1.0)), 1);
            now += OPENINGS_WINDOW / 2 + Duration::from_secs(1);
            assert!(breaker.admit(now).is_some());
            breaker.note_answer_at(now);
        }
    }

    #[test]
    fn half_of_the_calls_of_a_minute_are_too_many_faults() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        let mut too_often = Vec::new();
        for call in 1..=21 {
            now += Duration::from_secs(1);
            if call % 3 == 0 {
                breaker.note_answer_at(now);
            } else if breaker.note_fault(now) {
                too_often.push(call);
            }
        }
        assert_eq!(too_often, [20], "never five in a row, and not before there are twenty calls");
        now += WINDOW;
        assert!(!breaker.note_fault(now + Duration::from_secs(20)), "an old minute does not count");
    }

    #[test]
    fn suspensions_double_up_to_a_limit_and_end_with_an_answer() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..11 {
            pauses.push(seconds(breaker.suspend(now, 1.0)));
            assert!(breaker.admit(now).is_none());
            now += breaker.suspended_for(now).unwrap();
            assert_eq!(breaker.admit(now), Some(Admission::Trial), "one call may try");
            assert_eq!(breaker.admit(now), None, "and no other meanwhile");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        breaker.note_answer_at(now);
        assert!(breaker.admit(now).is_some() && breaker.suspended_for(now).is_none());
        assert_eq!(breaker.suspend(now, 0.0), Some(Verdict::Suspended(Duration::from_millis(750))));
    }

    #[test]
    fn a_fault_counts_until_enough_calls_were_answered() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        breaker.note_answer_at(now);
        assert!(!breaker.is_failing(now));
        breaker.note_fault(now);
        assert!(breaker.is_failing(now), "the first one");
        for _ in 1..GOOD_MIN {
            breaker.note_answer_at(now);
        }
        now += GOOD_TIME;
        assert!(breaker.is_failing(now), "too few answers, however long ago the fault is");
        breaker.note_answer_at(now);
        assert!(!breaker.is_failing(now));
        breaker.note_fault(now);
        for _ in 0..GOOD_MIN * 2 {
            breaker.note_answer_at(now);
        }
        let almost = now + GOOD_TIME - Duration::from_millis(1);
        assert!(breaker.is_failing(almost), "too soon, however many answers there are");
        breaker.note_fault(almost);
        assert!(breaker.is_failing(now + GOOD_TIME), "another fault begins anew");
        breaker.reset();
        assert!(!breaker.is_failing(now), "an operator says so");
        breaker.note_fault(now);
        breaker.suspend(now, 1.0);
        breaker.note_answer_at(now + FIRST);
        assert!(!breaker.is_failing(now + FIRST), "the answer that ends a suspension says so");
    }

    #[test]
    fn calls_that_were_under_way_do_not_lengthen_a_suspension() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert!(breaker.suspend(now, 1.0).is_some());
        assert_eq!(breaker.suspend(now, 1.0), None);
    }
}
