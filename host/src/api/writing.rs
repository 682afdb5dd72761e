//! `create`, `update` and `patch` (contract §1.4, §1.7).

use super::body::{encoding, patch_format};
use super::dispatch::Call;
use super::negotiation::Offer;
use super::options::WriteParameters;
use super::reply::{self, Reply};
use super::service::Api;
use super::view::Presentation;
use crate::model::annotations::absent_plugins;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::object::decode::{Encoding, decode_object};
use crate::object::managed_fields::manager_name;
use crate::object::patch::apply_patch;
use crate::registry::{WriteOptions, work_apart};
use bytes::Bytes;
use http::StatusCode;
use std::sync::Arc;

/// `POST` to a collection.
pub async fn create(api: &Arc<Api>, call: &Call, body: &Bytes) -> Result<Reply, Failure> {
    let presentation = call.presentation(api, Offer::Documents)?;
    let encoding = encoding(&call.headers)?;
    let parameters = WriteParameters::read(&call.query, "CreateOptions")?;
    let (object, warnings) = decode(call, body, encoding, &parameters)?;
    let options = write_options(call, &parameters, body);
    let stored = api.registry.create(call.kind, &call.key.namespace, object, &options).await?;
    answer((api, call), presentation, StatusCode::CREATED, stored, warnings)
}

/// `PUT` to an object or its status.
pub async fn update(api: &Arc<Api>, call: &Call, body: &Bytes) -> Result<Reply, Failure> {
    let presentation = call.presentation(api, Offer::Documents)?;
    let encoding = encoding(&call.headers)?;
    let parameters = WriteParameters::read(&call.query, "UpdateOptions")?;
    let (mut object, warnings) = decode(call, body, encoding, &parameters)?;
    check_identity(call, &mut object)?;
    let mut options = write_options(call, &parameters, body);
    options.uid = Some(object.uid().to_owned()).filter(|uid| !uid.is_empty());
    let stored = api.registry.update(call.kind, &call.key, call.part, object, &options).await?;
    answer((api, call), presentation, StatusCode::OK, stored, warnings)
}

/// `PATCH` of an object or its status.
pub async fn patch(api: &Arc<Api>, call: &Call, body: &Bytes) -> Result<Reply, Failure> {
    let format = patch_format(&call.headers)?;
    let presentation = call.presentation(api, Offer::Documents)?;
    let parameters = WriteParameters::read_patch(&call.query)?;
    let options = write_options(call, &parameters, body);
    let mut warnings = Vec::new();
    let propose = |current: &Object| {
        let decoded = apply_patch(call.kind, format, body, current)?;
        let (mut object, found) = decoded.accept(parameters.field_validation)?;
        warnings = found;
        check_identity(call, &mut object)?;
        Ok(object)
    };
    let stored = api.registry.change(call.kind, &call.key, call.part, &options, propose).await?;
    answer((api, call), presentation, StatusCode::OK, stored, warnings)
}

fn decode(
    call: &Call,
    body: &Bytes,
    encoding: Encoding,
    parameters: &WriteParameters,
) -> Result<(Object, Vec<String>), Failure> {
    work_apart(body.len(), || decode_object(call.kind, body, encoding)?.accept(parameters.field_validation))
}

fn write_options(call: &Call, parameters: &WriteParameters, body: &Bytes) -> WriteOptions {
    WriteOptions {
        manager: manager_name(&parameters.field_manager, call.user_agent()),
        dry_run: parameters.dry_run,
        uid: None,
        input_size: body.len(),
    }
}

/// The body must be about the object that the path names.
fn check_identity(call: &Call, object: &mut Object) -> Result<(), Failure> {
    let wanted = &call.key;
    if object.name().is_empty() {
        return Err(Failure::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            wanted.name
        )));
    }
    if object.name() != wanted.name {
        return Err(Failure::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            object.name(),
            wanted.name
        )));
    }
    if !call.kind.is_namespaced() {
        object.take(&["metadata", "namespace"]);
    } else if object.namespace().is_empty() {
        object.set(&["metadata", "namespace"], wanted.namespace.clone());
    } else if object.namespace() != wanted.namespace {
        return Err(Failure::bad_request(format!(
            "the namespace of the object ({}) does not match the namespace on the request ({})",
            object.namespace(),
            wanted.namespace
        )));
    }
    Ok(())
}

fn answer(
    (api, call): (&Api, &Call),
    presentation: Presentation,
    status: StatusCode,
    object: Object,
    mut warnings: Vec<String>,
) -> Result<Reply, Failure> {
    warnings.extend(call.kind.rules.warnings(&object));
    if call.kind.rules.names_plugins() {
        let present = api.plugins.as_ref().and_then(|plugins| plugins.present());
        warnings.extend(present.map(|present| absent_plugins(&object, &present)).unwrap_or_default());
    }
    let value = presentation.object(call.kind, object)?;
    let mut response = reply::value(status, presentation.accepted, &value);
    reply::warn(&mut response, &warnings);
    Ok(response)
}
