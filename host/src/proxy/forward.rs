//! Forwarding one request to a backend.

use super::answer::{refuse_fault, refuse_late};
use super::body::AnswerBody;
use super::connection::Client;
use super::pool::{Host, Http2Connection, Lease};
use super::reach::reach;
use super::repeat::Processing;
use super::request_body::RequestBody;
use super::request_headers::Context;
use super::send::{Lost, Unsent, send_http1, send_http2};
use crate::model::failure::Failure;
use crate::model::identity::Caller;
use crate::observe::ProxiedRequests;
use crate::route::{Backend, ClientBody, SignalKind};
use crate::upstream::UpstreamFault;
use http::{Method, Request, Response};
use http_body::Body;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How often a request is sent again at most.
const RETRIES: u32 = 2;
/// As good as no limit.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Where a request goes and how long its answer may take to begin.
pub struct Journey {
    /// The backend.
    pub backend: Arc<Backend>,
    /// Counts it.
    pub counter: Arc<ProxiedRequests>,
    /// `None` for a request that may last.
    pub limit: Option<Duration>,
}

/// Counts a request once: by its code, or as given up when it is dropped before.
pub struct Counted(Option<Arc<ProxiedRequests>>);

impl Counted {
    /// A request begins.
    pub fn new(counter: Arc<ProxiedRequests>) -> Self {
        Self(Some(counter))
    }

    /// The client receives `code`.
    pub fn finish(mut self, code: u16) {
        if let Some(counter) = self.0.take() {
            counter.count(code);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(counter) = &self.0 {
            counter.count(0);
        }
    }
}

/// Forwards a request and returns the head of the answer with its body still to come.
///
/// # Errors
/// What the client is to read when there is no answer.
pub async fn forward(
    client: &Rc<Client>,
    request: Request<ClientBody>,
    caller: &Caller,
    journey: Journey,
) -> Result<Response<AnswerBody>, Box<Failure>> {
    let (method, processing) = (request.method().clone(), Cell::default());
    let delivery = deliver(client, request, caller, &journey.backend, &processing);
    match tokio::time::timeout(journey.limit.unwrap_or(FOR_EVER), delivery).await {
        Ok(outcome) => outcome,
        Err(_) => Err(time_out(client, &journey, processing.get(), &method)),
    }
}

/// 503 for discovery, as upstream has it, 504 for everything else.
fn time_out(client: &Client, journey: &Journey, processing: Processing, method: &Method) -> Box<Failure> {
    client.worker.inputs.signals.report(journey.backend.id, SignalKind::Undeliverable);
    tracing::warn!(service = %journey.backend.service, limit = ?journey.limit, "a backend did not answer in time");
    if journey.limit == Some(super::deadline::DISCOVERY) {
        let fault = UpstreamFault::TimedOut { during: "waiting for the answer".to_owned() };
        return refuse_fault(&fault, processing, method);
    }
    refuse_late(processing, method)
}

async fn deliver(
    client: &Rc<Client>,
    request: Request<ClientBody>,
    caller: &Caller,
    backend: &Arc<Backend>,
    processing: &Cell<Processing>,
) -> Result<Response<AnswerBody>, Box<Failure>> {
    let (head, body) = request.into_parts();
    let context = Context {
        caller,
        address: &client.address,
        path: head.uri.path(),
        authority: head.uri.authority().map(http::uri::Authority::as_str),
    };
    let buffer = client.reserve_upload(&body)?;
    let body =
        (!body.is_end_stream()).then(|| RequestBody::new(body, client.worker.inputs.upload_pause, buffer));
    let interim = client.takes_interim(head.version).then(|| client.http1.clone());
    let unsent = Unsent { head: &head, context, body, interim, processing };
    let mut route = Choice::new(backend);
    loop {
        let (host, lease) = route.lease(client, unsent.method()).await?;
        unsent.processing.set(Processing::Possible);
        let outcome = match lease {
            Lease::Http2(lease) => send_http2(&host, lease, &unsent).await,
            Lease::Http1(lease) => Box::pin(send_http1(&host, lease, &unsent)).await,
        };
        match outcome {
            Ok(answer) => return answer,
            Err(lost) => {
                unsent.processing.set(lost.attempt.processing);
                match unsent.client_failure() {
                    Some(failure) => return Err(failure),
                    None => route.try_again(client, &host, lost, unsent.method())?,
                }
            }
        }
    }
}

/// Which endpoint is next, and whether there is a next at all.
struct Choice<'a> {
    backend: &'a Arc<Backend>,
    retries: u32,
    /// The connection that refused the request.
    avoid: Option<Rc<Http2Connection>>,
}

impl<'a> Choice<'a> {
    fn new(backend: &'a Arc<Backend>) -> Self {
        Self { backend, retries: 0, avoid: None }
    }

    /// A connection to some endpoint; endpoints that cannot be reached are passed over.
    async fn lease(
        &mut self,
        client: &Rc<Client>,
        method: &Method,
    ) -> Result<(Rc<Host>, Lease), Box<Failure>> {
        let first = client.worker.pool.choose(self.backend, &[]).unwrap_or_default();
        // The last try goes over a new connection, so that stale ones cannot use up all tries.
        if self.retries < RETRIES
            && let Some(host) = client.worker.pool.host(self.backend, first)
            && let Some(lease) = host.take(self.avoid.as_ref())
        {
            return Ok((host, lease));
        }
        Box::pin(self.dial(client, method, first)).await
    }

