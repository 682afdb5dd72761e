//! The options of a request, decoded and checked (contract §1.5, §1.7, §7.9).

use super::query::Query;
use crate::model::failure::{Failure, FieldError, FieldErrorKind, quoted};
use crate::object::decode::FieldValidation;
use crate::registry::{DeleteOptions, VersionMatch};
use serde_json::Value;

/// Upstream's limit for `fieldManager`, in bytes.
const MANAGER_MAX: usize = 128;
/// The policies of a delete.
const PROPAGATION_POLICIES: [&str; 3] = ["Foreground", "Background", "Orphan"];
/// The group that option kinds live in.
const META_GROUP: &str = "meta.k8s.io";

/// `CreateOptions`, `UpdateOptions` and `PatchOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteParameters {
    /// Whether to go through everything and store nothing.
    pub dry_run: bool,
    /// Who owns the written fields; empty means: told by the user agent.
    pub field_manager: String,
    /// What is done about unknown fields.
    pub field_validation: FieldValidation,
}

impl WriteParameters {
    /// Reads the options of a create (`CreateOptions`) or an update (`UpdateOptions`).
    pub fn read(query: &Query, option_kind: &str) -> Result<Self, Failure> {
        let mut errors = Vec::new();
        check_manager(query.text("fieldManager"), &mut errors);
        let read = Self::gather(query, &mut errors);
        refuse_unless_empty(option_kind, errors)?;
        Ok(read)
    }

    /// Reads the options of a patch that is no apply.
    pub fn read_patch(query: &Query) -> Result<Self, Failure> {
        let mut errors = Vec::new();
        if query.first("force").is_some() {
            errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
        }
        check_manager(query.text("fieldManager"), &mut errors);
        let read = Self::gather(query, &mut errors);
        refuse_unless_empty("PatchOptions", errors)?;
        Ok(read)
    }

    fn gather(query: &Query, errors: &mut Vec<FieldError>) -> Self {
        let dry_run = check_dry_run(&query.all("dryRun"), errors);
        let field_validation =
            FieldValidation::parse(query.text("fieldValidation")).unwrap_or_else(|error| {
                errors.push(error);
                FieldValidation::Strict
            });
        Self { dry_run, field_manager: query.text("fieldManager").to_owned(), field_validation }
    }
}

/// `DeleteOptions`, from the body or from the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteParameters {
    /// How to delete.
    pub options: DeleteOptions,
    /// The deprecated `orphanDependents: false` was given, which changes the status of an unfinished deletion.
    pub is_deprecated_cascade: bool,
}

impl DeleteParameters {
    /// Reads options from the query.
    pub fn from_query(query: &Query) -> Result<Self, Failure> {
        query.integer("gracePeriodSeconds")?;
        let policy = query.first("propagationPolicy").map(str::to_owned);
        Self::build(query.all("dryRun"), policy, query.flag("orphanDependents"))
    }

    /// Reads options from a decoded body, which is of `v1`, of `meta.k8s.io/v1` or, as typed clients write it, of
    /// `own_version`. A field of the wrong type refuses the delete: it may be what was to hold it back.
    pub fn from_body(body: &Value, own_version: &str) -> Result<Self, Failure> {
        check_delete_type(body, own_version)?;
        let dry_run = match field(body, "dryRun") {
            None => Vec::new(),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong_type("dryRun", "a list of strings"))?,
            Some(_) => return Err(wrong_type("dryRun", "a list of strings")),
        };
        let policy = text(body, "propagationPolicy", "propagationPolicy")?;
        let orphan = match field(body, "orphanDependents") {
            None => None,
            Some(Value::Bool(orphan)) => Some(*orphan),
            Some(_) => return Err(wrong_type("orphanDependents", "true or false")),
        };
        if field(body, "gracePeriodSeconds").is_some_and(|v| !v.is_i64()) {
            return Err(wrong_type("gracePeriodSeconds", "a whole number"));
        }
        let mut read = Self::build(dry_run, policy.map(str::to_owned), orphan)?;
        if let Some(preconditions) = field(body, "preconditions") {
            if !preconditions.is_object() {
                return Err(wrong_type("preconditions", "an object"));
            }
            read.options.uid = text(preconditions, "uid", "preconditions.uid")?.map(str::to_owned);
            let version = text(preconditions, "resourceVersion", "preconditions.resourceVersion")?;
            read.options.resource_version = version.map(str::to_owned);
        }
        Ok(read)
    }

    fn build(dry_run: Vec<String>, policy: Option<String>, orphan: Option<bool>) -> Result<Self, Failure> {
        let mut errors = Vec::new();
        if let (Some(policy), true) = (&policy, orphan.is_some()) {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(FieldError::invalid("propagationPolicy", quoted(policy), detail));
        }
        // Validated but not used: the gateway's objects have no dependents, so all policies have the same effect.
        if let Some(other) = policy.filter(|policy| !PROPAGATION_POLICIES.contains(&policy.as_str())) {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported("propagationPolicy", quoted(&other), &supported));
        }
        let dry_run = check_dry_run(&dry_run, &mut errors);
        refuse_unless_empty("DeleteOptions", errors)?;
        Ok(Self {
            options: DeleteOptions { dry_run, ..DeleteOptions::default() },
            is_deprecated_cascade: orphan == Some(false),
        })
    }
}

