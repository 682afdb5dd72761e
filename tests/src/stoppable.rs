//! A backend that can stop like a process that receives SIGSTOP: the kernel goes on accepting connections and
//! acknowledging data, but the process does nothing.

use super::authority::Authority;
use super::tls_backend::{Backend, Handler};
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::mpsc as blocking;
use tokio::sync::mpsc;

/// A backend on a thread of its own; stops when it is dropped.
pub struct StoppableBackend {
    /// On loopback.
    pub port: u16,
    orders: mpsc::Sender<blocking::Receiver<()>>,
    backend: Arc<Backend>,
}

/// Holds a backend stopped until it is dropped.
pub struct Stopped(#[expect(dead_code, reason = "its end is what counts")] blocking::Sender<()>);

impl StoppableBackend {
    /// Serves with a good certificate.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(ca: Arc<Authority>, alpn: &'static [&'static str], handler: Handler) -> Result<Self> {
        let (orders, mut ordered) = mpsc::channel::<blocking::Receiver<()>>(1);
        let (started, is_started) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async move {
                let backend = Backend::start(&ca, alpn, handler).await.map(Arc::new);
                drop(started.send(backend));
                while let Some(until) = ordered.recv().await {
                    // Blocks the only thread of the runtime until the other end is dropped.
                    until.recv().ok();
                }
            });
        });
        let backend = is_started.await.context("the backend did not start")??;
        Ok(Self { port: backend.port, orders, backend })
    }

    /// Stops it.
    ///
    /// # Errors
    /// When its thread has ended.
    pub fn stop(&self) -> Result<Stopped> {
        let (hold, until) = blocking::channel();
        self.orders.try_send(until).map_err(|error| anyhow::anyhow!("cannot stop the backend: {error}"))?;
        Ok(Stopped(hold))
    }

    /// How many requests were received so far.
    pub fn requests(&self) -> usize {
        self.backend.requests()
    }
}
