//! Which generation of a plugin serves, and which one would instead.
//!
//! ```text
//!  first load ──▶ settled        swap ──▶ on probation, the one before stands by
//!                                              │ enough calls, or enough time        │ too many faults
//!                                              ▼                                     ▼
//!                                     settled; the one before goes        the one before serves again
//! ```
//!
//! What was given up once is gone: nothing here can return to it. Time comes in from outside.

use super::breaker::FAULTS_MAX;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What can say of itself whether it may serve.
pub(in crate::plugin) trait Sound {
    /// Whether nothing speaks against it: it is neither suspended nor quarantined.
    fn is_sound(&self) -> bool;
}

/// When a probation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Terms {
    /// After so many calls …
    pub calls: u32,
    /// … or after this time, whichever comes first.
    pub duration: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { calls: 20, duration: Duration::from_secs(60) }
    }
}

/// How a probation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Record {
    /// Calls that ended in it.
    pub calls: u32,
    /// Those of them that failed.
    pub faults: u32,
    /// How long it has lasted.
    pub lasted: Duration,
}

impl Record {
    fn fails_mostly(&self) -> bool {
        u64::from(self.faults) * 2 > u64::from(self.calls)
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = u64::from(self.faults) * 100 / u64::from(self.calls.max(1));
        let Self { calls, faults, lasted } = self;
        write!(f, "failed {faults} of {calls} calls ({rate} %) within {} s", lasted.as_secs())
    }
}

/// What became of a probation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Ruling {
    /// It goes on.
    Open,
    /// The generation has settled; the one before is gone.
    Settled(Record),
    /// The generation failed too often; whoever asks should roll back.
    Failed(Record),
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    terms: Terms,
    since: Instant,
    calls: u32,
    faults: u32,
}

impl Trial {
    fn record(&self, now: Instant) -> Record {
        let lasted = now.saturating_duration_since(self.since);
        Record { calls: self.calls, faults: self.faults, lasted }
    }

    fn rule(&self, now: Instant) -> Ruling {
        let record = self.record(now);
        let is_over = record.calls >= self.terms.calls || record.lasted >= self.terms.duration;
        match () {
            () if record.faults >= FAULTS_MAX || (is_over && record.fails_mostly()) => Ruling::Failed(record),
            () if is_over => Ruling::Settled(record),
            () => Ruling::Open,
        }
    }
}

/// The generations of one plugin that are alive: the one that serves, and on probation the one before.
#[derive(Debug)]
pub(in crate::plugin) struct Succession<G> {
    current: ArcSwapOption<G>,
    reserve: Mutex<Reserve<G>>,
}

#[derive(Debug)]
struct Reserve<G> {
    before: Option<Arc<G>>,
    trial: Option<Trial>,
}

impl<G> Default for Succession<G> {
    fn default() -> Self {
        Self { current: ArcSwapOption::empty(), reserve: Mutex::new(Reserve { before: None, trial: None }) }
    }
}

impl<G: Sound> Succession<G> {
    /// What serves.
    pub(in crate::plugin) fn current(&self) -> Option<Arc<G>> {
        self.current.load_full()
    }

    /// What may be asked, the newest first.
    pub(in crate::plugin) fn alive(&self) -> [Option<Arc<G>>; 2] {
        let reserve = self.reserve.lock();
        [self.current.load_full(), reserve.before.clone()]
    }

    /// Takes a generation into service, on probation where there is a sound one to return to. One that was itself
    /// on probation and has not answered without a fault is no such: the one that stood by for it still does.
    pub(in crate::plugin) fn publish(&self, generation: Arc<G>, terms: Terms, now: Instant) {
        let mut reserve = self.reserve.lock();
        let left = self.current.swap(Some(generation));
        let is_proven = reserve.trial.is_none_or(|trial| trial.calls > 0 && trial.faults == 0);
        let stands_by = if is_proven { left } else { reserve.before.take().or(left) };
        reserve.before = stands_by.filter(|before| before.is_sound());
        reserve.trial = reserve.before.is_some().then_some(Trial { terms, since: now, calls: 0, faults: 0 });
    }

    /// Ends the service.
    pub(in crate::plugin) fn clear(&self) {
        let mut reserve = self.reserve.lock();
        self.current.store(None);
        (reserve.before, reserve.trial) = (None, None);
    }

    /// Counts a call of the generation on probation and says what that means for it.
    pub(in crate::plugin) fn note_call(&self, asked: &Arc<G>, has_failed: bool, now: Instant) -> Ruling {
        let mut reserve = self.reserve.lock();
        let is_current = self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, asked));
        let Some(trial) = reserve.trial.as_mut().filter(|_| is_current) else { return Ruling::Open };
        trial.calls += 1;
        trial.faults += u32::from(has_failed);
        let ruling = trial.rule(now);
        reserve.obey(ruling)
    }

    /// Ends a probation whose time is over.
    pub(in crate::plugin) fn look_at_clock(&self, now: Instant) -> Ruling {
        let mut reserve = self.reserve.lock();
        let ruling = reserve.trial.map_or(Ruling::Open, |trial| trial.rule(now));
        reserve.obey(ruling)
    }

    /// How the probation goes and when it is over; `None` when there is none.
    pub(in crate::plugin) fn trial(&self, now: Instant) -> Option<(Record, Terms)> {
        self.reserve.lock().trial.map(|trial| (trial.record(now), trial.terms))
    }

    /// Lets the generation before serve again instead of `failing`, if that serves and there is a sound one. The
    /// one that failed is gone for good.
    pub(in crate::plugin) fn roll_back(&self, failing: &Arc<G>) -> Option<Arc<G>> {
        let mut reserve = self.reserve.lock();
        let serves = self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, failing));
        if !serves || !reserve.before.as_ref().is_some_and(|before| before.is_sound()) {
            return None;
        }
        reserve.trial = None;
        let before = reserve.before.take();
        self.current.store(before.clone());
        before
    }
}

