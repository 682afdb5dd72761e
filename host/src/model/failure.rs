//! Errors as API clients see them: `metav1.Status` with the upstream reason and code.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, Status, StatusCause, StatusDetails};

/// An answer that refuses a request. Renders to a `metav1.Status` object.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, `""` where upstream gives none.
    pub reason: &'static str,
    /// What is wrong and, where it can be known, how to mend it.
    pub message: String,
    /// Name, kind, causes and retry hint; absent where upstream leaves it out.
    pub details: Option<Box<StatusDetails>>,
    /// With 410 on a page of a list: where an inconsistent rest can be had (`metadata.continue`).
    pub continue_token: Option<String>,
}

/// How long the body of a request may pause before it is refused with [`Failure::stalled_upload`]. Shorter than
/// nginx's `client_body_timeout` of 60 s, so that the cause is told before the request's own limit of 60 s ends it.
pub const UPLOAD_PAUSE: Duration = Duration::from_secs(30);

/// Most causes that one answer shows.
pub const MOST_CAUSES: usize = 100;

/// One field of an object that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldError {
    /// Path of the field, for example `spec.service.port`.
    pub field: String,
    /// What kind of wrong.
    pub kind: FieldErrorKind,
    /// The offending value as upstream prints it (quoted when a string), where the kind shows one.
    pub value: Option<String>,
    /// The rule that is broken.
    pub detail: String,
}

/// The kinds of field errors, with the words and reasons of `k8s.io/apimachinery/pkg/util/validation/field`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// A value is missing.
    Required,
    /// A value breaks a rule.
    Invalid,
    /// A value is not one of the supported ones.
    NotSupported,
    /// A value may not be set here.
    Forbidden,
    /// A value is too long.
    TooLong,
    /// A value stands twice.
    Duplicate,
    /// The value's type does not fit.
    TypeInvalid,
}

impl FieldErrorKind {
    /// The `reason` of a `StatusCause`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::Duplicate => "FieldValueDuplicate",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::Duplicate => "Duplicate value",
            Self::TypeInvalid => "Invalid value",
        }
    }
}

impl FieldError {
    /// A missing value; `detail` may be empty.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), kind: FieldErrorKind::Required, value: None, detail: detail.into() }
    }

    /// A value that breaks a rule; strings are quoted by the caller through [`quoted`].
    pub fn invalid(field: impl Into<String>, value: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            kind: FieldErrorKind::Invalid,
            value: Some(value.into()),
            detail: detail.into(),
        }
    }

    /// A value that may not be set.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), kind: FieldErrorKind::Forbidden, value: None, detail: detail.into() }
    }

    /// A value outside the supported ones; `value` is printed as given.
    pub fn not_supported(field: impl Into<String>, value: impl Into<String>, supported: &[&str]) -> Self {
        let listed: Vec<String> = supported.iter().map(|s| quoted(s)).collect();
        Self {
            field: field.into(),
            kind: FieldErrorKind::NotSupported,
            value: Some(value.into()),
            detail: format!("supported values: {}", listed.join(", ")),
        }
    }

    /// The message without the field, as a `StatusCause` carries it.
    pub fn body(&self) -> String {
        let mut out = self.kind.words().to_owned();
        if let Some(value) = &self.value {
            out.push_str(": ");
            out.push_str(value);
        }
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }

    /// The cause that stands in `details.causes`.
    pub fn cause(&self) -> StatusCause {
        StatusCause {
            field: Some(self.field.clone()),
            message: Some(self.body()),
            reason: Some(self.kind.reason().to_owned()),
        }
    }
}

