//! Whether an answer gets on.
//!
//! A client that sends a request and never reads holds its answer, and with it a stream and a descriptor. The answer
//! itself is not polled meanwhile: hyper waits for room first. So the task that hyper polls is watched from outside:
//! what its answer does leaves a note in the thread, and a timer runs while there is an answer that stands still. The
//! timer is made when an answer stands still for the first time, which most never do.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long an answer that may last can still take to reach its client once the process is draining.
const LAST_FRAMES: Duration = Duration::from_millis(500);

thread_local! {
    static CURRENT: Cell<Progress> = const { Cell::new(Progress::NONE) };
}

/// What the answer of a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    is_answering: bool,
    may_last: bool,
    /// A part was handed to the client since the task was polled.
    has_moved: bool,
}

impl Progress {
    const NONE: Self = Self { is_answering: false, may_last: false, has_moved: false };
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

/// The request is a watch or another one whose answer may pause for as long as it likes.
pub fn note_may_last() {
    note(|progress| progress.may_last = true);
}

/// Whether [`note_may_last`] was called for the request.
pub fn may_last() -> bool {
    CURRENT.get().may_last
}

/// The answer begins.
pub fn note_answer() {
    note(|progress| (progress.is_answering, progress.has_moved) = (true, true));
}

/// A part of the answer was handed to the client.
pub fn note_part() {
    note(|progress| progress.has_moved = true);
}

/// The answer is handed over or given up.
pub fn note_end() {
    note(|progress| progress.is_answering = false);
}

/// When answers are given up.
#[derive(Clone, Debug)]
pub struct Patience {
    /// How long an answer may stand still.
    pub stall: Duration,
    /// True once the process is draining.
    pub draining: watch::Receiver<bool>,
}

/// Watches over the answers of one task of hyper's.
pub struct Watchdog {
    patience: Patience,
    progress: Progress,
    /// When the answer last moved.
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

    /// Polls the task by `poll`; `None` when its answer stood still for too long and the task is to be dropped.
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
            // What lasts gets no further time by what it goes on to send.
            if self.progress.has_moved && !(self.progress.may_last && self.is_draining) {
                self.moved = Instant::now();
            }
            // The answer ends by itself when it is asked after the drain began.
            if !(self.progress.may_last && self.has_drain_begun(cx)) {
                break;
            }
        }
        self.poll_stall(cx)
    }

    /// Whether the drain began since this was last asked; wakes the task when it does.
    fn has_drain_begun(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_draining {
            return false;
        }
        let mut draining = self.patience.draining.clone();
        let drain = self.drain.get_or_insert_with(|| {
            Box::pin(async move {
                // The sender never goes away without a drain.
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
        let limit = match (self.progress.may_last, self.is_draining) {
            (true, false) => return Poll::Pending,
            (true, true) => LAST_FRAMES,
            (false, _) => self.patience.stall,
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
    /// Long enough that a busy machine does not look like an answer that stands still.
    const STALL: Duration = Duration::from_secs(2);
    const STALL_TICKS: u32 = 40;

    /// A task that does `step` at each tick for `ticks`; the tick at which it is dropped, if it is.
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

    fn answer_that_lasts() {
        note_may_last();
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
            0 => answer_that_lasts(),
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
        let lasting = |tick| {
            if tick == 0 {
                answer_that_lasts();
            }
        };
        let ticks = 2 * STALL_TICKS;
        let outcomes = tokio::join!(run(ticks, draining.clone(), over), run(ticks, draining, lasting));
        assert_eq!(outcomes, (None, None));
    }

    #[tokio::test]
    async fn what_may_last_is_given_up_soon_after_the_drain_began() {
        let (drain, draining) = not_draining();
        let step = |tick| match tick {
            0 => answer_that_lasts(),
            20 => _ = drain.send_replace(true),
            // What it goes on to send wins it no time.
            _ => note_part(),
        };
        let outcome = run(1000, draining, step).await;
        assert!(outcome.is_some_and(|tick| tick > 20), "{outcome:?}");
    }
}
