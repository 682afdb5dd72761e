//! One request from its first line to the head of its answer.

use super::answer::{AUDIT_ID, finish, keep_head, refuse};
use super::authenticate::authenticate;
use super::authorise::{authorise, refuse_impersonation};
use super::body::AnswerBody;
use super::connection::{Client, InFlight};
use super::deadline::limit;
use super::documents;
use super::event_boundary::EventBoundary;
use super::forward::{Counted, Journey, forward};
use super::head::{check_head, check_host};
use super::path::{LongRunning, Place, is_namespace, locate};
use super::progress;
use super::unread_body::UnreadBody;
use super::upgrade::{is_http2_upgrade, is_upgrade, refuse_http2, upgrade};
use crate::model::failure::Failure;
use crate::model::identity::Caller;
use crate::model::request_info::decode_path;
use crate::observe::{catch_panic_in, failpoint};
use crate::route::{Availability, ClientBody, Route, Snapshot, Target};
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Answers one request. Never fails: what goes wrong becomes a `metav1.Status`.
pub async fn answer(
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let in_flight = InFlight::new(Rc::clone(&client));
    progress::note_request();
    let is_head = request.method() == Method::HEAD;
    let audit_id = audit_id_of(&request);
    let (request, unread) = hold_body(&client, request);
    let checked = check(&client, &request);
    let must_close = checked.is_err() && !client.is_http2;
    let outcome = match checked {
        Ok(()) => {
            let handled = catch_panic_in(handle(&client, claim(request, &audit_id))).await;
            handled.unwrap_or_else(|| Err(Box::new(Failure::panicked())))
        }
        Err(failure) => {
            close_tunnel(request);
            Err(failure)
        }
    };
    let mut response = match outcome {
        Ok(response) => response,
        Err(failure) => {
            if failure.code == 401 && client.is_http2 {
                // Strangers must not hold on to a connection with many streams (contract §7.6).
                client.gate.drain();
            }
            refuse(&failure)
        }
    };
    finish(&mut response, audit_id);
    if is_head {
        keep_head(&mut response);
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        client.http1.upgrade();
    } else if must_close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    } else if let Some(unread) = unread {
        unread.settle(&mut response).await;
    }
    response.body_mut().keep(in_flight);
    if progress::is_watch()
        && response.status() == StatusCode::OK
        && let Some(boundary) = EventBoundary::of(response.headers())
    {
        response.body_mut().end_with_drain(boundary);
    }
    progress::note_answer();
    Ok(response)
}

/// The rest of the body when the response is ready matters for HTTP/1.1 alone: HTTP/2 ends the stream.
fn hold_body(client: &Client, request: Request<Incoming>) -> (Request<ClientBody>, Option<UnreadBody>) {
    if request.body().is_end_stream() {
        return (request.map(ClientBody::new), None);
    }
    client.linger.ask();
    if client.is_http2 {
        return (request.map(ClientBody::new), None);
    }
    let awaits_continue = request.headers().contains_key(EXPECT);
    let (head, body) = request.into_parts();
    let (body, rest) = ClientBody::returning(body);
    (Request::from_parts(head, body), Some(UnreadBody::new(rest, awaits_continue)))
}

/// Checks the head of a request. Servers along the way may disagree on the target or the end of a rejected request,
/// so its HTTP/1.1 connection does not carry another one.
fn check(client: &Client, request: &Request<ClientBody>) -> Result<(), Box<Failure>> {
    check_head(request)?;
    if client.is_http2 { Ok(()) } else { check_host(request.version(), request.headers()) }
}

/// hyper treats every CONNECT as the start of a tunnel and leaves its connection to the service, without a TLS
/// `close_notify`.
fn close_tunnel(mut request: Request<ClientBody>) {
    if *request.method() == Method::CONNECT {
        let tunnel = hyper::upgrade::on(&mut request);
        let _detached = tokio::task::spawn_local(async move {
            if let Ok(tunnel) = tunnel.await {
                // An error means that the client has disconnected.
                drop(TokioIo::new(tunnel).shutdown().await);
            }
        });
    }
}

