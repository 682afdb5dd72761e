//! One worker: a thread, a single-threaded runtime, an accept loop and a tick.

use super::Inputs;
use super::connection::{Gate, serve};
use super::pool::Pool;
use super::progress::Patience;
use crate::listen::AcceptBackOff;
use crate::model::identity::Caller;
use crate::observe::{RestartPause, Supervisor, catch_panic, failpoint};
use crate::route::Snapshot;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// How often idle connections are looked for.
const TICK: Duration = Duration::from_secs(1);

/// What the requests of one worker share.
pub struct Worker {
    /// What the data plane was started with.
    pub(super) inputs: Arc<Inputs>,
    /// The caller without a credential.
    pub anonymous: Arc<Caller>,
    /// Connections to backends.
    pub pool: Pool,
    /// The snapshot that the pool was last compared with.
    known: RefCell<Arc<Snapshot>>,
    started: Instant,
    /// Seconds since the worker started.
    now: Cell<u64>,
    gates: RefCell<Vec<Weak<Gate>>>,
}

impl Worker {
    /// A worker without connections.
    pub(super) fn new(inputs: &Arc<Inputs>) -> Rc<Self> {
        Rc::new(Self {
            pool: Pool::new(inputs.signals.clone()),
            known: RefCell::new(inputs.snapshots.load_full()),
            inputs: Arc::clone(inputs),
            anonymous: Arc::new(Caller::anonymous()),
            started: Instant::now(),
            now: Cell::new(0),
            gates: RefCell::default(),
        })
    }

    /// Seconds since the worker started, updated once a second.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// A gate for a new connection; found by the tick and by a drain until it is dropped.
    pub fn open_gate(&self) -> Rc<Gate> {
        let gate = Rc::new(Gate::new(self.now()));
        self.gates.borrow_mut().push(Rc::downgrade(&gate));
        gate
    }

    /// Whether the process is about to end.
    pub fn is_draining(&self) -> bool {
        *self.inputs.draining.borrow()
    }

    /// When stalled responses are aborted.
    pub fn patience(&self) -> Patience {
        Patience { stall: self.inputs.answer_stall, draining: self.inputs.draining.clone() }
    }

    fn for_each_gate(&self, mut visit: impl FnMut(&Gate)) -> usize {
        self.gates.borrow_mut().retain(|gate| gate.upgrade().inspect(|gate| visit(gate)).is_some());
        self.gates.borrow().len()
    }

    fn tick(&self, started: Instant) {
        failpoint("proxy.tick");
        self.now.set(started.elapsed().as_secs());
        self.for_each_gate(|gate| gate.expire(self.now()));
        let snapshot = self.inputs.snapshots.load_full();
        if !Arc::ptr_eq(&snapshot, &self.known.borrow()) {
            self.pool.keep_only(&snapshot);
            *self.known.borrow_mut() = snapshot;
        }
        self.pool.tick(self.now());
    }
}

/// Starts a worker thread. It ends after a drain. A panic that reaches the thread itself ends its connections; the
/// thread continues with a new runtime.
///
/// # Errors
/// When the runtime or the thread cannot be had.
pub fn start(index: usize, listener: TcpListener, inputs: Arc<Inputs>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let mut listener = Some(listener);
        let mut pauses = RestartPause::default();
        loop {
            let began = Instant::now();
            let outcome = catch_panic(|| {
                let runtime = build_runtime()?;
                runtime.block_on(run(&mut listener, &inputs))?;
                runtime.shutdown_timeout(Duration::ZERO);
                Ok::<_, io::Error>(())
            });
            match outcome {
                Some(Ok(())) => return,
                Some(Err(error)) => return tracing::error!(%error, worker = index, "a worker cannot run"),
                None if *inputs.draining.borrow() => return,
                None => {
                    let pause = pauses.next(began.elapsed());
                    tracing::error!(worker = index, "a worker panicked; it starts again in {pause:?}");
                    std::thread::sleep(pause);
                }
            }
        }
    })
}

fn build_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// Serves until the drain is over. `listener` is closed when the drain begins.
async fn run(listener: &mut Option<TcpListener>, inputs: &Arc<Inputs>) -> io::Result<()> {
    let Some(socket) = listener else { return Ok(()) };
    let socket = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
    let drain_timeout = inputs.drain_timeout;
    let mut draining = inputs.draining.clone();
    let worker = Worker::new(inputs);
    let ticked = Rc::clone(&worker);
    let ticking = tokio::task::spawn_local(async move {
        let mut supervisor = Supervisor::new("looking after idle connections");
        while supervisor.must_restart(keep_ticking(&ticked)).await {}
    });
    tokio::select! {
        () = accept(&worker, &socket) => {}
        // The sender never goes away without a drain.
        _ = draining.wait_for(|drain| *drain) => {}
    }
    drop(socket);
    *listener = None;
    let wait = tokio::time::timeout(drain_timeout, drain(&worker));
    if wait.await.is_err() {
        tracing::warn!(timeout = ?drain_timeout, "drain is over; connections that still work are cut");
    }
    ticking.abort();
    Ok(())
}

async fn keep_ticking(worker: &Worker) {
    let started = worker.started;
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        worker.tick(started);
    }
}

async fn accept(worker: &Rc<Worker>, listener: &tokio::net::TcpListener) {
    let mut back_off = AcceptBackOff::default();
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                failpoint("proxy.accept");
                back_off.reset();
                start_serving(worker, stream, remote);
            }
            Err(error) => {
                let (pause, is_first) = back_off.pause(&error);
                if is_first {
                    tracing::error!(%error, "cannot accept connections; trying on");
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn start_serving(worker: &Rc<Worker>, stream: TcpStream, remote: std::net::SocketAddr) {
    let _detached = tokio::task::spawn_local(serve(Rc::clone(worker), stream, remote));
}

/// Tells every connection to finish and waits until all have.
async fn drain(worker: &Worker) {
    let mut interval = tokio::time::interval(Duration::from_millis(10));
    let since = worker.now();
    while worker.for_each_gate(|gate| gate.drain_until_quiet(worker.now(), since)) > 0 {
        interval.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::setup;
    use super::drain;
    use std::rc::Rc;
    use std::time::Duration;

    #[tokio::test]
    async fn a_drain_ends_with_the_last_connection() {
        let client = setup("").client;
        let worker = Rc::clone(&client.worker);
        let early = tokio::time::timeout(Duration::from_millis(50), drain(&worker)).await;
        assert!(early.is_err(), "a connection is still open");
        drop(client);
        tokio::time::timeout(Duration::from_secs(10), drain(&worker)).await.unwrap();
    }
}
