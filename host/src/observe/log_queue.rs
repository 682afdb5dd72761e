//! A queue of log lines before standard error.
//!
//! The reader of the log may stop, close the pipe, or run out of disk. So threads that serve requests do not write
//! there: lines wait in a bounded queue, a separate thread writes them, and lines that cannot be written are dropped
//! and counted.

use parking_lot::{Condvar, Mutex};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Maximum number of bytes in the queue.
const LIMIT: usize = 4 << 20;
/// Memory that the queue keeps when it is empty.
const KEPT: usize = 64 << 10;
/// Delay before the next write to a full non-blocking pipe.
const PIPE_PAUSE: Duration = Duration::from_millis(20);

/// Lines that could not be written since the process started.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines that could not be written since the process started.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Takes lines and hands them to the writing thread.
#[derive(Clone, Debug, Default)]
pub(super) struct LogQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
}

impl LogQueue {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Self::default();
        let writer = queue.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_to(sink))?;
        Ok(queue)
    }

    /// Adds a line with its line break. Does not wait for the reader; drops the line if the queue is full.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.0.state.lock();
        if state.waiting.len() + line.len() > LIMIT {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, for at most `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let mut state = self.0.state.lock();
        while state.is_writing || !state.waiting.is_empty() {
            if self.0.changed.wait_until(&mut state, end).timed_out() {
                return;
            }
        }
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.0.state.lock();
            state.is_writing = false;
            self.0.changed.notify_all();
            while state.waiting.is_empty() {
                self.0.changed.wait(&mut state);
            }
            std::mem::swap(&mut batch, &mut state.waiting);
            state.is_writing = true;
            drop(state);
            let unwritten = write_lines(&batch, &mut sink);
            DROPPED.fetch_add(unwritten, Ordering::Relaxed);
            batch.clear();
            batch.shrink_to(KEPT);
        }
    }
}

/// Writes as much as possible and returns the number of lines that are lost.
fn write_lines(lines: &[u8], sink: &mut impl Write) -> u64 {
    let mut rest = lines;
    while !rest.is_empty() {
        match sink.write(rest) {
            Ok(0) => break,
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PIPE_PAUSE),
            Err(_) => break,
        }
    }
    rest.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const BOUND: Duration = Duration::from_secs(20);

    /// Records its input once it is allowed to.
    struct Pipe {
        may_go: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Pipe {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.may_go.recv().map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
            self.written.send(data.to_vec()).map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
            Ok(data.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink that answers each write with the next of `outcomes`.
    struct Scripted(Vec<io::Result<usize>>);

    impl Write for Scripted {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.pop().unwrap_or_else(|| Err(ErrorKind::BrokenPipe.into()))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_blocks_no_thread_and_the_queue_has_a_limit() {
        let ((go, may_go), (written, seen)) = (mpsc::channel(), mpsc::channel());
        let queue = LogQueue::start(Pipe { may_go, written }).unwrap();
        let line = [vec![b'x'; 1023], vec![b'\n']].concat();
        let before = dropped();
        // The writer may have taken a full queue already, so three times the limit is certainly too much.
        let count = 3 * LIMIT / line.len();
        (0..count).for_each(|_| queue.push(&line));
        assert!(dropped() - before >= (count / 3 - 1) as u64, "{} lines dropped", dropped() - before);
        assert!(queue.0.state.lock().waiting.len() <= LIMIT);
        queue.flush(Duration::from_millis(1));
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert!(seen.recv_timeout(BOUND).unwrap().starts_with(&line), "lines that fitted are written");
    }

    #[test]
    fn a_flush_waits_for_the_writer() {
        let ((go, may_go), (written, seen)) = (mpsc::channel(), mpsc::channel());
        let queue = LogQueue::start(Pipe { may_go, written }).unwrap();
        queue.push(b"last\n");
        go.send(()).unwrap();
        queue.flush(BOUND);
        assert_eq!(seen.try_recv().unwrap(), b"last\n");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let lose = |outcomes| write_lines(b"one\ntwo\n", &mut Scripted(outcomes));
        assert_eq!(lose(vec![Ok(8)]), 0);
        assert_eq!(lose(vec![]), 2);
        assert_eq!(lose(vec![Ok(0)]), 2);
        assert_eq!(lose(vec![Err(ErrorKind::StorageFull.into()), Ok(4)]), 1);
        let retried = vec![Ok(8), Err(ErrorKind::WouldBlock.into()), Err(ErrorKind::Interrupted.into())];
        assert_eq!(lose(retried), 0);
    }
}