/// `ListOptions` of a list or a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListParameters {
    /// Label selector as given.
    pub label_selector: String,
    /// Field selector as given.
    pub field_selector: String,
    /// Resource version as given, `""` when absent.
    pub resource_version: String,
    /// How it is meant, where it was said.
    pub version_match: Option<VersionMatch>,
    /// At most so many items; 0 means all.
    pub limit: usize,
    /// Where to go on.
    pub continue_token: String,
    /// How long a watch may last, in seconds.
    pub timeout_seconds: Option<u64>,
    /// Whether a watch wants bookmarks.
    pub allow_bookmarks: bool,
    /// Whether a watch starts with what is there.
    pub send_initial_events: Option<bool>,
}

impl ListParameters {
    /// Reads and checks the options; the rules for a watch differ.
    pub fn read(query: &Query, is_watch: bool) -> Result<Self, Failure> {
        let limit = query.integer("limit")?.unwrap_or_default();
        let timeout = query.integer("timeoutSeconds")?;
        let send_initial_events = query.flag("sendInitialEvents");
        let match_text = query.text("resourceVersionMatch");
        let mut errors = Vec::new();
        if is_watch {
            check_watch(query, send_initial_events, &mut errors);
        } else {
            check_list(query, send_initial_events, &mut errors);
        }
        refuse_unless_empty("ListOptions", errors)?;
        Ok(Self {
            label_selector: query.text("labelSelector").to_owned(),
            field_selector: query.text("fieldSelector").to_owned(),
            resource_version: query.text("resourceVersion").to_owned(),
            version_match: match match_text {
                "Exact" => Some(VersionMatch::Exact),
                "NotOlderThan" => Some(VersionMatch::NotOlderThan),
                _ => None,
            },
            limit: usize::try_from(limit).unwrap_or_default(),
            continue_token: query.text("continue").to_owned(),
            timeout_seconds: timeout.and_then(|s| u64::try_from(s).ok()),
            allow_bookmarks: query.flag("allowWatchBookmarks").unwrap_or_default(),
            send_initial_events,
        })
    }
}

fn check_list(query: &Query, send_initial_events: Option<bool>, errors: &mut Vec<FieldError>) {
    let field = "resourceVersionMatch";
    let asked = query.text(field);
    if !asked.is_empty() {
        if query.text("resourceVersion").is_empty() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(FieldError::forbidden(field, detail));
        }
        if !query.text("continue").is_empty() {
            let detail = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(field, detail));
        }
        if !matches!(asked, "Exact" | "NotOlderThan") {
            let supported = ["Exact", "NotOlderThan", ""];
            errors.push(FieldError::not_supported(field, quoted(asked), &supported));
        }
        if asked == "Exact" && query.text("resourceVersion") == "0" {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(field, detail));
        }
    }
    if send_initial_events.is_some() {
        let detail = "sendInitialEvents is forbidden for list";
        errors.push(FieldError::forbidden("sendInitialEvents", detail));
    }
}

fn check_watch(query: &Query, send_initial_events: Option<bool>, errors: &mut Vec<FieldError>) {
    let field = "resourceVersionMatch";
    let asked = query.text(field);
    if send_initial_events.is_some() && asked != "NotOlderThan" {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden(field, detail));
    }
    if asked.is_empty() {
        return;
    }
    if send_initial_events.is_none() {
        let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        errors.push(FieldError::forbidden(field, detail));
    }
    if asked != "NotOlderThan" {
        errors.push(FieldError::not_supported(field, quoted(asked), &["NotOlderThan"]));
    }
    if !query.text("continue").is_empty() {
        let detail = "resourceVersionMatch is forbidden when continue is provided";
        errors.push(FieldError::forbidden(field, detail));
    }
}

fn check_manager(manager: &str, errors: &mut Vec<FieldError>) {
    if manager.len() > MANAGER_MAX {
        errors.push(FieldError {
            field: "fieldManager".to_owned(),
            kind: FieldErrorKind::TooLong,
            value: None,
            detail: format!("may not be more than {MANAGER_MAX} bytes"),
        });
    }
    for (at, found) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(found));
        errors.push(FieldError::invalid("fieldManager", quoted(manager), detail));
    }
}

