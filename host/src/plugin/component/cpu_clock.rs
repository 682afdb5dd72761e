//! How long a guest computes: the CPU time of the threads that run it, and nothing of what it waits.

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How old a reading of a thread's clock may be that a slice begins with. What the thread did since then may be charged
/// to the call, if it was not running all of the time.
const READING_AGE: Duration = Duration::from_millis(1);
/// Slices up to this length count as computing throughout: reading the clock costs more than it would tell.
const SHORT: Duration = Duration::from_micros(200);

/// Adds up the CPU time of one call. Waiting costs nothing, and neither does a machine that is busy with others, up
/// to [`READING_AGE`] a slice. It never counts less than there was.
#[derive(Debug)]
pub(in crate::plugin) struct CpuClock {
    made: Instant,
    /// Nanoseconds of the slices that are over.
    used: AtomicU64,
    /// When the present slice began, in nanoseconds since the clock was made.
    began: AtomicU64,
    /// Reading of the thread's clock then or shortly before.
    reading: AtomicU64,
}

impl Default for CpuClock {
    fn default() -> Self {
        let (used, began, reading) = Default::default();
        Self { made: Instant::now(), used, began, reading }
    }
}

/// A reading of the thread's clock, and when that was.
#[derive(Clone, Copy)]
struct Reading {
    nanos: u64,
    at: Instant,
}

thread_local! {
    static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
}

impl Reading {
    fn take(now: Instant) -> Self {
        let reading = Self { nanos: thread_nanos(), at: now };
        LAST.set(Some(reading));
        reading
    }

    /// The last one of this thread, or a new one when that is too old.
    fn recent(now: Instant) -> Self {
        let is_recent = |last: &Self| now.saturating_duration_since(last.at) < READING_AGE;
        LAST.get().filter(is_recent).unwrap_or_else(|| Self::take(now))
    }
}

impl CpuClock {
    /// What the call has used, while it does not run.
    pub(in crate::plugin) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// What the call has used so far; to be asked on the thread that runs it.
    pub(in crate::plugin) fn used_by_now(&self) -> Duration {
        let (_, took) = self.slice_so_far();
        self.used() + self.computed(took, thread_nanos())
    }

    /// Runs `work` and counts what it computes.
    pub(in crate::plugin) fn count<F: Future>(self: Arc<Self>, work: F) -> Counted<F> {
        Counted { work, clock: self }
    }

    fn begin_slice(&self) {
        let now = Instant::now();
        self.began.store(nanoseconds(now.saturating_duration_since(self.made)), Ordering::Relaxed);
        self.reading.store(Reading::recent(now).nanos, Ordering::Relaxed);
    }

    fn end_slice(&self) {
        let (now, took) = self.slice_so_far();
        let computed = if took <= SHORT { took } else { self.computed(took, Reading::take(now).nanos) };
        self.used.fetch_add(nanoseconds(computed), Ordering::Relaxed);
    }

    fn slice_so_far(&self) -> (Instant, Duration) {
        let now = Instant::now();
        let began = Duration::from_nanos(self.began.load(Ordering::Relaxed));
        (now, now.saturating_duration_since(self.made).saturating_sub(began))
    }

    /// At most what the thread did since the reading, and no more than the slice took.
    fn computed(&self, took: Duration, nanos: u64) -> Duration {
        took.min(Duration::from_nanos(nanos.saturating_sub(self.reading.load(Ordering::Relaxed))))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn thread_nanos() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

pin_project_lite::pin_project! {
    /// Work that is counted while it runs.
    pub(in crate::plugin) struct Counted<F> {
        #[pin]
        work: F,
        clock: Arc<CpuClock>,
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.clock.begin_slice();
        let polled = this.work.poll(context);
        this.clock.end_slice();
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes for so long by the thread's own clock, whatever else the machine does.
    fn compute(nanoseconds: u64) {
        let goal = thread_nanos() + nanoseconds;
        while thread_nanos() < goal {}
    }

    #[tokio::test]
    async fn a_slice_is_charged_whole_and_with_little_of_what_went_before() {
        compute(5_000_000);
        let clock = Arc::<CpuClock>::default();
        Arc::clone(&clock).count(async { compute(20_000) }).await;
        assert!(clock.used() >= Duration::from_micros(20), "{clock:?}");
        compute(500_000);
        let before = clock.used();
        Arc::clone(&clock).count(async { compute(400_000) }).await;
        let (seen, most) = (clock.used() - before, READING_AGE + Duration::from_micros(900));
        assert!((Duration::from_micros(400)..most).contains(&seen), "{seen:?}");
    }

    #[tokio::test]
    async fn computing_counts_and_waiting_does_not() {
        let clock = Arc::<CpuClock>::default();
        let inner = Arc::clone(&clock);
        let work = async {
            compute(2_000_000);
            assert!(inner.used_by_now() >= Duration::from_millis(2));
            tokio::time::sleep(Duration::from_millis(50)).await;
            compute(3_000_000);
            inner.used_by_now()
        };
        let seen = Arc::clone(&clock).count(work).await;
        assert!((Duration::from_millis(5)..Duration::from_millis(50)).contains(&seen), "{seen:?}");
        assert!(clock.used() >= seen);
    }
}
