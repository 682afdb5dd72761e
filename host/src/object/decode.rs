//! Bytes to objects: JSON and YAML, checked against the schema of a kind.

use serde_json::Value;

use super::fit::fit;
use super::node::Node;
use super::shape;
use super::syntax::{explain_json, read_yaml};
use crate::model::failure::{Failure, FieldError, quoted};
use crate::model::object::Object;
use crate::object::kind::Kind;

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
    let node = read(body, encoding).map_err(|why| unrecognized(kind, &why, body))?;
    let named = TypeName::of(&node).map_err(|why| unrecognized(kind, &why, body))?;
    named.check(kind)?;
    let fitted =
        fit(node, kind.schema).map_err(|why| cannot_be_handled(kind.kind, kind.version, kind, &why))?;
    Ok(Decoded::from_body(kind, complete(kind, fitted.value), fitted.problems))
}

/// Reads bytes into a document.
fn read(body: &[u8], encoding: Encoding) -> Result<Node, String> {
    let node: Node = match encoding {
        Encoding::Json => serde_json::from_slice(body).map_err(|e| {
            let why = explain_json(body).unwrap_or_else(|| e.to_string());
            format!("couldn't get version/kind; json parse error: {why}")
        })?,
        Encoding::Yaml => read_yaml(body)?,
    };
    match node {
        Node::Record(_) => Ok(node),
        other => Err(format!(
            "couldn't get version/kind; json parse error: the body is {}, not an object",
            other.described()
        )),
    }
}

/// What a body says it is.
struct TypeName<'a> {
    api_version: &'a str,
    kind: &'a str,
}

impl<'a> TypeName<'a> {
    fn of(node: &'a Node) -> Result<Self, String> {
        let text = |key: &str| match node.get(key) {
            None | Some(Node::Null) => Ok(""),
            Some(Node::String(text)) => Ok(text.as_str()),
            Some(other) => Err(format!(
                "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go struct field .{key} of type string",
                other.type_name()
            )),
        };
        Ok(Self { api_version: text("apiVersion")?, kind: text("kind")? })
    }

    fn check(&self, wanted: &Kind) -> Result<(), Failure> {
        let own = wanted.api_version();
        let kind = if self.kind.is_empty() { wanted.kind } else { self.kind };
        let api_version = if self.api_version.is_empty() { own.as_str() } else { self.api_version };
        if kind == wanted.kind && api_version == own {
            return Ok(());
        }
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        if kind == wanted.kind && group == wanted.group {
            return Err(Failure::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({own})"
            )));
        }
        let why = format!(
            "no kind {} is registered for version {}: this path takes kind {} of {}",
            quoted(kind),
            quoted(api_version),
            quoted(wanted.kind),
            quoted(&own)
        );
        Err(cannot_be_handled(kind, version, wanted, &why))
    }
}

fn cannot_be_handled(kind: &str, version: &str, wanted: &Kind, why: &str) -> Failure {
    Failure::bad_request(format!(
        "{kind} in version {} cannot be handled as a {}: {why}",
        quoted(version),
        wanted.kind
    ))
}

fn unrecognized(kind: &Kind, why: &str, body: &[u8]) -> Failure {
    Failure::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {why} ({})",
        kind.kind,
        summary(body)
    ))
}

/// The beginning of a body: as text when it looks like JSON, else in hexadecimal.
fn summary(body: &[u8]) -> String {
    const LONGEST: usize = 30;
    let start = &body[..body.len().min(LONGEST)];
    let mut text = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => start.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > LONGEST {
        text.push_str(" ...");
    }
    text
}

