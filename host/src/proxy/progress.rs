//! Whether a response makes progress.
//!
//! A client that sends a request and never reads its response holds a stream and a descriptor. The response body is
//! not polled meanwhile, because hyper waits for space first. So the task that hyper polls is watched from outside:
//! the response records its progress in a thread-local variable, and a timer runs while a response stalls. The timer
//! is created when a response stalls for the first time; most never do.

use super::path::LongRunning;
use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long the last frames of a watch may take to reach the client once the process is draining.
const LAST_FRAMES: Duration = Duration::from_millis(500);

thread_local! {
    static CURRENT: Cell<Progress> = const { Cell::new(Progress::NONE) };
}

/// The progress of a task's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    is_answering: bool,
    lasting: Option<LongRunning>,
    /// A part was passed to hyper since the task was polled.
    has_moved: bool,
}

impl Progress {
    const NONE: Self = Self { is_answering: false, lasting: None, has_moved: false };

    fn is_watch(self) -> bool {
        self.lasting == Some(LongRunning::Watch)
    }
}

fn note(change: impl FnOnce(&mut Progress)) {
    let mut progress = CURRENT.get();
    change(&mut progress);
    CURRENT.set(progress);
}

/// A request begins.
pub fn note_request() {
    CURRENT.set(Progress::NONE);
}

/// The response to the request may pause without a limit.
pub fn note_lasting(lasting: LongRunning) {
    note(|progress| progress.lasting = Some(lasting));
}

/// Whether the request is a watch, according to [`note_lasting`].
pub fn is_watch() -> bool {
    CURRENT.get().is_watch()
}

/// The response begins.
pub fn note_answer() {
    note(|progress| (progress.is_answering, progress.has_moved) = (true, true));
}

/// A part of the response was passed to hyper.
pub fn note_part() {
    note(|progress| progress.has_moved = true);
}

/// The response is complete or was aborted.
pub fn note_end() {
    note(|progress| progress.is_answering = false);
}

/// When stalled responses are aborted.
#[derive(Clone, Debug)]
pub struct Patience {
    /// How long a response may stall.
    pub stall: Duration,
    /// True once the process is draining.
    pub draining: watch::Receiver<bool>,
}

/// Watches the responses of one hyper task.
pub struct Watchdog {
    patience: Patience,
    progress: Progress,
    /// When the response last made progress.
    moved: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    drain: Option<Pin<Box<dyn Future<Output = ()>>>>,
    is_draining: bool,
}