/// A string as Go's `%q` prints it, which is how upstream shows offending values.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Failure {
    /// A client began to send a body and stopped for `pause`.
    pub fn stalled_upload(pause: Duration) -> Self {
        let text = format!(
            "Timeout: nothing more of the request's body came for {pause:?}; send the body without long pauses"
        );
        Self::new(408, "Timeout", text)
    }

    /// A failure without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, continue_token: None }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401 in upstream's words.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 404 for a named object of `resource` in `group`.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {} not found", qualified(resource, group), quoted(name)))
            .about(name, group, resource)
    }

    /// 404 for a path or resource that nobody serves.
    pub fn no_such_resource() -> Self {
        Self {
            details: Some(Box::default()),
            ..Self::new(404, "NotFound", "the server could not find the requested resource")
        }
    }

    /// 503 while it is not known yet what is served, as upstream says it before all its paths are installed.
    pub fn not_routed_yet() -> Self {
        let text = "the request has been made before all known HTTP paths have been installed, please retry";
        Self::unavailable(text).retry_after(1)
    }

    /// 405 as go-restful words it.
    pub fn method_not_allowed() -> Self {
        Self {
            details: Some(Box::default()),
            ..Self::new(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
        }
    }

    /// 409: an object of that name is there already.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} already exists", qualified(resource, group), quoted(name));
        Self::new(409, "AlreadyExists", message).about(name, group, resource)
    }

    /// 409: a write lost a race or a precondition does not hold.
    pub fn conflict(group: &str, resource: &str, name: &str, cause: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {}: {cause}",
            qualified(resource, group),
            quoted(name)
        );
        Self::new(409, "Conflict", message).about(name, group, resource)
    }

    /// 410: the revision asked for is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 422: fields of an object are wrong. `kind` is the Kind (or, for a few upstream texts, the resource).
    ///
    /// What two rules find alike is said once. After the first [`MOST_CAUSES`] only the number of the others is said.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let mut seen = HashSet::with_capacity(errors.len());
        let mut errors: Vec<&FieldError> = errors.iter().filter(|error| seen.insert(*error)).collect();
        let more = errors.len().saturating_sub(MOST_CAUSES);
        errors.truncate(MOST_CAUSES);
        let mut texts: Vec<String> = errors.iter().map(|e| format!("{}: {}", e.field, e.body())).collect();
        let mut causes: Vec<StatusCause> = errors.into_iter().map(FieldError::cause).collect();
        if more > 0 {
            let rest = format!("{more} more errors are not shown");
            texts.push(rest.clone());
            causes.push(StatusCause { field: None, message: Some(rest), reason: None });
        }
        let list = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
        let message = format!("{} {} is invalid: {list}", qualified(kind, group), quoted(name));
        let mut failure = Self::new(422, "Invalid", message).about(name, group, kind);
        if let Some(details) = failure.details.as_mut() {
            details.causes = Some(causes);
        }
        failure
    }

    /// 500: the request made the server panic.
    pub fn panicked() -> Self {
        Self::internal("the request made the server panic; its log shows where")
    }

    /// 500: our own fault; the cause is said, because hiding it helps nobody.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let cause = cause.to_string();
        let mut failure = Self::new(500, "InternalError", format!("Internal error occurred: {cause}"));
        failure.details = Some(Box::new(StatusDetails {
            causes: Some(vec![StatusCause { field: None, message: Some(cause), reason: None }]),
            ..StatusDetails::default()
        }));
        failure
    }

    /// 503: a backend cannot answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 429: the bodies of other requests use all the memory that is available for them.
    pub fn too_many_uploads() -> Self {
        let text = "too many request bodies are under way, please try again later";
        Self::new(429, "TooManyRequests", text).retry_after(1)
    }

    /// Names the object that the failure is about.
    #[must_use]
    pub fn about(mut self, name: &str, group: &str, kind: &str) -> Self {
        let details = self.details.get_or_insert_default();
        details.name = some_unless_empty(name);
        details.group = some_unless_empty(group);
        details.kind = some_unless_empty(kind);
        self
    }

    /// Asks the client to come back after `seconds`; also becomes the `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, seconds: i32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = Some(seconds);
        self
    }

    /// Seconds for the `Retry-After` header, where there is one.
    pub fn retry_after_seconds(&self) -> Option<i32> {
        self.details.as_ref().and_then(|d| d.retry_after_seconds)
    }

    /// The object that clients receive.
    pub fn to_status(&self) -> Status {
        Status {
            code: Some(i32::from(self.code)),
            details: self.details.as_deref().cloned(),
            message: Some(self.message.clone()),
            metadata: ListMeta { continue_: self.continue_token.clone(), ..ListMeta::default() },
            reason: some_unless_empty(self.reason),
            status: Some("Failure".to_owned()),
        }
    }

    /// The JSON body, with a trailing newline as upstream sends it.
    pub fn to_json(&self) -> Bytes {
        let mut body = serde_json::to_vec(&self.to_status()).unwrap_or_default();
        body.push(b'\n');
        body.into()
    }
}

fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn some_unless_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_stands_bare_and_several_stand_in_brackets() {
        let one = [FieldError::required("spec.version", "")];
        let failure = Failure::invalid("apiregistration.k8s.io", "APIService", "x", &one);
        assert_eq!(
            failure.message,
            r#"APIService.apiregistration.k8s.io "x" is invalid: spec.version: Required value"#
        );
        let two = [one[0].clone(), FieldError::invalid("spec.port", "0", "too small")];
        let failure = Failure::invalid("g", "K", "x", &two);
        assert_eq!(
            failure.message,
            r#"K.g "x" is invalid: [spec.version: Required value, spec.port: Invalid value: 0: too small]"#
        );
    }

    #[test]
    fn causes_are_said_once_and_the_many_are_counted() {
        let error = |n: usize| FieldError::invalid("metadata.labels", n.to_string(), "wrong");
        let twice: Vec<FieldError> = [1, 2, 1, 2].map(error).to_vec();
        let failure = Failure::invalid("g", "K", "x", &twice);
        assert_eq!(failure.details.unwrap().causes.unwrap(), [error(1).cause(), error(2).cause()]);
        let many: Vec<FieldError> = (0..60_000).chain(0..60_000).map(error).collect();
        let failure = Failure::invalid("g", "K", "x", &many);
        assert!(failure.message.ends_with("99: wrong, 59900 more errors are not shown]"));
        let causes = failure.details.unwrap().causes.unwrap();
        assert_eq!((causes.len(), &causes[99]), (MOST_CAUSES + 1, &error(99).cause()));
        assert_eq!(causes[100].message.as_deref(), Some("59900 more errors are not shown"));
    }
}
