//! When a backend is asked.

use std::time::Duration;
use tokio::time::Instant;

/// How often things happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two rounds that went well.
    pub(super) refresh: Duration,
    /// After the first failure; doubles with each further one.
    pub(super) retry_min: Duration,
    /// The longest pause after a failure.
    pub(super) retry_max: Duration,
    /// How long changes are gathered before documents are united.
    pub(super) gather: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(60),
            retry_min: Duration::from_secs(2),
            retry_max: Duration::from_secs(600),
            gather: Duration::from_millis(50),
        }
    }
}

/// When one backend is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    due: Instant,
    failures: u32,
    is_running: bool,
}

impl Turn {
    /// Due now.
    pub(super) fn now() -> Self {
        Self { due: Instant::now(), failures: 0, is_running: false }
    }

    /// When to ask, unless a round is running.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.is_running).then_some(self.due)
    }

    /// Notes that a round has begun.
    pub(super) fn begin(&mut self) {
        self.is_running = true;
    }

    /// Notes that a round is over. Pauses vary by a tenth, so that backends do not march in step.
    pub(super) fn end(&mut self, went_well: bool, pace: &Pace) {
        self.is_running = false;
        self.failures = if went_well { 0 } else { self.failures.saturating_add(1) };
        let pause = match self.failures {
            0 => pace.refresh,
            n => pace.retry_min.saturating_mul(1 << (n - 1).min(16)).min(pace.retry_max),
        };
        self.due = Instant::now() + pause.mul_f64(0.9 + 0.2 * fastrand::f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_each_failure_and_end_with_success() {
        let pace = Pace::default();
        let mut turn = Turn::now();
        let mut pause = |went_well| {
            turn.begin();
            assert_eq!(turn.due(), None, "it is asked now");
            let before = Instant::now();
            turn.end(went_well, &pace);
            (turn.due().unwrap() - before).as_secs_f64()
        };
        let near = |found: f64, wanted: f64| {
            assert!((wanted * 0.89..wanted * 1.2).contains(&found), "{found} {wanted}")
        };
        near(pause(true), 60.0);
        for wanted in [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 600.0, 600.0] {
            near(pause(false), wanted);
        }
        for _ in 0..100 {
            near(pause(false), 600.0);
        }
        near(pause(true), 60.0);
        near(pause(false), 2.0);
    }
}