impl Watchdog {
    /// For a task that has not been polled yet.
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            progress: Progress::NONE,
            moved: Instant::now(),
            timer: None,
            drain: None,
            is_draining: false,
        }
    }

    /// Polls the task with `poll`; `None` if its response stalled for too long, so that the task must be dropped.
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        loop {
            CURRENT.set(Progress { has_moved: false, ..self.progress });
            let outcome = poll(cx);
            self.progress = CURRENT.replace(Progress::NONE);
            if let Poll::Ready(outcome) = outcome {
                return Poll::Ready(Some(outcome));
            }
            if !self.progress.is_answering {
                return Poll::Pending;
            }
            let is_watch = self.progress.is_watch();
            // During a drain, further events do not extend the time of a watch.
            if self.progress.has_moved && !(is_watch && self.is_draining) {
                self.moved = Instant::now();
            }
            // A watch ends by itself when it is polled after the drain began.
            if !(is_watch && self.has_drain_begun(cx)) {
                break;
            }
        }
        self.poll_stall(cx)
    }

    /// Whether the drain began since the last call; wakes the task when it does.
    fn has_drain_begun(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_draining {
            return false;
        }
        let mut draining = self.patience.draining.clone();
        let drain = self.drain.get_or_insert_with(|| {
            Box::pin(async move {
                // The sender is never dropped without a drain.
                let _is_over = draining.wait_for(|is_draining| *is_draining).await.is_ok();
            })
        });
        if drain.as_mut().poll(cx).is_pending() {
            return false;
        }
        (self.drain, self.is_draining, self.moved) = (None, true, Instant::now());
        true
    }

    fn poll_stall<T>(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let limit = match (self.progress.lasting, self.is_draining) {
            // Like all requests, a stream has the time of the drain, and is cut at its end.
            (Some(LongRunning::Stream), _) | (Some(LongRunning::Watch), false) => return Poll::Pending,
            (Some(LongRunning::Watch), true) => LAST_FRAMES,
            (None, _) => self.patience.stall,
        };
        let end = self.moved + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= end {
                return Poll::Ready(None);
            }
            timer.as_mut().reset(end);
        }
        if end < timer.deadline() {
            timer.as_mut().reset(end);
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const TICK: Duration = Duration::from_millis(50);
    /// Long enough that a busy machine does not look like a stalled response.
    const STALL: Duration = Duration::from_secs(2);
    const STALL_TICKS: u32 = 40;

    /// A task that does `step` at each tick for `ticks`; returns the tick at which it is dropped, if it is.
    async fn run(ticks: u32, draining: watch::Receiver<bool>, mut step: impl FnMut(u32)) -> Option<u32> {
        let mut watchdog = Watchdog::new(Patience { stall: STALL, draining });
        let (mut clock, mut now) = (tokio::time::interval(TICK), 0);
        let outcome = poll_fn(|cx| {
            watchdog.poll(cx, |cx| {
                while clock.poll_tick(cx).is_ready() {
                    if now == ticks {
                        return Poll::Ready(());
                    }
                    step(now);
                    now += 1;
                }
                Poll::Pending
            })
        });
        outcome.await.is_none().then_some(now)
    }

    fn not_draining() -> (watch::Sender<bool>, watch::Receiver<bool>) {
        watch::channel(false)
    }

    fn answer_that_lasts(lasting: LongRunning) {
        note_lasting(lasting);
        note_answer();
    }

    #[tokio::test]
    async fn an_answer_that_stands_still_is_given_up() {
        let (_keep, draining) = not_draining();
        let stuck = |tick| {
            if tick == 2 {
                note_answer();
            }
        };
        let moving_until_60 = |tick| match tick {
            0 => note_answer(),
            1..=60 => note_part(),
            _ => {}
        };
        let second_request = |tick| match tick {
            0 => answer_that_lasts(LongRunning::Watch),
            1 => note_end(),
            2 => {
                note_request();
                note_answer();
            }
            _ => {}
        };
        let (stuck, moving, second) = tokio::join!(
            run(1000, draining.clone(), stuck),
            run(1000, draining.clone(), moving_until_60),
            run(1000, draining, second_request),
        );
        assert!(stuck.is_some_and(|tick| tick >= STALL_TICKS), "{stuck:?}");
        assert!(moving.is_some_and(|tick| tick >= 60 + STALL_TICKS), "{moving:?}");
        assert!(second.is_some_and(|tick| tick >= STALL_TICKS), "the next request lasts, too: {second:?}");
    }

    #[tokio::test]
    async fn what_is_over_or_may_last_goes_on() {
        let (_keep, draining) = not_draining();
        let over = |tick| match tick {
            0 => note_answer(),
            1 => note_end(),
            _ => {}
        };
        let lasting = |lasting| {
            move |tick| {
                if tick == 0 {
                    answer_that_lasts(lasting);
                }
            }
        };
        let ticks = 2 * STALL_TICKS;
        let outcomes = tokio::join!(
            run(ticks, draining.clone(), over),
            run(ticks, draining.clone(), lasting(LongRunning::Watch)),
            run(ticks, draining, lasting(LongRunning::Stream)),
        );
        assert_eq!(outcomes, (None, None, None));
    }

    #[tokio::test]
    async fn a_watch_is_given_up_soon_after_the_drain_began_and_another_stream_is_not() {
        for (lasting, is_cut) in [(LongRunning::Watch, true), (LongRunning::Stream, false)] {
            let (drain, draining) = not_draining();
            let step = |tick| match tick {
                0 => answer_that_lasts(lasting),
                20 => _ = drain.send_replace(true),
                // Further parts do not extend its time.
                _ => note_part(),
            };
            let outcome = run(20 + STALL_TICKS, draining, step).await;
            assert_eq!(outcome.is_some_and(|tick| tick > 20), is_cut, "{lasting:?}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_timer_of_an_earlier_response_does_not_delay_the_drain() {
        let (drain, draining) = not_draining();
        let step = |tick| match tick {
            0 => note_answer(),
            1 => {
                note_end();
                note_request();
                answer_that_lasts(LongRunning::Watch);
            }
            2 => _ = drain.send_replace(true),
            _ => {}
        };
        let mut watchdog = Watchdog::new(Patience { stall: Duration::from_secs(600), draining });
        let mut clock = tokio::time::interval(TICK);
        let mut now = 0;
        let outcome = poll_fn(|cx| {
            watchdog.poll(cx, |cx| {
                // Nothing but the watchdog wakes the task once the drain began.
                while now < 3 && clock.poll_tick(cx).is_ready() {
                    step(now);
                    now += 1;
                }
                Poll::<()>::Pending
            })
        });
        let outcome = tokio::time::timeout(Duration::from_secs(60), outcome).await;
        assert_eq!(outcome, Ok(None));
    }
}
