//! The data plane: workers that accept, authenticate, route and forward.
//!
//! Each worker is one thread with one single-threaded runtime, its own accept loop and its own connections to
//! backends. Workers share nothing that changes but the snapshot cell.

mod answer;
mod authenticate;
mod authorise;
mod bearer_protocol;
mod body;
mod connection;
mod deadline;
mod documents;
mod event_boundary;
mod exchange;
mod forward;
mod head;
mod http1_connection;
mod negotiate;
mod path;
mod pool;
mod progress;
mod reach;
mod repeat;
mod request_body;
mod request_headers;
mod response_headers;
mod send;
#[cfg(test)]
mod testing;
mod unread_body;
mod upgrade;
mod upload;
mod upload_buffer;
mod worker;

use crate::listen::{SharedListenTls, TokenTable, prepare_listener};
use crate::model::byte_budget::ByteBudget;
use crate::route::{LocalApi, Shared, Signals};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// What the data plane needs to run.
pub struct DataPlaneConfig {
    /// Bound already, so that the address is known and a taken port is an error of the caller's.
    pub listener: TcpListener,
    /// How many threads serve; at least one is started.
    pub workers: usize,
    /// TLS towards clients; each new connection takes what lies in the cell then.
    pub tls: SharedListenTls,
    /// Static tokens.
    pub tokens: Arc<TokenTable>,
    /// How long requests in flight may go on after [`DataPlane::drain`].
    pub drain_timeout: Duration,
    /// How long the body of a request may pause before its answer begins.
    pub upload_pause: Duration,
    /// How long a response may stall, because its client does not read or its backend does not continue, before it is
    /// aborted. Watches and other long-running responses are exempt.
    pub answer_stall: Duration,
    /// Where the snapshot lies.
    pub snapshots: Arc<Shared>,
    /// Answers for own kinds, health, version and metrics.
    pub local: Arc<dyn LocalApi>,
    /// Where traffic reports what it saw.
    pub signals: Signals,
}

/// What every worker is given; see [`DataPlaneConfig`].
struct Inputs {
    tls: SharedListenTls,
    tokens: Arc<TokenTable>,
    drain_timeout: Duration,
    upload_pause: Duration,
    answer_stall: Duration,
    snapshots: Arc<Shared>,
    local: Arc<dyn LocalApi>,
    signals: Signals,
    uploads: Arc<ByteBudget>,
    draining: watch::Receiver<bool>,
}

/// The [`DataPlaneConfig::answer_stall`] of Umbel: as long as a whole request may take (contract §7.2).
pub const ANSWER_STALL: Duration = Duration::from_secs(60);

/// The running data plane. Dropping it drains it.
#[derive(Debug)]
pub struct DataPlane {
    local_addr: SocketAddr,
    uploads: Arc<ByteBudget>,
    drain: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl DataPlane {
    /// Starts the workers; connections are accepted when this returns.
    ///
    /// # Errors
    /// When the socket or a thread cannot be set up.
    pub fn start(config: DataPlaneConfig) -> io::Result<Self> {
        let DataPlaneConfig {
            listener,
            workers: count,
            tls,
            tokens,
            drain_timeout,
            upload_pause,
            answer_stall,
            snapshots,
            local,
            signals,
        } = config;
        prepare_listener(&listener)?;
        let local_addr = listener.local_addr()?;
        let (drain, draining) = watch::channel(false);
        let uploads = ByteBudget::new(upload_buffer::PROCESS_MAX);
        let shared = Arc::new(Inputs {
            tls,
            tokens,
            drain_timeout,
            upload_pause,
            answer_stall,
            snapshots,
            local,
            signals,
            uploads: Arc::clone(&uploads),
            draining,
        });
        let mut workers = Vec::new();
        for index in 0..count.max(1) {
            // Each worker closes its own copy; the socket stops listening when the last one is gone.
            workers.push(worker::start(index, listener.try_clone()?, Arc::clone(&shared))?);
        }
        Ok(Self { local_addr, uploads, drain, workers })
    }

    /// The address that clients reach.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The memory budget for request bodies that have not been passed on yet.
    pub fn uploads(&self) -> &Arc<ByteBudget> {
        &self.uploads
    }

    /// Stops accepting, tells clients to go (GOAWAY, `Connection: close`), waits for requests in flight for
    /// at most the drain timeout, then cuts what is left. Blocks: call it from a thread that may.
    pub fn drain(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.drain.send_replace(true);
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop();
    }
}
