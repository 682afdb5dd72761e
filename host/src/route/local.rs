//! How a worker hands a request that Umbel answers itself to the control runtime.

use crate::model::identity::Caller;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use std::sync::Arc;

/// A body that ended early.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LocalError(pub String);

/// The body of a local answer: whole, or a stream for a watch.
pub type LocalBody = UnsyncBoxBody<Bytes, LocalError>;

/// Answers requests for the own kinds, health, version and metrics. Implementations do their work on the
/// control runtime, whatever runtime polls the returned future.
pub trait LocalApi: Send + Sync {
    /// Answers one authenticated and authorised request.
    fn serve(
        &self,
        request: Request<hyper::body::Incoming>,
        caller: Arc<Caller>,
    ) -> BoxFuture<'static, Response<LocalBody>>;
}
