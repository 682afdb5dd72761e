//! Bytes to objects: JSON and YAML, checked against the schema of a kind.

use serde_json::Value;

use super::shape;
use crate::kind::Kind;
use crate::model::failure::{Failure, FieldError, quoted};
use crate::model::object::Object;

/// The encodings of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
}

impl Encoding {
    /// The encoding of a `Content-Type`, parameters ignored; an empty one means JSON. `None`: not understood.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "" | "application/json" => Some(Self::Json),
            "application/yaml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// What to do about unknown and duplicate fields (`fieldValidation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and say so in `Warning` headers.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

impl FieldValidation {
    /// The value of the query parameter; an empty one means `Warn`.
    ///
    /// # Errors
    /// Another value; to be reported about `CreateOptions`, `UpdateOptions` or `PatchOptions`.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        match text {
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            "Strict" => Ok(Self::Strict),
            _ => Err(FieldError::not_supported(
                "fieldValidation",
                quoted(text),
                &["", "Ignore", "Strict", "Warn"],
            )),
        }
    }
}

/// An object that fits its schema, defaults filled, with what had to be dropped to make it fit.
#[derive(Clone, Debug)]
pub struct Decoded {
    object: Object,
    /// For example `unknown field "spec.foo"`, in the order of the body.
    problems: Vec<String>,
    origin: Origin,
}

/// Where an object came from: it decides how strict decoding refuses.
#[derive(Clone, Debug)]
enum Origin {
    Body { kind: &'static str, version: &'static str },
    Patch { whole: String },
}

impl Decoded {
    pub(super) fn from_body(kind: &Kind, object: Object, problems: Vec<String>) -> Self {
        Self { object, problems, origin: Origin::Body { kind: kind.kind, version: kind.version } }
    }

    /// `whole` is the patched object as it was before anything was dropped.
    pub(super) fn from_patch(object: Object, problems: Vec<String>, whole: String) -> Self {
        Self { object, problems, origin: Origin::Patch { whole } }
    }

    /// The object and the texts for `Warning` headers.
    ///
    /// # Errors
    /// With `Strict`, any unknown or duplicate field: 400 for a body, 422 for a patch (contract §1.7).
    pub fn accept(self, validation: FieldValidation) -> Result<(Object, Vec<String>), Failure> {
        match validation {
            FieldValidation::Ignore => Ok((self.object, Vec::new())),
            FieldValidation::Strict if !self.problems.is_empty() => Err(self.refusal()),
            _ => Ok((self.object, self.problems)),
        }
    }

    fn refusal(&self) -> Failure {
        let text = format!("strict decoding error: {}", self.problems.join(", "));
        match &self.origin {
            Origin::Body { kind, version } => Failure::bad_request(format!(
                "{kind} in version {} cannot be handled as a {kind}: {text}",
                quoted(version)
            )),
            Origin::Patch { whole } => {
                Failure::invalid("", "", "", &[FieldError::invalid("patch", quoted(whole), text)])
            }
        }
    }
}

/// Decodes the body of a create or update.
///
/// An absent `apiVersion` and `kind` are taken as the kind's own.
///
/// # Errors
/// 400, with upstream's texts: no JSON or YAML, another kind or version, a value of the wrong type.
pub fn decode_object(kind: &'static Kind, body: &[u8], encoding: Encoding) -> Result<Decoded, Failure> {
    let value: Value = match encoding {
        Encoding::Json => serde_json::from_slice(body).map_err(|e| Failure::bad_request(e.to_string()))?,
        Encoding::Yaml => serde_yaml_ng::from_slice(body).map_err(|e| Failure::bad_request(e.to_string()))?,
    };
    complete(kind, value).map(|object| Decoded::from_body(kind, object, Vec::new()))
}

/// Canonical form, type names and defaults.
pub(super) fn complete(kind: &'static Kind, value: Value) -> Result<Object, Failure> {
    let mut object = Object::from_value(shape::canonical(value, kind.schema))
        .map_err(|_| Failure::bad_request("the body is no object"))?;
    object.set(&["apiVersion"], kind.api_version());
    object.set(&["kind"], kind.kind);
    kind.rules.set_defaults(&mut object);
    Ok(object)
}
