//! The door: every request that Umbel answers itself comes in here.

use super::body::Bodies;
use super::dispatch::dispatch;
use super::labels::labels;
use super::negotiation::error_format;
use super::query::{Query, parse_duration};
use super::readiness::Readiness;
use super::reply::{self, Reply};
use crate::decision::plugins::Plugins;
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::identity::Caller;
use crate::model::request_info::RequestInfo;
use crate::observe::{Metrics, failpoint};
use crate::registry::Registry;
use crate::route::{ClientBody, LocalApi, LocalBody, Shared};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body::Body;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Upstream's limit for requests that are no watches.
const REQUEST_MAX: Duration = Duration::from_secs(60);
static AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// What the API works with.
pub struct ApiConfig {
    /// What is served; Umbel serves [`crate::kind::ALL`].
    pub kinds: &'static [&'static Kind],
    /// The objects.
    pub registry: Registry,
    /// Where the newest snapshot lies; the index tells its groups.
    pub shared: Arc<Shared>,
    /// What must have happened before `/readyz` is ok.
    pub readiness: Arc<Readiness>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What `/plugins` shows; without it that path does not exist.
    pub plugins: Option<Arc<dyn Plugins>>,
    /// The control runtime, on which all work is done.
    pub runtime: tokio::runtime::Handle,
}

/// Answers requests for the own kinds, health, version, index and metrics.
pub struct Api {
    pub(super) kinds: &'static [&'static Kind],
    pub(super) registry: Registry,
    pub(super) shared: Arc<Shared>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) plugins: Option<Arc<dyn Plugins>>,
    pub(super) bodies: Bodies,
    runtime: tokio::runtime::Handle,
    this: std::sync::Weak<Self>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Api {
    /// An API over `config`.
    pub fn new(config: ApiConfig) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            kinds: config.kinds,
            registry: config.registry,
            shared: config.shared,
            readiness: config.readiness,
            metrics: config.metrics,
            plugins: config.plugins,
            bodies: Bodies::new(),
            runtime: config.runtime,
            this: this.clone(),
        })
    }

    /// Answers one request with any kind of body. Must run on the control runtime.
    pub async fn answer<B>(self: Arc<Self>, request: Request<B>, caller: Arc<Caller>) -> Response<LocalBody>
    where
        B: Body + Unpin,
        B::Error: std::fmt::Display,
    {
        failpoint("api.request");
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let query_text = parts.uri.query().unwrap_or_default();
        let info = RequestInfo::new(&parts.method, parts.uri.path(), query_text);
        let audit_id = parts.headers.get(&AUDIT_ID).cloned().unwrap_or_else(new_audit_id);
        let is_dry_run = Query::parse(query_text).first("dryRun").is_some();
        let deadline = deadline(&info, query_text);
        let error_format = error_format(&parts.headers);
        let method = parts.method.clone();
        tracing::debug!(method = %method, path = %info.path, user = %caller.user, "request");

        let answered = match deadline {
            Err(refused) => Err(refused),
            Ok(None) => dispatch(&self, &info, parts, body).await,
            Ok(Some(limit)) => match tokio::time::timeout(limit, dispatch(&self, &info, parts, body)).await {
                Ok(answered) => answered,
                Err(_) => {
                    self.metrics.count_termination(&labels(self.kinds, &info, &method, is_dry_run), 504);
                    Err(too_slow())
                }
            },
        };
        let mut response = answered.unwrap_or_else(|failure| {
            if failure.code >= 500 {
                tracing::warn!(method = %method, path = %info.path, error = %failure.message, "refused");
            }
            reply::failure_in(error_format, &failure)
        });
        finish(&mut response, &method, audit_id);
        let labels = labels(self.kinds, &info, &method, is_dry_run);
        self.metrics.record_request(&labels, response.status().as_u16(), began.elapsed());
        response
    }
}

impl LocalApi for Api {
    fn serve(
        &self,
        request: Request<ClientBody>,
        caller: Arc<Caller>,
    ) -> BoxFuture<'static, Response<LocalBody>> {
        let Some(this) = self.this.upgrade() else {
            return Box::pin(async { reply::failure(&shutting_down()) });
        };
        let is_safe = request.method().is_safe();
        let task = self.runtime.spawn(this.answer(request, caller));
        Box::pin(async move {
            task.await.unwrap_or_else(|error| {
                if error.is_cancelled() {
                    return reply::failure(&if is_safe { shutting_down() } else { cut_off() });
                }
                reply::failure(&Failure::panicked())
            })
        })
    }
}

/// How long a request may take; `None` for a watch.
fn deadline(info: &RequestInfo, query: &str) -> Result<Option<Duration>, Failure> {
    if info.is_long_running() {
        return Ok(None);
    }
    let query = Query::parse(query);
    let text = query.text("timeout");
    if text.is_empty() {
        return Ok(Some(REQUEST_MAX));
    }
    match parse_duration(text) {
        Some(Duration::ZERO) => Ok(Some(REQUEST_MAX)),
        Some(wanted) => Ok(Some(wanted.min(REQUEST_MAX))),
        None => Err(Failure::bad_request(format!(
            "invalid timeout specified in the request URL - {text:?} is no duration such as 30s or 1m30s"
        ))),
    }
}

/// What every answer carries.
fn finish(response: &mut Reply, method: &Method, audit_id: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(AUDIT_ID.clone(), audit_id);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    if method == Method::HEAD {
        *response.body_mut() = reply::whole("");
    }
}

fn new_audit_id() -> HeaderValue {
    let id = uuid::Uuid::new_v4().to_string();
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
}

fn too_slow() -> Failure {
    Failure {
        details: Some(Box::default()),
        ..Failure::new(504, "Timeout", "Timeout: request did not complete within the allotted timeout")
    }
}

fn shutting_down() -> Failure {
    Failure::unavailable("the server is shutting down").retry_after(1)
}

/// Without `Retry-After`: the write may have been done, and clients retry every verb for which they get this header.
fn cut_off() -> Failure {
    Failure::unavailable(
        "the server is shutting down and may have processed the request: look before you repeat it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_lasts_longer_than_the_limit_and_watches_have_none() {
        let limit = |path: &str, query: &str| deadline(&RequestInfo::new(&Method::GET, path, query), query);
        let path = "/apis/g/v1/things";
        assert_eq!(limit(path, "").unwrap(), Some(REQUEST_MAX));
        assert_eq!(limit(path, "timeout=2s").unwrap(), Some(Duration::from_secs(2)));
        assert_eq!(limit(path, "timeout=10m").unwrap(), Some(REQUEST_MAX));
        assert_eq!(limit(path, "timeout=0s").unwrap(), Some(REQUEST_MAX));
        assert_eq!(limit(path, "watch=true&timeout=2s").unwrap(), None);
        assert_eq!(limit(path, "timeout=soon").unwrap_err().code, 400);
    }
}