/// The client's audit id, or a new one.
fn audit_id_of<B>(request: &Request<B>) -> HeaderValue {
    let mut value = request.headers().get(AUDIT_ID).cloned().unwrap_or_else(new_audit_id);
    // Not a secret, but unlike any other: it must not push useful entries out of HTTP/2's header tables.
    value.set_sensitive(true);
    value
}

/// The request with its audit id, which it carries from here on.
fn claim<B>(mut request: Request<B>, audit_id: &HeaderValue) -> Request<B> {
    request.headers_mut().insert(AUDIT_ID, audit_id.clone());
    request
}

fn new_audit_id() -> HeaderValue {
    // Ids need to differ, not to be secret: the generator of the thread will do.
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
    let mut text = uuid::Uuid::encode_buffer();
    let text: &str = id.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}

async fn handle(
    client: &Rc<Client>,
    request: Request<ClientBody>,
) -> Result<Response<AnswerBody>, Box<Failure>> {
    failpoint("proxy.request");
    let caller = authenticate(client, request.headers())?;
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    authorise(&caller, request.method(), path, query)?;
    refuse_impersonation(request.headers())?;
    match dispatch(client, &request)? {
        Destination::Done(response) => Ok(*response),
        Destination::Local => {
            // Held until the response begins; by then the body has been read.
            let _buffer = client.reserve_upload(request.body())?;
            Ok(ask_local(client, request, caller).await)
        }
        Destination::Backend(journey) => send_off(client, request, &caller, journey).await,
    }
}

/// Who answers.
enum Destination {
    /// Nobody else: the answer lay ready.
    Done(Box<Response<AnswerBody>>),
    /// The control runtime.
    Local,
    /// A backend.
    Backend(Journey),
}

fn dispatch(client: &Client, request: &Request<ClientBody>) -> Result<Destination, Box<Failure>> {
    // As upstream has it, the decoded path decides and the raw one is passed on.
    let path = decode_path(request.uri().path());
    let query = request.uri().query().unwrap_or_default();
    let snapshot = client.worker.inputs.snapshots.load();
    let answer = match locate(&path) {
        Place::Version { group, version, rest } => {
            return match snapshot.route(group, version) {
                Some(route) => {
                    let lasting = LongRunning::of(request.method(), rest, query);
                    if let Some(lasting) = lasting {
                        progress::note_lasting(lasting);
                    }
                    travel(route, limit(lasting, rest, query)?)
                }
                // kubectl asks for the namespace before it reports that an object in it was not found.
                None if snapshot.is_published() && is_namespace(&path) => Ok(Destination::Local),
                None => Err(no_route(&snapshot)),
            };
        }
        Place::Own => return Ok(Destination::Local),
        Place::Groups { has_slash } => documents::groups(&snapshot, request, has_slash)?,
        Place::Group(group) => documents::group(&snapshot, request, group)?,
        Place::OpenApi => documents::openapi(&snapshot, request, &path)?,
        Place::Unknown => return Err(nowhere()),
    };
    Ok(Destination::Done(Box::new(answer)))
}

fn nowhere() -> Box<Failure> {
    Box::new(Failure::no_such_resource())
}

/// 404, but not before the first snapshot: clients take a 404 for the news that the resource is gone.
fn no_route(snapshot: &Snapshot) -> Box<Failure> {
    if snapshot.is_published() { nowhere() } else { Box::new(Failure::not_routed_yet()) }
}

fn travel(route: &Route, limit: Option<Duration>) -> Result<Destination, Box<Failure>> {
    // Clients that read `Retry-After` try ten times before they tell the cause (contract §2.5: none).
    let closed = |message: &str, is_checked: bool| {
        route.counter.count(503);
        let failure = Failure::unavailable(message);
        Err(Box::new(if is_checked { failure } else { failure.retry_after(1) }))
    };
    match &route.target {
        Target::Local => Ok(Destination::Local),
        Target::Unreachable { message, is_checked, .. } => closed(message, *is_checked),
        Target::Backend { availability: Availability::Closed { message, is_checked, .. }, .. } => {
            closed(message, *is_checked)
        }
        Target::Backend { backend, availability: Availability::Open } => {
            let (backend, counter) = (Arc::clone(backend), Arc::clone(&route.counter));
            Ok(Destination::Backend(Journey { backend, counter, limit }))
        }
    }
}

