//! Panics: logged with their location, counted, and limited to the request, connection or task that panicked.

use pin_project_lite::pin_project;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Wait before a task that panicked is started again, doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// See [`FIRST_PAUSE`]. A task that ran for longer than this counts as healthy again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Panics since the process started.
pub(super) fn count() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Logs each panic as one line and counts it.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::current();
        tracing::error!(
            location = panic.location().map(tracing::field::display),
            thread = thread.name().unwrap_or("unnamed"),
            "panic: {}",
            panic.payload_as_str().unwrap_or("no text")
        );
    }));
}

/// Runs `work`; `None` if it panicked. The hook has logged the reason. `work` must not leave shared state
/// half-changed: locks do not detect a panic.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The same for a future.
pub fn catch_panic_in<F: Future>(work: F) -> CatchPanic<F> {
    CatchPanic { work }
}

pin_project! {
    /// Made by [`catch_panic_in`]. Not an `async fn`, which would hold `work` twice.
    pub struct CatchPanic<F> {
        #[pin]
        work: F,
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let work = self.project().work;
        catch_panic(|| work.poll(cx)).map_or(Poll::Ready(None), |polled| polled.map(Some))
    }
}

/// The delays between restarts of a task that panics.
#[derive(Debug, Default)]
pub struct RestartPause(Option<Duration>);

impl RestartPause {
    /// The wait after a panic of a task that had run for `ran`.
    pub fn next(&mut self, ran: Duration) -> Duration {
        let last = self.0.filter(|_| ran <= LONGEST_PAUSE);
        let pause = last.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.0 = Some(pause);
        pause
    }
}

/// Starts a task again after each panic, with growing pauses.
#[derive(Debug)]
pub struct Supervisor {
    task: &'static str,
    pauses: RestartPause,
}

impl Supervisor {
    /// For the task of this name.
    pub fn new(task: &'static str) -> Self {
        Self { task, pauses: RestartPause::default() }
    }

    /// Runs the task; returns `true`, after a pause, if it panicked and must run again. State that it borrows stays
    /// as the panic left it, so it must be consistent between any two statements.
    pub async fn must_restart(&mut self, run: impl Future<Output = ()>) -> bool {
        let began = Instant::now();
        if catch_panic_in(run).await.is_some() {
            return false;
        }
        let pause = self.pauses.next(began.elapsed());
        tracing::error!(task = self.task, "the task panicked; it is started again in {pause:?}");
        tokio::time::sleep(pause).await;
        true
    }
}

/// Panics if the environment variable `UMBEL_FAILPOINTS` asks for it, for example `proxy.request=2,control.intake=1`:
/// at the first two passes of `proxy.request`, and at the first of `control.intake`. Compiled into debug builds only,
/// for the tests that show that a panic in one place affects nothing else.
#[cfg(debug_assertions)]
#[track_caller]
pub fn failpoint(name: &str) {
    use std::sync::OnceLock;
    static ASKED: OnceLock<Vec<(String, AtomicU64)>> = OnceLock::new();
    let asked = ASKED.get_or_init(|| {
        let text = std::env::var("UMBEL_FAILPOINTS").unwrap_or_default();
        let points = text.split(',').filter_map(|point| point.split_once('='));
        let read =
            |(name, count): (&str, &str)| (name.to_owned(), AtomicU64::new(count.parse().unwrap_or(0)));
        points.map(read).collect()
    });
    let Some((_, left)) = asked.iter().find(|(known, _)| known == name) else { return };
    let had = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    #[allow(clippy::panic, reason = "this is what it is for")]
    if had.is_ok() {
        panic!("failpoint {name}");
    }
}

/// Release builds have no failpoints.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn failpoint(_name: &str) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_until_it_ends() {
        let runs = Cell::new(0);
        let mut supervisor = Supervisor::new("test");
        let run = || async {
            runs.set(runs.get() + 1);
            tokio::task::yield_now().await;
            assert!(runs.get() == 3, "not yet");
        };
        while supervisor.must_restart(run()).await {}
        assert_eq!(runs.get(), 3);
    }

    #[tokio::test]
    async fn the_outcome_of_what_does_not_panic_comes_through() {
        assert_eq!(catch_panic_in(async { 7 }).await, Some(7));
        assert_eq!(catch_panic(|| 7), Some(7));
        assert_eq!(catch_panic(|| -> u8 { panic!("no") }), None);
    }

    #[test]
    fn pauses_grow_and_begin_again_after_a_healthy_run() {
        let mut pauses = RestartPause::default();
        let short = Duration::from_millis(1);
        let seconds: Vec<_> = (0..7).map(|_| pauses.next(short).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses.next(Duration::from_secs(31)), FIRST_PAUSE);
    }
}
