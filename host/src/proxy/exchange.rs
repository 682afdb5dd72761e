//! One request from its first line to the head of its answer.

use super::answer::{AUDIT_ID, finish, refuse};
use super::authenticate::authenticate;
use super::authorise::authorise;
use super::body::{AnswerBody, Source};
use super::connection::{Client, InFlight};
use crate::model::failure::Failure;
use crate::model::identity::Caller;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

/// Answers one request. Never fails: what goes wrong becomes a `metav1.Status`.
pub async fn answer(
    client: Rc<Client>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let in_flight = InFlight::new(Rc::clone(&client));
    let audit_id = claim_audit_id(&mut request);
    let mut response = match handle(&client, request).await {
        Ok(response) => response,
        Err(failure) => refuse(&failure),
    };
    tracing::trace!(client = ?client.address, http2 = client.is_http2, ?audit_id, code = response.status().as_u16());
    finish(&mut response, audit_id);
    response.body_mut().keep(in_flight);
    Ok(response)
}

/// The client's audit id, or a new one; either way the request carries it from here on.
fn claim_audit_id(request: &mut Request<Incoming>) -> HeaderValue {
    if let Some(known) = request.headers().get(AUDIT_ID) {
        return known.clone();
    }
    // Ids need to differ, not to be secret: the generator of the thread will do.
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
    let mut text = uuid::Uuid::encode_buffer();
    let text: &str = id.hyphenated().encode_lower(&mut text);
    let value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"));
    request.headers_mut().insert(AUDIT_ID, value.clone());
    value
}

async fn handle(
    client: &Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Box<Failure>> {
    let caller = authenticate(client, request.headers())?;
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    authorise(&caller, request.method(), path, query)?;
    Ok(ask_local(client, request, caller).await)
}

async fn ask_local(
    client: &Rc<Client>,
    request: Request<Incoming>,
    caller: Arc<Caller>,
) -> Response<AnswerBody> {
    let response = client.worker.config.local.serve(request, caller).await;
    response.map(|body| AnswerBody::new(Source::Local(body)))
}
