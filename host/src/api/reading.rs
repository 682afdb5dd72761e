//! `get` and `list`.

use super::dispatch::Call;
use super::negotiation::Offer;
use super::options::ListParameters;
use super::reply::{self, Reply};
use super::service::Api;
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::object::selector::{FieldSelector, LabelSelector};
use crate::registry::{ListOptions, Selector, parse_revision};
use http::StatusCode;
use std::sync::Arc;

/// Reads one object, or its status, which is the whole object too.
pub async fn get(api: &Arc<Api>, call: &Call) -> Result<Reply, Failure> {
    let presentation = call.presentation(api, Offer::Documents)?;
    let revision = parse_revision(call.query.text("resourceVersion"))?.unwrap_or_default();
    let object = api.registry.get_not_older(call.kind, &call.key, revision).await?;
    let value = presentation.object(call.kind, object)?;
    Ok(reply::value(StatusCode::OK, presentation.accepted, &value))
}

/// Lists a collection.
pub async fn list(api: &Arc<Api>, call: &Call) -> Result<Reply, Failure> {
    let presentation = call.presentation(api, Offer::Lists)?;
    let parameters = ListParameters::read(&call.query, false)?;
    let options = list_options(call, &parameters)?;
    let list = api.registry.list(call.kind, &options).await?;
    let value = presentation.list(call.kind, list)?;
    Ok(reply::value(StatusCode::OK, presentation.accepted, &value))
}

/// What the registry is asked for.
pub fn list_options(call: &Call, parameters: &ListParameters) -> Result<ListOptions, Failure> {
    Ok(ListOptions {
        namespace: call.key.namespace.clone(),
        selector: selector(call.kind, parameters)?,
        resource_version: parameters.resource_version.clone(),
        version_match: parameters.version_match,
        limit: parameters.limit,
        continue_token: parameters.continue_token.clone(),
    })
}

/// The selectors of a list or watch.
pub fn selector(kind: &Kind, parameters: &ListParameters) -> Result<Selector, Failure> {
    Ok(Selector {
        labels: LabelSelector::parse(&parameters.label_selector)?,
        fields: FieldSelector::parse(&parameters.field_selector, kind.selectable)?,
    })
}