impl<G> Reserve<G> {
    /// Who has settled needs nobody to stand by: dropping the one before frees its code.
    fn obey(&mut self, ruling: Ruling) -> Ruling {
        if matches!(ruling, Ruling::Settled(_)) {
            (self.before, self.trial) = (None, None);
        }
        ruling
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug, Default)]
    struct Fake(AtomicBool);

    impl Sound for Fake {
        fn is_sound(&self) -> bool {
            !self.0.load(Ordering::Relaxed)
        }
    }

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    /// A settled first generation and a second one on probation.
    fn swapped(now: Instant) -> (Succession<Fake>, Arc<Fake>, Arc<Fake>) {
        let (line, first, second) = (Succession::default(), Arc::default(), Arc::default());
        line.publish(Arc::clone(&first), Terms::default(), now);
        assert_eq!(line.trial(now), None, "a first load replaces nothing");
        line.publish(Arc::clone(&second), Terms::default(), now);
        assert!(line.trial(now).is_some());
        (line, first, second)
    }

    fn is(line: &Succession<Fake>, wanted: &Arc<Fake>) -> bool {
        line.current().is_some_and(|current| Arc::ptr_eq(&current, wanted))
    }

    #[test]
    fn probation_rolls_back() {
        let now = Instant::now();
        let (line, first, newest) = swapped(now);
        for call in 1..FAULTS_MAX {
            let at = now + second(u64::from(call));
            assert_eq!(line.note_call(&newest, true, at), Ruling::Open);
            assert_eq!(line.note_call(&newest, false, at), Ruling::Open, "not in a row");
            assert_eq!(line.note_call(&first, true, at), Ruling::Open, "the one before is not on probation");
        }
        let Ruling::Failed(record) = line.note_call(&newest, true, now + second(7)) else {
            panic!("{line:?}")
        };
        assert_eq!(record.to_string(), "failed 5 of 9 calls (55 %) within 7 s");
        assert!(line.roll_back(&newest).is_some_and(|before| Arc::ptr_eq(&before, &first)));
        assert!(is(&line, &first) && line.trial(now).is_none());
        assert!(
            line.roll_back(&first).is_none() && line.roll_back(&newest).is_none(),
            "never to what failed"
        );
        assert_eq!(line.note_call(&newest, true, now), Ruling::Open, "its last calls say nothing any more");
        let given_up = Arc::downgrade(&newest);
        drop(newest);
        assert!(given_up.upgrade().is_none(), "what failed is unloaded");
    }

    #[test]
    fn calls_or_time_end_a_probation_and_free_the_one_before() {
        let now = Instant::now();
        let (line, first, newest) = swapped(now);
        let before = Arc::downgrade(&first);
        drop(first);
        for _ in 1..20 {
            assert_eq!(line.note_call(&newest, false, now), Ruling::Open);
        }
        assert!(before.upgrade().is_some());
        assert!(matches!(line.note_call(&newest, false, now), Ruling::Settled(_)));
        assert!(before.upgrade().is_none() && is(&line, &newest) && line.roll_back(&newest).is_none());

        let (line, first, newest) = swapped(now);
        assert_eq!(line.look_at_clock(now + second(59)), Ruling::Open);
        assert!(matches!(line.look_at_clock(now + second(60)), Ruling::Settled(_)));
        assert_eq!(Arc::strong_count(&first), 1);
        assert!(is(&line, &newest));
    }

    #[test]
    fn who_fails_more_often_than_not_does_not_pass_when_the_time_is_over() {
        let now = Instant::now();
        let (line, _first, newest) = swapped(now);
        for has_failed in [true, false, true] {
            assert_eq!(line.note_call(&newest, has_failed, now), Ruling::Open);
        }
        let ruling = line.look_at_clock(now + second(60));
        assert_eq!(ruling, Ruling::Failed(Record { calls: 3, faults: 2, lasted: second(60) }));
    }

    #[test]
    fn an_unproven_generation_is_never_the_one_to_return_to() {
        let now = Instant::now();
        let (line, first, newest) = swapped(now);
        line.note_call(&newest, true, now);
        let third = Arc::new(Fake::default());
        line.publish(Arc::clone(&third), Terms::default(), now);
        assert!(line.roll_back(&third).is_some_and(|before| Arc::ptr_eq(&before, &first)));

        let (line, _first, newest) = swapped(now);
        line.note_call(&newest, false, now);
        let third = Arc::new(Fake::default());
        line.publish(Arc::clone(&third), Terms::default(), now);
        assert!(
            line.roll_back(&third).is_some_and(|before| Arc::ptr_eq(&before, &newest)),
            "it had answered"
        );
    }

    #[test]
    fn only_the_generation_that_serves_can_be_given_up() {
        let now = Instant::now();
        let (line, first, newest) = swapped(now);
        let stranger = Arc::new(Fake::default());
        for other in [&first, &stranger] {
            assert!(line.roll_back(other).is_none(), "a late call of it says nothing");
            assert!(is(&line, &newest) && line.trial(now).is_some());
        }
    }

    #[test]
    fn a_generation_that_is_not_sound_is_no_refuge() {
        let now = Instant::now();
        let (line, first, newest) = swapped(now);
        first.0.store(true, Ordering::Relaxed);
        assert!(line.roll_back(&newest).is_none() && is(&line, &newest));
        newest.0.store(true, Ordering::Relaxed);
        line.note_call(&newest, false, now);
        let third = Arc::new(Fake::default());
        line.publish(third, Terms::default(), now);
        assert_eq!(line.trial(now), None, "there is nobody to return to");
    }
}