/// Makes an object of a value whose types are right already: canonical form, type names and defaults.
pub fn complete(kind: &'static Kind, value: Value) -> Object {
    let mut object = Object::default();
    if let Value::Object(map) = shape::canonical(value, kind.schema) {
        object.0 = map;
    }
    object.set(&["apiVersion"], kind.api_version());
    object.set(&["kind"], kind.kind);
    kind.rules.set_defaults(&mut object);
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::{api_service, external_name};

    fn refused(body: &str, encoding: Encoding) -> String {
        let failure = decode_object(&api_service::KIND, body.as_bytes(), encoding).unwrap_err();
        assert_eq!((failure.code, failure.reason), (400, "BadRequest"));
        failure.message
    }

    #[test]
    fn bodies_that_are_no_objects_are_refused_as_recorded() {
        let start = "the object provided is unrecognized (must be of type APIService): ";
        let json = "couldn't get version/kind; json parse error: ";
        let cases = [
            ("", format!("{start}{json}unexpected end of JSON input (<empty>)")),
            ("{", format!("{start}{json}unexpected end of JSON input ({{)")),
            ("[]", format!("{start}{json}the body is an array, not an object (5b5d)")),
            (
                r#"{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService"} x"#,
                format!(
                    "{start}{json}invalid character 'x' after top-level value ({{\"apiVersion\":\"apiregistration ...)"
                ),
            ),
        ];
        for (body, wanted) in cases {
            assert_eq!(refused(body, Encoding::Json), wanted);
        }
        let told = refused("a: [1\n", Encoding::Yaml);
        assert!(
            told.starts_with(&format!("{start}yaml: line ")) && told.ends_with(" (613a205b310a)"),
            "{told}"
        );
    }

    #[test]
    fn other_kinds_and_versions_are_refused() {
        let wrong_kind =
            refused(r#"{"apiVersion":"apiregistration.k8s.io/v1","kind":"Service"}"#, Encoding::Json);
        assert_eq!(
            wrong_kind,
            r#"Service in version "v1" cannot be handled as a APIService: no kind "Service" is registered for version "apiregistration.k8s.io/v1": this path takes kind "APIService" of "apiregistration.k8s.io/v1""#
        );
        let wrong_group = refused(r#"{"apiVersion":"v1","kind":"APIService"}"#, Encoding::Json);
        assert!(
            wrong_group.contains(r#"no kind "APIService" is registered for version "v1""#),
            "{wrong_group}"
        );
        assert_eq!(
            refused(r#"{"apiVersion":"apiregistration.k8s.io/v1beta1","kind":"APIService"}"#, Encoding::Json),
            "the API version in the data (apiregistration.k8s.io/v1beta1) does not match the expected API version (apiregistration.k8s.io/v1)"
        );
    }

    #[test]
    fn an_object_without_a_kind_takes_the_paths_and_gets_defaults() {
        let body = br#"{"metadata":{"name":"a","labels":{}},"spec":{"service":{"name":"s"},"insecureSkipTLSVerify":false}}"#;
        let (object, warnings) = decode_object(&api_service::KIND, body, Encoding::Json)
            .and_then(|d| d.accept(FieldValidation::Strict))
            .unwrap();
        assert!(warnings.is_empty());
        let wanted = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "a"},
            "spec": {"groupPriorityMinimum": 0, "versionPriority": 0, "service": {"name": "s", "port": 443}},
            "status": {},
        });
        assert_eq!(object.into_value(), wanted);
    }

    #[test]
    fn field_validation_decides_about_unknown_fields() {
        let body = b"metadata: {name: a}\nspec: {host: h, port: 1, host: h}\nextra: 1\n";
        let decode = |v| decode_object(&external_name::KIND, body, Encoding::Yaml).and_then(|d| d.accept(v));
        let problems =
            [r#"unknown field "spec.port""#, r#"duplicate field "spec.host""#, r#"unknown field "extra""#];
        assert_eq!(decode(FieldValidation::Warn).unwrap().1, problems);
        assert!(decode(FieldValidation::Ignore).unwrap().1.is_empty());
        let failure = decode(FieldValidation::Strict).unwrap_err();
        let wanted = format!(
            "ExternalName in version \"v0alpha1\" cannot be handled as a ExternalName: strict decoding error: {}",
            problems.join(", ")
        );
        assert_eq!((failure.code, failure.message), (400, wanted));
    }
}
