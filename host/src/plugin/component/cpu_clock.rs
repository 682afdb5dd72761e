//! How long a guest computes: the CPU time of the threads that run it, and nothing of what it waits.

use rustix::time::{ClockId, clock_gettime};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// Adds up the CPU time of one call. Waiting costs nothing, and neither does a machine that is busy with others.
#[derive(Debug, Default)]
pub(in crate::plugin) struct CpuClock {
    /// Nanoseconds of the slices that are over.
    used: AtomicU64,
    /// Reading of the thread's clock when the present slice began.
    began: AtomicU64,
}

impl CpuClock {
    /// What the call has used, while it does not run.
    pub(in crate::plugin) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// What the call has used so far; to be asked on the thread that runs it.
    pub(in crate::plugin) fn used_by_now(&self) -> Duration {
        let slice = thread_nanos().saturating_sub(self.began.load(Ordering::Relaxed));
        self.used() + Duration::from_nanos(slice)
    }

    /// Runs `work` and counts what it computes.
    pub(in crate::plugin) fn count<F: Future>(self: Arc<Self>, work: F) -> Counted<F> {
        Counted { work, clock: self }
    }
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
        let began = thread_nanos();
        this.clock.began.store(began, Ordering::Relaxed);
        let polled = this.work.poll(context);
        this.clock.used.fetch_add(thread_nanos().saturating_sub(began), Ordering::Relaxed);
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
