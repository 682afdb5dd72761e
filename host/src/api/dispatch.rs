//! From a path to what answers it.

use super::body;
use super::index;
use super::namespace;
use super::negotiation::{Offer, negotiate};
use super::query::Query;
use super::readiness;
use super::reply::{self, Reply};
use super::service::Api;
use super::view::Presentation;
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::request_info::{RequestInfo, ResourceTarget};
use crate::observe::Metrics;
use crate::registry::{ObjectKey, Part};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body::Body;
use std::sync::Arc;

/// One request for an own kind.
pub struct Call {
    /// The kind.
    pub kind: &'static Kind,
    /// Namespace and, for one object, its name.
    pub key: ObjectKey,
    /// The object itself or its status.
    pub part: Part,
    /// Query parameters.
    pub query: Query,
    /// Request headers.
    pub headers: HeaderMap,
}

impl Call {
    /// What the client accepts of what can be offered.
    pub fn presentation(&self, api: &Api, offer: Offer) -> Result<Presentation, Failure> {
        Presentation::new(negotiate(&self.headers, &self.query, offer)?, &self.query, &api.shared)
    }

    /// The request's user agent.
    pub fn user_agent(&self) -> &str {
        self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

/// Answers a request; a refusal is an `Err`.
pub async fn dispatch<B>(
    api: &Arc<Api>,
    info: &RequestInfo,
    parts: http::request::Parts,
    body: B,
) -> Result<Reply, Failure>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let Some(target) = &info.target else { return plain(api, info, &parts, &query).await };
    if let Some(name) = namespace::asked_for(info, target, &parts.method) {
        let accepted = negotiate(&parts.headers, &query, Offer::Documents)?;
        return Ok(reply::value(StatusCode::OK, accepted, &namespace::read(name)));
    }
    let is_collection = is_collection(info, target);
    let Some(call) = resource_call(api.kinds, target, is_collection, query, parts.headers) else {
        return Err(Failure::no_such_resource());
    };
    let has_all_namespaces = call.kind.is_namespaced() && call.key.namespace.is_empty();
    match info.verb.as_str() {
        "watch" if parts.method == Method::GET => return super::watching::watch(api, call).await,
        "watch" => return Err(Failure::method_not_allowed()),
        "proxy" => return Err(Failure::no_such_resource()),
        _ => {}
    }
    if let Some(verb) = written_verb(&parts.method, is_collection) {
        call.kind.check_verb(verb)?;
    }
    match (is_collection, parts.method) {
        (true, Method::GET) => super::reading::list(api, &call).await,
        (true, Method::POST) if !has_all_namespaces => {
            super::writing::create(api, &call, body::read(body, &api.bodies).await?.bytes()).await
        }
        (true, Method::DELETE) if !has_all_namespaces => {
            super::removing::delete_collection(api, &call, body::read(body, &api.bodies).await?.bytes()).await
        }
        (false, Method::GET) => super::reading::get(api, &call).await,
        (false, Method::PUT) => {
            super::writing::update(api, &call, body::read(body, &api.bodies).await?.bytes()).await
        }
        (false, Method::PATCH) => {
            super::writing::patch(api, &call, body::read(body, &api.bodies).await?.bytes()).await
        }
        (false, Method::DELETE) if call.part == Part::Main => {
            super::removing::delete(api, &call, body::read(body, &api.bodies).await?.bytes()).await
        }
        _ => Err(Failure::method_not_allowed()),
    }
}

/// The verb of a request that changes something.
fn written_verb(method: &Method, is_collection: bool) -> Option<&'static str> {
    match *method {
        Method::POST if is_collection => Some("create"),
        Method::DELETE if is_collection => Some("deletecollection"),
        Method::DELETE => Some("delete"),
        Method::PUT if !is_collection => Some("update"),
        Method::PATCH if !is_collection => Some("patch"),
        _ => None,
    }
}

/// A field selector gives lists a name as well, so the verb alone does not tell.
fn is_collection(info: &RequestInfo, target: &ResourceTarget) -> bool {
    matches!(info.verb.as_str(), "list" | "watch" | "deletecollection") || target.name.is_empty()
}

fn resource_call(
    kinds: &[&'static Kind],
    target: &ResourceTarget,
    is_collection: bool,
    query: Query,
    headers: HeaderMap,
) -> Option<Call> {
    let kind = Kind::find_in(kinds, &target.group, &target.version, &target.resource)?;
    if !kind.is_namespaced() && !target.namespace.is_empty() {
        return None;
    }
    if kind.is_namespaced() && target.namespace.is_empty() && !is_collection {
        return None;
    }
    let part = match target.subresource.as_str() {
        "" => Part::Main,
        "status" if kind.has_status => Part::Status,
        _ => return None,
    };
    let key = ObjectKey::new(target.namespace.as_str(), target.name.as_str());
    Some(Call { kind, key, part, query, headers })
}

/// Paths that are no resources.
async fn plain(
    api: &Arc<Api>,
    info: &RequestInfo,
    parts: &http::request::Parts,
    query: &Query,
) -> Result<Reply, Failure> {
    let path = info.path.as_str();
    if let Some(answer) = readiness::serve(&api.readiness, &api.registry, path, query).await {
        return Ok(answer);
    }
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    match path {
        "/" | "/index.html" if is_read => {
            let pretty = super::negotiation::Accepted {
                format: super::negotiation::Format::PrettyJson,
                ..Default::default()
            };
            let paths = index::paths(api.kinds, &api.shared.load(), &api.readiness);
            return Ok(reply::value(StatusCode::OK, pretty, &paths));
        }
        // A go-restful route upstream, so GET only (contract §7.5).
        "/version" | "/version/" => {
            if parts.method != Method::GET {
                return Err(Failure::method_not_allowed());
            }
            let accepted = negotiate(&parts.headers, query, Offer::Documents).unwrap_or_default();
            return Ok(reply::value(StatusCode::OK, accepted, &index::version()));
        }
        "/metrics" if is_read => return metrics(api),
        _ => {}
    }
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
    if let Some(document) = plugin_document(api, &segments).filter(|_| is_read) {
        let accepted = negotiate(&parts.headers, query, Offer::Documents).unwrap_or_default();
        return Ok(reply::value(StatusCode::OK, accepted, &document));
    }
    let ["apis", group, rest @ ..] = segments.as_slice() else { return Err(Failure::no_such_resource()) };
    let document = match rest {
        [] => index::group(api.kinds, group),
        [version] => index::resources(api.kinds, group, version),
        _ => None,
    };
    let document = document.ok_or_else(Failure::no_such_resource)?;
    if parts.method != Method::GET {
        return Err(Failure::method_not_allowed());
    }
    let accepted = negotiate(&parts.headers, query, Offer::Documents)?;
    Ok(reply::value(StatusCode::OK, accepted, &document))
}

/// What lies at and below `/plugins`.
fn plugin_document(api: &Api, segments: &[&str]) -> Option<serde_json::Value> {
    let plugins = api.plugins.as_ref()?;
    match segments {
        ["plugins"] => Some(plugins.report()),
        ["plugins", name, "calls"] => plugins.calls(name),
        _ => None,
    }
}

fn metrics(api: &Arc<Api>) -> Result<Reply, Failure> {
    let rendered = api.metrics.render().map_err(Failure::internal)?;
    let body = reply::whole(Bytes::from(rendered));
    Ok(reply::with_body(StatusCode::OK, Metrics::CONTENT_TYPE, body))
}