    async fn dial(
        &self,
        client: &Rc<Client>,
        method: &Method,
        first: usize,
    ) -> Result<(Rc<Host>, Lease), Box<Failure>> {
        reach(client, self.backend, method, first, async |index| {
            let host = client.worker.pool.host(self.backend, index);
            let no_host = || UpstreamFault::Protocol("no usable address".to_owned());
            let host = host.ok_or_else(no_host)?;
            let lease = host.connect(self.avoid.as_ref()).await?;
            Ok((host, lease))
        })
        .await
    }

    /// Decides about another try after a request was lost.
    fn try_again(
        &mut self,
        client: &Client,
        host: &Host,
        lost: Lost,
        method: &Method,
    ) -> Result<(), Box<Failure>> {
        let service = &self.backend.service;
        let is_dead = lost.fault == UpstreamFault::Silent;
        if is_dead {
            client.worker.pool.note_away(self.backend, host.index);
        }
        // A second connection that refuses speaks for the backend: more of them would only add to its load.
        let is_refused_again = self.avoid.is_some() && lost.refused_by.is_some();
        // The only endpoint is dead: another connection to it would use up the client's time.
        let is_pointless = is_refused_again || (is_dead && self.backend.endpoints.len() == 1);
        let may_repeat = lost.is_at_hand && lost.attempt.may_repeat(method);
        if may_repeat && !is_pointless && self.retries < RETRIES {
            self.retries += 1;
            self.avoid = lost.refused_by.or(self.avoid.take());
            tracing::debug!(%service, fault = %lost.fault, "sending a request again that the backend did not process");
            return Ok(());
        }
        tracing::warn!(%service, fault = %lost.fault, "a backend did not answer");
        host.report(SignalKind::Undeliverable);
        Err(refuse_fault(&lost.fault, lost.attempt.processing, method))
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::{backend_for_tests, settle};
    use super::super::repeat::FailedAttempt;
    use super::super::testing::setup;
    use super::*;
    use crate::observe::Metrics;
    use tokio::task::LocalSet;

    #[test]
    fn a_request_that_its_client_gives_up_is_counted_once() {
        let metrics = Metrics::new().unwrap();
        Counted::new(metrics.proxied("a.com", "v1")).finish(200);
        drop(Counted::new(metrics.proxied("a.com", "v1")));
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        for code in ["0", "200"] {
            let line =
                format!(r#"umbel_proxied_requests_total{{code="{code}",group="a.com",version="v1"}} 1"#);
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    fn lost(processing: Processing, fault: UpstreamFault, by: Option<&Rc<Http2Connection>>) -> Lost {
        let attempt = FailedAttempt { processing, is_connection_lost: true, had_answered: true };
        Lost { fault, attempt, is_at_hand: true, refused_by: by.cloned() }
    }

    fn closed() -> UpstreamFault {
        UpstreamFault::Closed("it was closed".to_owned())
    }

    #[test]
    fn a_request_is_sent_again_only_if_that_is_safe_and_of_use() {
        let client = setup("").client;
        let (excluded, possible) = (Processing::Excluded, Processing::Possible);
        let not_at_hand = Lost { is_at_hand: false, ..lost(excluded, closed(), None) };
        for (what, endpoints, method, lost, is_repeated) in [
            ("a write that was not processed", &[1][..], Method::POST, lost(excluded, closed(), None), true),
            ("a write that may be done", &[1], Method::POST, lost(possible, closed(), None), false),
            ("a read", &[1], Method::GET, lost(possible, closed(), None), true),
            ("a body that is gone", &[1], Method::POST, not_at_hand, false),
            (
                "the only endpoint is dead",
                &[1],
                Method::GET,
                lost(possible, UpstreamFault::Silent, None),
                false,
            ),
            ("one of two is dead", &[1, 1], Method::GET, lost(possible, UpstreamFault::Silent, None), true),
        ] {
            let backend = backend_for_tests(endpoints);
            let host = client.worker.pool.host(&backend, 0).unwrap();
            let outcome = Choice::new(&backend).try_again(&client, &host, lost, &method);
            assert_eq!(outcome.is_ok(), is_repeated, "{what}");
        }
    }

    #[test]
    fn no_request_is_sent_more_than_three_times() {
        let client = setup("").client;
        let backend = backend_for_tests(&[1]);
        let host = client.worker.pool.host(&backend, 0).unwrap();
        let mut choice = Choice::new(&backend);
        let mut again = || {
            choice.try_again(&client, &host, lost(Processing::Excluded, closed(), None), &Method::GET).is_ok()
        };
        assert_eq!([again(), again(), again()], [true, true, false]);
    }

    #[tokio::test]
    async fn a_request_that_one_connection_refused_is_tried_on_one_more() {
        let test = async {
            let client = setup("").client;
            let backend = backend_for_tests(&[1]);
            let host = client.worker.pool.host(&backend, 0).unwrap();
            let (refusing, _far) = settle(&host, &[]).await;
            let mut choice = Choice::new(&backend);
            let mut refused = || {
                let lost = lost(Processing::Excluded, closed(), Some(&refusing));
                choice.try_again(&client, &host, lost, &Method::GET).is_ok()
            };
            assert_eq!([refused(), refused()], [true, false]);
            assert!(host.take(choice.avoid.as_ref()).is_none(), "it goes to the same connection again");
            assert!(host.take(None).is_some());
        };
        LocalSet::new().run_until(test).await;
    }
}