fn check_dry_run(values: &[String], errors: &mut Vec<FieldError>) -> bool {
    let is_known = values.iter().all(|value| value == "All");
    if !is_known {
        let listed = serde_json::to_string(values).unwrap_or_default();
        errors.push(FieldError::not_supported("dryRun", listed, &["All"]));
    }
    !values.is_empty()
}

fn check_delete_type(body: &Value, own_version: &str) -> Result<(), Failure> {
    let kind = text(body, "kind", "kind")?.unwrap_or_default();
    let version = text(body, "apiVersion", "apiVersion")?.unwrap_or_default();
    let is_known = matches!(version, "" | "v1" | "meta.k8s.io/v1") || version == own_version;
    if matches!(kind, "" | "DeleteOptions") && is_known {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "the body of a delete must be a DeleteOptions of v1, got kind {} of apiVersion {}",
        quoted(kind),
        quoted(version)
    )))
}

/// A field that was given; `null` gives none.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn text<'a>(object: &'a Value, name: &str, shown: &str) -> Result<Option<&'a str>, Failure> {
    field(object, name).map(|value| value.as_str().ok_or_else(|| wrong_type(shown, "a string"))).transpose()
}

fn wrong_type(field: &str, wanted: &str) -> Failure {
    Failure::bad_request(format!(
        "DeleteOptions in version \"v1\" cannot be handled: {field} must be {wanted}"
    ))
}

fn refuse_unless_empty(option_kind: &str, errors: Vec<FieldError>) -> Result<(), Failure> {
    if errors.is_empty() { Ok(()) } else { Err(Failure::invalid(META_GROUP, option_kind, "", &errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_option_is_named() {
        let refused = |query: &str, is_watch: bool| {
            ListParameters::read(&Query::parse(query), is_watch).unwrap_err().message
        };
        let cases = [
            ("resourceVersionMatch=Exact", false, "forbidden unless resourceVersion is provided"),
            (
                "resourceVersion=1&resourceVersionMatch=Kinda",
                false,
                r#"Unsupported value: "Kinda": supported values: "Exact", "NotOlderThan", """#,
            ),
            (
                "resourceVersion=0&resourceVersionMatch=Exact",
                false,
                r#""exact" is forbidden for resourceVersion "0""#,
            ),
            ("continue=x&resourceVersion=5&resourceVersionMatch=Exact", false, "forbidden when continue"),
            ("sendInitialEvents=true", false, "sendInitialEvents is forbidden for list"),
            ("sendInitialEvents=true", true, "requires setting resourceVersionMatch to NotOlderThan"),
            ("resourceVersionMatch=NotOlderThan", true, "unless sendInitialEvents is provided"),
        ];
        for (query, is_watch, wanted) in cases {
            let message = refused(query, is_watch);
            assert!(message.starts_with("ListOptions.meta.k8s.io \"\" is invalid: "), "{message}");
            assert!(message.contains(wanted), "{query}: {message}");
        }
    }

    #[test]
    fn delete_options_from_body_and_query_agree() {
        let body = serde_json::json!({"propagationPolicy": "Orphan", "dryRun": ["All"]});
        let from_query = DeleteParameters::from_query(&Query::parse("propagationPolicy=Orphan&dryRun=All"));
        assert_eq!(DeleteParameters::from_body(&body, "example.com/v1"), from_query);
        for version in ["v1", "meta.k8s.io/v1", "example.com/v1"] {
            let body = serde_json::json!({"kind": "DeleteOptions", "apiVersion": version});
            let read = DeleteParameters::from_body(&body, "example.com/v1");
            assert_eq!(read, Ok(DeleteParameters::default()), "{version}");
        }
        let both = Query::parse("propagationPolicy=Orphan&orphanDependents=true");
        assert_eq!(DeleteParameters::from_query(&both).unwrap_err().code, 422);
    }

    #[test]
    fn write_options_are_refused_under_their_kind() {
        let refused = WriteParameters::read(&Query::parse("dryRun=Some"), "CreateOptions").unwrap_err();
        assert_eq!(
            refused.message,
            r#"CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All""#
        );
        let long = format!("fieldManager={}", "x".repeat(129));
        let refused = WriteParameters::read(&Query::parse(&long), "UpdateOptions").unwrap_err();
        assert!(refused.message.ends_with("fieldManager: Too long: may not be more than 128 bytes"));
        assert!(WriteParameters::read_patch(&Query::parse("force=true")).is_err());
    }
}
