//! SPDY and WebSocket: a connection of its own, then bytes both ways (contract §2.7).

use super::answer::refuse_fault;
use super::body::AnswerBody;
use super::connection::Client;
use super::forward::Journey;
use super::reach::reach;
use super::repeat::Processing;
use super::request_body::{RequestBody, UploadBody};
use super::request_headers::{Context, outgoing};
use super::response_headers::clean;
use super::send::fault_of_http1;
use crate::model::failure::Failure;
use crate::model::identity::Caller;
use crate::model::message_head::HEADERS_MAX;
use crate::route::{Backend, ClientBody, SignalKind};
use crate::upstream::{InterimCount, InterimLimit, Stream, UpstreamFault, connect};
use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::uri::Uri;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

/// Limit for the backend's answer to the upgrade.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long one side of an upgraded connection may go on after the other one ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a request wants to leave HTTP.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let mut tokens = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Refuses what HTTP/2 cannot carry; such clients have to come by HTTP/1.1.
pub fn is_http2_upgrade(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::CONNECT || headers.contains_key("sec-websocket-key")
}

/// The refusal for [`is_http2_upgrade`].
pub fn refuse_http2() -> Box<Failure> {
    let text = "upgrade requests (SPDY, WebSocket) need HTTP/1.1: connect without offering h2 in ALPN";
    Box::new(Failure::bad_request(text))
}

/// Forwards an upgrade. After a 101 the two connections are tied together until one side ends.
///
/// # Errors
/// What the client is to read when the backend cannot be reached or does not switch.
pub async fn upgrade(
    client: &Rc<Client>,
    mut request: Request<ClientBody>,
    caller: &Caller,
    journey: &Journey,
) -> Result<Response<AnswerBody>, Box<Failure>> {
    let for_client = hyper::upgrade::on(&mut request);
    let method = request.method().clone();
    let stream = open(client, &journey.backend, &method).await?;
    let exchange = exchange(client, request, caller, journey, stream.0, stream.1);
    let timed_out = |_| Err(UpstreamFault::TimedOut { during: "waiting for the answer".to_owned() });
    let outcome = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.unwrap_or_else(timed_out);
    let mut response = outcome.map_err(|fault| {
        client.worker.inputs.signals.report(journey.backend.id, SignalKind::Undeliverable);
        // An upgrade may start a program whatever its method is: `exec` over WebSocket is a GET.
        refuse_fault(&fault, Processing::Possible, &Method::CONNECT)
    })?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {
            let from_backend = hyper::upgrade::on(&mut response);
            let _detached = tokio::task::spawn_local(tie(Rc::clone(client), for_client, from_backend));
            Ok(response.map(|_| AnswerBody::empty()))
        }
        status if status.as_u16() < 400 => {
            let text = format!("invalid upgrade response: status code {}", status.as_u16());
            Err(Box::new(Failure::unavailable(text)))
        }
        _ => {
            let (mut head, body) = response.into_parts();
            head.version = Version::HTTP_11;
            clean(&mut head)?;
            Ok(Response::from_parts(head, AnswerBody::dedicated(body)))
        }
    }
}

async fn open(
    client: &Rc<Client>,
    backend: &Arc<Backend>,
    method: &Method,
) -> Result<(Stream, HeaderValue), Box<Failure>> {
    let first = client.worker.pool.choose(backend, &[]).unwrap_or_default();
    reach(client, backend, method, first, async |index| {
        let place = backend.endpoints.get(index).zip(backend.authorities.get(index));
        let no_place = || UpstreamFault::Protocol("no usable address".to_owned());
        let (endpoint, host) = place.ok_or_else(no_place)?;
        let connection = connect(endpoint, &backend.server_name, &backend.tls_http1).await?;
        Ok((connection.stream, host.clone()))
    })
    .await
}

async fn exchange(
    client: &Rc<Client>,
    request: Request<ClientBody>,
    caller: &Caller,
    journey: &Journey,
    stream: Stream,
    host: HeaderValue,
) -> Result<Response<Incoming>, UpstreamFault> {
    let (head, body) = request.into_parts();
    let context = Context { caller, address: &client.address, path: head.uri.path(), authority: None };
    let mut headers = outgoing(&head.headers, &context);
    headers.insert(HOST, host);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    for protocol in head.headers.get_all(UPGRADE) {
        headers.append(UPGRADE, protocol.clone());
    }
    let pause = client.worker.inputs.upload_pause;
    let body =
        if body.is_end_stream() { UploadBody::none() } else { RequestBody::new(body, pause, None).attempt() };
    let mut outgoing = Request::new(body);
    *outgoing.method_mut() = head.method;
    *outgoing.uri_mut() = head.uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
    *outgoing.headers_mut() = headers;
    let interim = InterimCount::default();
    interim.attach(&mut outgoing, |_, _| ());
    let stream = InterimLimit::new(stream, &interim);
    let (mut sender, driver) = hyper::client::conn::http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| fault_of_http1(&error))?;
    let service = journey.backend.service.clone();
    let _detached = tokio::task::spawn_local(async move {
        if let Err(error) = driver.with_upgrades().await {
            tracing::debug!(%service, %error, "upgraded connection to a backend ended early");
        }
    });
    sender.send_request(outgoing).await.map_err(|error| fault_of_http1(&error))
}

/// Copies both ways until one side ends, then gives the other direction a moment for what is under way.
/// Holding the client keeps a drain waiting for it.
async fn tie(client: Rc<Client>, for_client: OnUpgrade, from_backend: OnUpgrade) {
    let (Ok(near), Ok(far)) = (for_client.await, from_backend.await) else { return };
    let (mut near_read, mut near_write) = tokio::io::split(TokioIo::new(near));
    let (mut far_read, mut far_write) = tokio::io::split(TokioIo::new(far));
    let mut up = pin!(pass_on(&mut near_read, &mut far_write));
    let mut down = pin!(pass_on(&mut far_read, &mut near_write));
    let rest = tokio::select! {
        () = &mut up => tokio::time::timeout(CLOSE_TIMEOUT, down).await,
        () = &mut down => tokio::time::timeout(CLOSE_TIMEOUT, up).await,
    };
    if rest.is_err() {
        tracing::debug!(client = ?client.address, "one side of an upgraded connection ended and the other did not");
    }
}

/// Copies one direction to its end and closes it there. A side that left without a word is an end like any
/// other: the side that stays still gets a proper one.
async fn pass_on(from: &mut ReadHalf<TokioIo<Upgraded>>, to: &mut WriteHalf<TokioIo<Upgraded>>) {
    let copied = tokio::io::copy(from, to).await;
    let closed = to.shutdown().await;
    if let Err(error) = copied.and(closed) {
        tracing::debug!(%error, "upgraded connection ended early");
    }
}
