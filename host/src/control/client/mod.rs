//! The control plane's own requests to a backend: one connection per endpoint, kept open.

mod body;
mod clients;
mod line;

pub use body::BodyFault;
pub use clients::Clients;
pub use line::{Answer, Question};

use crate::route::Backend;
use crate::upstream::UpstreamFault;
use line::{Line, Tether};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Talks to one backend. An open connection is kept for each endpoint that was asked, so that its end is seen
/// at once. Nobody waits for another one that is connecting.
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

    /// Resolves when the other side has ended a connection since the last call, or somebody had a doubt. Cancel safe.
    pub async fn closed(&self) {
        self.closed.notified().await;
    }

    /// A request went wrong: whoever waits for the end of connections should look.
    pub fn doubt(&self) {
        self.closed.notify_one();
    }

    /// Lets go of all kept connections.
    pub fn hang_up(&self) {
        for slot in &self.lines {
            drop(slot.lock().take());
        }
    }

    /// Makes sure that a connection to an endpoint is open.
    ///
    /// # Errors
    /// When none can be opened within `limit`.
    pub async fn open(&self, endpoint: usize, limit: Duration) -> Result<(), UpstreamFault> {
        match tokio::time::timeout(limit, self.line(endpoint)).await {
            Ok(Ok((line, _))) => {
                self.keep(endpoint, line);
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
        let mut used = None;
        let outcome = tokio::time::timeout(question.limit, self.attempt(question, &mut used)).await;
        let outcome = outcome
            .unwrap_or_else(|_| Err(UpstreamFault::TimedOut { during: "awaiting the answer".to_owned() }));
        if let (Err(_), Some(used)) = (&outcome, &used) {
            self.forget(question.endpoint, used);
        }
        outcome
    }

    /// `used` is the connection that carries the question.
    async fn attempt(
        &self,
        question: &Question<'_>,
        used: &mut Option<Tether>,
    ) -> Result<Answer, UpstreamFault> {
        let (mut line, kept) = self.line(question.endpoint).await?;
        let before = used.insert(line.tether());
        let mut outcome = line.ask(question).await;
        if outcome.is_err() && kept {
            self.forget(question.endpoint, before);
            (line, _) = self.line(question.endpoint).await?;
            *used = Some(line.tether());
            outcome = line.ask(question).await;
        }
        let (answer, usable) = outcome?;
        if usable {
            self.keep(question.endpoint, line);
        }
        Ok(answer)
    }

    /// A connection, and whether it was kept from before.
    async fn line(&self, endpoint: usize) -> Result<(Line, bool), UpstreamFault> {
        let Some(slot) = self.lines.get(endpoint) else {
            return Err(UpstreamFault::Protocol(format!("there is no endpoint {endpoint}")));
        };
        if let Some(kept) = take_or_share(&mut slot.lock()) {
            return Ok((kept, true));
        }
        let line = Line::open(&self.backend, endpoint, &self.closed).await?;
        if let Some(shared) = line.share() {
            self.keep(endpoint, shared);
        }
        Ok((line, false))
    }

    fn keep(&self, endpoint: usize, line: Line) {
        if let Some(slot) = self.lines.get(endpoint) {
            let mut slot = slot.lock();
            if slot.as_ref().is_none_or(Line::is_closed) && !line.is_closed() {
                *slot = Some(line);
            }
        }
    }

    /// Lets go of a connection, unless another one was kept meanwhile.
    fn forget(&self, endpoint: usize, used: &Tether) {
        if let Some(slot) = self.lines.get(endpoint) {
            drop(slot.lock().take_if(|kept| kept.is_held_by(used)));
        }
    }
}

/// A kept connection that is still open: one more handle where the protocol carries several requests at a time.
fn take_or_share(slot: &mut Option<Line>) -> Option<Line> {
    if let Some(shared) = slot.as_ref().filter(|line| !line.is_closed()).and_then(Line::share) {
        return Some(shared);
    }
    slot.take().filter(|line| !line.is_closed())
}

impl std::fmt::Debug for ControlClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlClient").field("backend", &self.backend).finish_non_exhaustive()
    }
}
