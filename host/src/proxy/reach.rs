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
            doubting(client, backend, DOUBT, dialling).await
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
async fn doubting<T>(
    client: &Client,
    backend: &Backend,
    doubt: Duration,
    dialling: impl Future<Output = T>,
) -> T {
    let mut dialling = pin!(dialling);
    if let Ok(outcome) = tokio::time::timeout(doubt, &mut dialling).await {
        return outcome;
    }
    client.worker.inputs.signals.report(backend.id, SignalKind::Silent);
    dialling.await
}

#[cfg(test)]
mod tests {
    use super::super::pool::backend_for_tests;
    use super::super::testing::setup;
    use super::*;
    use crate::route::Signal;

    #[tokio::test]
    async fn a_slow_dial_has_the_backend_checked_before_it_ends() {
        let mut setup = setup("");
        let backend = backend_for_tests(&[1]);
        let doubt = Duration::from_millis(1);
        let dialling = async {
            let signal = tokio::time::timeout(Duration::from_secs(20), setup.signals.recv()).await;
            assert_eq!(signal, Ok(Some(Signal { backend: backend.id, kind: SignalKind::Silent })));
        };
        doubting(&setup.client, &backend, doubt, dialling).await;
        doubting(&setup.client, &backend, Duration::from_secs(600), std::future::ready(())).await;
        assert!(setup.signals.try_recv().is_err(), "a fast dial is in no doubt");
    }

    #[tokio::test]
    async fn an_endpoint_that_cannot_be_reached_is_passed_over() {
        let mut setup = setup("");
        let backend = backend_for_tests(&[1, 1]);
        let unreachable = || UpstreamFault::Protocol("no".to_owned());
        let only_1 = async |index| if index == 1 { Ok(index) } else { Err(unreachable()) };
        let reached = reach(&setup.client, &backend, &Method::POST, 0, only_1).await;
        assert_eq!(reached.map_err(|failure| failure.code), Ok(1));
        assert_eq!(setup.signals.try_recv().map(|signal| signal.kind), Ok(SignalKind::Undeliverable));
        assert_eq!(setup.client.worker.pool.choose(&backend, &[]), Some(1), "the first one is marked");
        let none = async |_| Err::<usize, _>(unreachable());
        let failure = reach(&setup.client, &backend, &Method::POST, 0, none).await.unwrap_err();
        assert_eq!((failure.code, failure.retry_after_seconds()), (503, Some(1)), "no request was sent");
    }
}
