//! `delete` and `deletecollection` (contract §1.5).

use super::body::encoding;
use super::dispatch::Call;
use super::negotiation::Offer;
use super::options::{DeleteParameters, ListParameters};
use super::reading::list_options;
use super::reply::{self, Reply};
use super::service::Api;
use crate::model::failure::Failure;
use crate::object::decode::Encoding;
use crate::object::syntax::{explain_json, read_yaml};
use crate::registry::Deleted;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// Deletes one object.
pub async fn delete(api: &Arc<Api>, call: &Call, body: &Bytes) -> Result<Reply, Failure> {
    let presentation = call.presentation(api, Offer::Documents)?;
    let parameters = parameters(call, body)?;
    match api.registry.delete(call.kind, &call.key, &parameters.options).await? {
        Deleted::Gone(object) => {
            let status = json!({
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": {
                    "name": call.key.name,
                    "group": call.kind.group,
                    "kind": call.kind.plural,
                    "uid": object.uid(),
                },
            });
            Ok(reply::value(StatusCode::OK, presentation.accepted, &status))
        }
        Deleted::Waiting(object) => {
            let status = if parameters.is_deprecated_cascade { StatusCode::ACCEPTED } else { StatusCode::OK };
            let value = presentation.object(call.kind, object)?;
            Ok(reply::value(status, presentation.accepted, &value))
        }
    }
}

/// Deletes what matches in a collection, and answers with the list of it.
pub async fn delete_collection(api: &Arc<Api>, call: &Call, body: &Bytes) -> Result<Reply, Failure> {
    let presentation = call.presentation(api, Offer::Lists)?;
    let which = list_options(call, &ListParameters::read(&call.query, false)?)?;
    let parameters = parameters(call, body)?;
    let list = api.registry.delete_collection(call.kind, &which, &parameters.options).await?;
    let value = presentation.list(call.kind, list)?;
    Ok(reply::value(StatusCode::OK, presentation.accepted, &value))
}

/// A body replaces the options of the query.
fn parameters(call: &Call, body: &Bytes) -> Result<DeleteParameters, Failure> {
    if body.is_empty() {
        return DeleteParameters::from_query(&call.query);
    }
    let refuse = |why: String| {
        Failure::bad_request(format!("the body of a delete must be a DeleteOptions of v1, or empty: {why}"))
    };
    let value: Value = match encoding(&call.headers)? {
        Encoding::Json => serde_json::from_slice(body)
            .map_err(|e| refuse(explain_json(body).unwrap_or_else(|| e.to_string())))?,
        Encoding::Yaml => read_yaml(body).map_err(refuse)?.into_value(),
    };
    if !value.is_object() {
        return Err(refuse("it is no object".to_owned()));
    }
    DeleteParameters::from_body(&value, &call.kind.api_version())
}
