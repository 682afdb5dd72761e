//! Which endpoint of a backend takes a request.

use super::answer::refuse_fault;
use super::connection::Client;
use super::repeat::Processing;
use crate::model::failure::Failure;
use crate::route::{Backend, SignalKind};
use crate::upstream::UpstreamFault;
use http::Method;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Time after which a backend that is being dialed must be checked.
const DOUBT: Duration = Duration::from_secs(2);
/// Limit for reaching one endpoint while another one is left: one that swallows packets must not use up the time
/// of the request.
const PATIENCE: Duration = Duration::from_secs(2);

/// Dials endpoints, `first` to begin with, until one can be reached.
///
/// # Errors
/// What the client is to read when none can.
pub async fn reach<T>(
    client: &Client,
    backend: &Arc<Backend>,
    method: &Method,
    first: usize,
    mut dial: impl AsyncFnMut(usize) -> Result<T, UpstreamFault>,
) -> Result<T, Box<Failure>> {
    let pool = &client.worker.pool;
    let mut tried = Vec::new();
    let mut index = first;
    loop {
        tried.push(index);
        let next = pool.choose(backend, &tried);
        let dialling = dial(index);
        let outcome = if next.is_none() {
            doubting(client, backend, dialling).await
        } else {
            let late = |_| Err(UpstreamFault::TimedOut { during: format!("dial {}", backend.service) });
            tokio::time::timeout(PATIENCE, dialling).await.unwrap_or_else(late)
        };
        let fault = match outcome {
            Ok(reached) => {
                pool.note_reached(backend, index);
                return Ok(reached);
            }
            Err(fault) => fault,
        };
        tracing::warn!(service = %backend.service, %fault, "cannot reach a backend");
        pool.note_away(backend, index);
        client.worker.inputs.signals.report(backend.id, SignalKind::Undeliverable);
        match next {
            Some(next) => index = next,
            // A request that waits for a dial was not sent yet, or is safe to send again.
            None => return Err(refuse_fault(&fault, Processing::Excluded, method)),
        }
    }
}

/// Requests a check of the backend during the dial, so that the result does not wait for the dial to fail.
async fn doubting<T>(client: &Client, backend: &Backend, dialling: impl Future<Output = T>) -> T {
    let mut dialling = pin!(dialling);
    if let Ok(outcome) = tokio::time::timeout(DOUBT, &mut dialling).await {
        return outcome;
    }
    client.worker.inputs.signals.report(backend.id, SignalKind::Silent);
    dialling.await
}
