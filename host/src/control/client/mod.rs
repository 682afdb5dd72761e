//! The control plane's own requests to a backend: one connection per endpoint, kept open.

mod clients;
mod line;

pub use clients::Clients;
pub use line::{Answer, Question};

use crate::route::Backend;
use crate::upstream::UpstreamFault;
use line::Line;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// Talks to one backend. An open connection is kept for each endpoint that was asked, so that its end is seen
/// at once.
pub struct ControlClient {
    backend: Arc<Backend>,
    lines: Vec<Mutex<Option<Line>>>,
    closed: Arc<Notify>,
}

impl ControlClient {
    /// A client that has not connected yet.
    pub fn new(backend: Arc<Backend>) -> Self {
        let lines = backend.endpoints.iter().map(|_| Mutex::default()).collect();
        Self { backend, lines, closed: Arc::default() }
    }

    /// Whom it talks to.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Resolves when the other side has ended a connection since the last call. Cancel safe.
    pub async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Lets go of all kept connections.
    pub fn hang_up(&self) {
        for line in &self.lines {
            if let Ok(mut slot) = line.try_lock() {
                *slot = None;
            }
        }
    }

    /// Makes sure that a connection to an endpoint is open.
    ///
    /// # Errors
    /// When none can be opened within `limit`.
    pub async fn open(&self, endpoint: usize, limit: Duration) -> Result<(), UpstreamFault> {
        match tokio::time::timeout(limit, self.line(endpoint)).await {
            Ok(Ok((line, _))) => {
                self.keep(endpoint, line).await;
                Ok(())
            }
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(UpstreamFault::TimedOut { during: "connecting".to_owned() }),
        }
    }

    /// Sends one request. A kept connection that turns out to be dead is replaced once.
    ///
    /// # Errors
    /// When no answer came within the limit of the question.
    pub async fn ask(&self, question: &Question<'_>) -> Result<Answer, UpstreamFault> {
        match tokio::time::timeout(question.limit, self.attempt(question)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.forget(question.endpoint).await;
                Err(UpstreamFault::TimedOut { during: "awaiting the answer".to_owned() })
            }
        }
    }

    async fn attempt(&self, question: &Question<'_>) -> Result<Answer, UpstreamFault> {
        let (mut line, kept) = self.line(question.endpoint).await?;
        let mut outcome = line.ask(question).await;
        if outcome.is_err() && kept {
            self.forget(question.endpoint).await;
            (line, _) = self.line(question.endpoint).await?;
            outcome = line.ask(question).await;
        }
        let (answer, usable) = match outcome {
            Ok(done) => done,
            Err(fault) => {
                self.forget(question.endpoint).await;
                return Err(fault);
            }
        };
        if usable {
            self.keep(question.endpoint, line).await;
        }
        Ok(answer)
    }

    /// A connection, and whether it was kept from before.
    async fn line(&self, endpoint: usize) -> Result<(Line, bool), UpstreamFault> {
        let Some(slot) = self.lines.get(endpoint) else {
            return Err(UpstreamFault::Protocol(format!("there is no endpoint {endpoint}")));
        };
        let mut slot = slot.lock().await;
        if let Some(line) = slot.take_if(|line| line.is_closed() || line.share().is_none())
            && !line.is_closed()
        {
            return Ok((line, true));
        }
        if let Some(shared) = slot.as_ref().and_then(Line::share) {
            return Ok((shared, true));
        }
        let line = Line::open(&self.backend, endpoint, &self.closed).await?;
        *slot = line.share();
        Ok((line, false))
    }

    async fn keep(&self, endpoint: usize, line: Line) {
        if let Some(slot) = self.lines.get(endpoint) {
            let mut slot = slot.lock().await;
            if slot.is_none() && !line.is_closed() {
                *slot = Some(line);
            }
        }
    }

    async fn forget(&self, endpoint: usize) {
        if let Some(slot) = self.lines.get(endpoint) {
            *slot.lock().await = None;
        }
    }
}

impl std::fmt::Debug for ControlClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlClient").field("backend", &self.backend).finish_non_exhaustive()
    }
}