/// The response to a request, or the error for the client.
type Answered = Result<Response<AnswerBody>, Box<Failure>>;

async fn send_off(
    client: &Rc<Client>,
    request: Request<ClientBody>,
    caller: &Caller,
    journey: Journey,
) -> Answered {
    let counted = Counted::new(Arc::clone(&journey.counter));
    let outcome = if client.is_http2 && is_http2_upgrade(request.method(), request.headers()) {
        Err(refuse_http2())
    } else if !client.is_http2 && is_upgrade(request.headers()) {
        Box::pin(upgrade(client, request, caller, &journey)).await
    } else if progress::is_watch() {
        Box::pin(until_drain(client, forward(client, request, caller, journey))).await
    } else {
        forward(client, request, caller, journey).await
    };
    counted.finish(match &outcome {
        Ok(response) => response.status().as_u16(),
        Err(failure) => failure.code,
    });
    outcome
}

/// Stops waiting for the response to a watch when the process drains.
async fn until_drain(client: &Client, forwarding: impl Future<Output = Answered>) -> Answered {
    let mut draining = client.worker.inputs.draining.clone();
    tokio::select! {
        biased;
        answered = forwarding => answered,
        _ = draining.wait_for(|is_draining| *is_draining) => {
            Err(Box::new(Failure::unavailable("the server is shutting down").retry_after(1)))
        }
    }
}

async fn ask_local(
    client: &Rc<Client>,
    request: Request<ClientBody>,
    caller: Arc<Caller>,
) -> Response<AnswerBody> {
    client.worker.inputs.local.serve(request, caller).await.map(AnswerBody::local)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Setup, setup};
    use super::*;
    use crate::model::group_version::GroupVersion;
    use http::header::AUTHORIZATION;

    /// A snapshot with the one route `a.com/v1`.
    fn published(target: Target) -> Snapshot {
        let group_version = GroupVersion { group: "a.com".to_owned(), version: "v1".to_owned() };
        let api_service = "v1.a.com".to_owned();
        let route = Route { api_service, group_version, target, counter: Arc::default() };
        let routes = [("a.com".into(), vec![route].into())].into();
        Snapshot { routes, ..Snapshot::default() }
    }

    async fn code_of(setup: &Setup, path: &str, token: Option<&str>) -> u16 {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        match handle(&setup.client, request.body(ClientBody::none()).unwrap()).await {
            Ok(response) => response.status().as_u16(),
            Err(failure) => failure.code,
        }
    }

    #[tokio::test]
    async fn a_wrong_token_is_refused_where_no_token_would_pass() {
        let setup = setup("right,jo,7");
        for path in ["/version", "/readyz"] {
            assert_eq!(code_of(&setup, path, None).await, 200);
            assert_eq!(code_of(&setup, path, Some("right")).await, 200);
            assert_eq!(code_of(&setup, path, Some("wrong")).await, 401);
        }
        assert_eq!(code_of(&setup, "/apis/a.com/v1", Some("right")).await, 403);
    }

    #[tokio::test]
    async fn a_namespace_is_looked_up_locally_once_routes_are_known() {
        let setup = setup("right,jo,7,system:masters");
        let code = async |path| code_of(&setup, path, Some("right")).await;
        assert_eq!(code("/api/v1/namespaces/prod").await, 503, "the routes are not loaded yet");
        setup.client.worker.inputs.snapshots.publish(published(Target::Local));
        assert_eq!(code("/api/v1/namespaces/prod").await, 200);
        for unknown in ["/api/v1/namespaces", "/api/v1/namespaces/prod/pods", "/apis/b.com/v1"] {
            assert_eq!(code(unknown).await, 404, "{unknown}");
        }
        assert_eq!(code("/apis/a.com/v1").await, 200);
    }
}
