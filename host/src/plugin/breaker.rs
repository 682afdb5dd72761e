//! Keeps a plugin that fails again and again from being asked: each call would cost its whole budget.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Faults in a row after which a generation is not asked for a while, or the one before it serves again.
pub(in crate::plugin) const FAULTS_MAX: u32 = 5;
/// The first suspension; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// How long one call may take that finds out whether the plugin has recovered, before another one may.
const TRIAL: Duration = Duration::from_secs(10);

/// Counts the faults in a row of one generation.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Breaker(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    in_row: u32,
    suspensions: u32,
    until: Option<Instant>,
    on_trial: bool,
}

impl Breaker {
    /// Whether the plugin may be asked. When a suspension is over, one call at a time may try.
    pub(in crate::plugin) fn admits(&self, now: Instant) -> bool {
        let mut count = self.0.lock();
        match count.until {
            None => true,
            Some(until) if until > now => false,
            Some(_) => {
                count.until = Some(now + TRIAL);
                count.on_trial = true;
                true
            }
        }
    }

    /// For how long nobody asks it, where that is so.
    pub(in crate::plugin) fn suspended_for(&self, now: Instant) -> Option<Duration> {
        let until = self.0.lock().until?;
        Some(until.saturating_duration_since(now))
    }

    pub(in crate::plugin) fn note_answer(&self) {
        *self.0.lock() = Count::default();
    }

    /// Counts one more fault and says how many there are in a row.
    pub(in crate::plugin) fn note_fault(&self) -> u32 {
        let mut count = self.0.lock();
        count.in_row = count.in_row.saturating_add(1);
        count.in_row
    }

    /// Suspends the plugin, unless it is suspended already: calls that began before say nothing new. `jitter`
    /// lies between 0 and 1.
    pub(in crate::plugin) fn suspend(&self, now: Instant, jitter: f64) -> Option<Duration> {
        let mut count = self.0.lock();
        if count.until.is_some_and(|until| until > now) && !count.on_trial {
            return None;
        }
        let whole =
            FIRST.saturating_mul(1_u32.checked_shl(count.suspensions).unwrap_or(u32::MAX)).min(LONGEST);
        let pause = whole.mul_f64(0.75 + jitter * 0.25);
        count.suspensions = count.suspensions.saturating_add(1);
        count.until = Some(now + pause);
        count.on_trial = false;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspensions_double_up_to_a_limit_and_end_with_an_answer() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..11 {
            pauses.push(breaker.suspend(now, 1.0).unwrap().as_secs());
            assert!(!breaker.admits(now));
            now += breaker.suspended_for(now).unwrap();
            assert!(breaker.admits(now), "one call may try");
            assert!(!breaker.admits(now), "and no other meanwhile");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        breaker.note_answer();
        assert!(breaker.admits(now) && breaker.suspended_for(now).is_none());
        assert_eq!(breaker.suspend(now, 0.0), Some(Duration::from_millis(750)));
    }

    #[test]
    fn calls_that_were_under_way_do_not_lengthen_a_suspension() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert!(breaker.suspend(now, 1.0).is_some());
        assert_eq!(breaker.suspend(now, 1.0), None);
    }
}
