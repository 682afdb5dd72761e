//! `apiregistration.k8s.io/v1` APIService: which backend serves a group and version (contract §1).

use base64::Engine as _;
use jiff::Timestamp;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec};
use serde_json::Value;

use super::{ALL_VERBS, CellContext, Column, Kept, Kind, KindRules, Scope, object_meta};
use crate::model::annotations::{OF_ROUTED_OBJECTS, unknown};
use crate::model::failure::{FieldError, quoted};
use crate::model::failure_policy;
use crate::model::object::Object;
use crate::model::schema::{Field, ListSharing, Record, Schema, ZeroValue};
use crate::object::age::age_cell;
use crate::object::condition::{self, Condition};
use crate::object::{metadata_rules, names};

/// The port that an APIService without `spec.service.port` means.
pub const DEFAULT_PORT: i32 = 443;

/// The condition that tells whether requests are routed.
pub const AVAILABLE: &str = "Available";

/// The kind.
pub static KIND: Kind = Kind {
    group: "apiregistration.k8s.io",
    version: "v1",
    kind: "APIService",
    list_kind: "APIServiceList",
    plural: "apiservices",
    singular: "apiservice",
    scope: Scope::Cluster,
    kept: Kept::InStore,
    categories: &["api-extensions"],
    short_names: &[],
    verbs: ALL_VERBS,
    has_status: true,
    main_condition: Some(AVAILABLE),
    selectable: &[],
    schema: &SCHEMA,
    columns: COLUMNS,
    // kube-aggregator ignores a request to leave them out.
    repeats_columns: true,
    rules: &Rules,
};

static SCHEMA: Schema = Schema::Record(Record {
    definition: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    description: "Says which server answers for one version of an API group. Its name is \"<version>.<group>\".",
    atomic: false,
    fields: &[
        object_meta::API_VERSION,
        object_meta::KIND,
        object_meta::METADATA,
        Field::new("spec", "Where the API is served and how it ranks.", &SPEC).zero(ZeroValue::Written),
        Field::new("status", "Whether the API can be reached; written by the gateway.", &STATUS)
            .zero(ZeroValue::Written),
    ],
});

static SPEC: Schema = Schema::Record(Record {
    definition: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec",
    description: "Where an API is served, how its server is verified, and how it ranks among others.",
    atomic: false,
    fields: &[
        Field::new("service", "The server; without one the API is served by the gateway itself.", &SERVICE),
        Field::new("group", "The API group.", &Schema::String),
        Field::new("version", "The version in the group, for example \"v1\".", &Schema::String),
        Field::new(
            "insecureSkipTLSVerify",
            "Accept any certificate from the server. Prefer caBundle.",
            &Schema::Boolean,
        ),
        Field::new("caBundle", "PEM certificates that the server's certificate is verified against; without them the system's and the gateway's own.", &Schema::Bytes),
        Field::new("groupPriorityMinimum", "The group's rank: the highest of its versions counts, higher comes first. 1 to 20000.", &Schema::Int32)
            .required()
            .zero(ZeroValue::Written),
        Field::new("versionPriority", "The version's rank in its group, higher comes first; equal ranks go by the version's name. 1 to 1000.", &Schema::Int32)
            .required()
            .zero(ZeroValue::Written),
    ],
});

static SERVICE: Schema = Schema::Record(Record {
    definition: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference",
    description: "Names the service that answers: an ExternalName, and the port at its host.",
    atomic: false,
    fields: &[
        Field::new("namespace", "Namespace of the service.", &Schema::String),
        Field::new("name", "Name of the service.", &Schema::String),
        Field::new("port", "Port that the server listens on, 1 to 65535; 443 when absent.", &Schema::Int32)
            .zero(ZeroValue::Kept),
    ],
});

static STATUS: Schema = Schema::Record(Record {
    definition: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus",
    description: "What the gateway knows about the server.",
    atomic: false,
    fields: &[Field::new("conditions", "The state, one entry for each type of condition.", &CONDITIONS)],
});

static CONDITIONS: Schema = Schema::List { items: &CONDITION, sharing: ListSharing::Map(&["type"]) };

static CONDITION: Schema = Schema::Record(Record {
    definition: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceCondition",
    description: "One aspect of the state.",
    atomic: false,
    fields: &[
        Field::new("type", "Which aspect, for example Available.", &Schema::String)
            .required()
            .zero(ZeroValue::Written),
        Field::new("status", "True, False or Unknown.", &Schema::String).required().zero(ZeroValue::Written),
        Field::new("lastTransitionTime", "When the status last changed.", &Schema::Time),
        Field::new("reason", "Why, in one word.", &Schema::String),
        Field::new("message", "Why, for people.", &Schema::String),
    ],
});

const COLUMNS: &[Column] = &[
    object_meta::NAME_COLUMN,
    Column {
        name: "Service",
        cell_type: "string",
        format: "",
        description: "The reference to the service that hosts this API endpoint.",
        priority: 0,
    },
    Column {
        name: "Available",
        cell_type: "string",
        format: "",
        description: "Whether this service is available.",
        priority: 0,
    },
    object_meta::AGE_COLUMN,
    Column {
        name: "Endpoint",
        cell_type: "string",
        format: "",
        description: "The addresses that requests are sent to.",
        priority: 1,
    },
    Column {
        name: "Message",
        cell_type: "string",
        format: "",
        description: "Why this service is or is not available.",
        priority: 1,
    },
];

/// The number of endpoints that a cell names; as in kubectl, further ones are counted.
const SHOWN_ENDPOINTS: usize = 3;
/// The text that kubectl shows for a cell without a value.
const NO_VALUE: &str = "<none>";

/// An APIService as a typed value; `None` only for objects that were never decoded against the schema.
pub fn typed(object: &Object) -> Option<APIService> {
    serde_json::from_value(Value::Object(object.0.clone())).ok()
}

struct Rules;

impl KindRules for Rules {
    fn warnings(&self, object: &Object) -> Vec<String> {
        failure_policy::complaint(object).into_iter().chain(unknown(object, &OF_ROUTED_OBJECTS)).collect()
    }

    fn names_plugins(&self) -> bool {
        true
    }

    fn set_defaults(&self, object: &mut Object) {
        if object.at(&["spec", "service"]).is_some_and(Value::is_object)
            && object.at(&["spec", "service", "port"]).is_none_or(Value::is_null)
        {
            object.set(&["spec", "service", "port"], DEFAULT_PORT);
        }
    }

    fn prepare_for_create(&self, object: &mut Object, now: Timestamp) {
        if object.at(&["spec", "service"]).is_none() {
            let local = Condition {
                kind: AVAILABLE,
                status: "True",
                reason: "Local",
                message: "Local APIServices are always available",
            };
            condition::set(object, local, now);
        }
    }

    fn validate_name(&self, field: &str, name: &str, object: &Object) -> Vec<FieldError> {
        let wanted = format!("{}.{}", object.text(&["spec", "version"]), object.text(&["spec", "group"]));
        if name == wanted {
            return Vec::new();
        }
        let rule = format!("must be `spec.version+\".\"+spec.group`: {}", quoted(&wanted));
        vec![FieldError::invalid(field, quoted(name), rule)]
    }

    fn validate(&self, object: &Object, old: Option<&Object>) -> Vec<FieldError> {
        let Some(spec) = typed(object).map(|o| o.spec.unwrap_or_default()) else {
            return vec![FieldError::invalid("spec", "", "does not have the shape of an APIServiceSpec")];
        };
        let mut errors: Vec<FieldError> = failure_policy::refusal(object, old).into_iter().collect();
        if old.is_some() {
            // The name cannot change, what it must say can.
            errors.extend(metadata_rules::check_own_names(&KIND, object));
        }
        errors.extend(validate_group_version(&spec));
        errors.extend(validate_ranks(&spec));
        errors.extend(validate_target(&spec));
        errors
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> Vec<FieldError> {
        let conditions = object.at(&["status", "conditions"]).and_then(Value::as_array);
        let mut errors = Vec::new();
        for (index, condition) in conditions.into_iter().flatten().enumerate() {
            let status = condition.get("status").and_then(Value::as_str).unwrap_or_default();
            if !["True", "False", "Unknown"].contains(&status) {
                let field = format!("status.conditions[{index}].status");
                errors.push(FieldError::not_supported(field, quoted(status), &["True", "False", "Unknown"]));
            }
        }
        errors
    }

    fn cells(&self, object: &Object, context: &CellContext<'_>) -> Vec<Value> {
        let service = match object.at(&["spec", "service"]) {
            None => "Local".to_owned(),
            Some(_) => format!(
                "{}/{}",
                object.text(&["spec", "service", "namespace"]),
                object.text(&["spec", "service", "name"])
            ),
        };
        let condition = condition::find(object, AVAILABLE);
        let available = match condition {
            None => "Unknown".to_owned(),
            Some(c) if c.status != "True" && !c.reason.is_empty() => format!("{} ({})", c.status, c.reason),
            Some(c) => c.status.to_owned(),
        };
        let message = condition.map(|c| c.message).filter(|message| !message.is_empty());
        vec![
            object.name().into(),
            service.into(),
            available.into(),
            age_cell(object, context.now).into(),
            endpoint_cell(object, context).into(),
            message.unwrap_or(NO_VALUE).into(),
        ]
    }
}

/// The endpoints in the form of kubectl: `10.0.0.1:443,10.0.0.2:443 + 3 more...`.
fn endpoint_cell(object: &Object, context: &CellContext<'_>) -> String {
    let endpoints = (context.endpoints)(object.text(&["spec", "group"]), object.text(&["spec", "version"]));
    let (shown, further) = endpoints.split_at(endpoints.len().min(SHOWN_ENDPOINTS));
    match (shown, further.len()) {
        ([], _) => NO_VALUE.to_owned(),
        (shown, 0) => shown.join(","),
        (shown, further) => format!("{} + {further} more...", shown.join(",")),
    }
}

fn validate_group_version(spec: &APIServiceSpec) -> Vec<FieldError> {
    let group = spec.group.as_deref().unwrap_or_default();
    let version = spec.version.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    if group.is_empty() {
        if version != "v1" {
            let rule = "only v1 may have an empty group and it better be legacy kube";
            errors.push(FieldError::required("spec.group", rule));
        }
    } else {
        let rules = names::dns1123_subdomain(group);
        errors.extend(rules.into_iter().map(|rule| FieldError::invalid("spec.group", quoted(group), rule)));
    }
    let rules = names::dns1035_label(version);
    errors.extend(rules.into_iter().map(|rule| FieldError::invalid("spec.version", quoted(version), rule)));
    errors
}

fn validate_ranks(spec: &APIServiceSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let ranks = [
        ("spec.groupPriorityMinimum", spec.group_priority_minimum, 20_000),
        ("spec.versionPriority", spec.version_priority, 1_000),
    ];
    for (field, value, most) in ranks {
        // The bound itself is accepted although the text says otherwise (contract appendix A, 8).
        if !(1..=most).contains(&value) {
            let rule = format!("must be positive and less than {most}");
            errors.push(FieldError::invalid(field, value.to_string(), rule));
        }
    }
    errors
}

fn validate_target(spec: &APIServiceSpec) -> Vec<FieldError> {
    let bundle = spec.ca_bundle.as_ref().map(|bytes| bytes.0.as_slice()).unwrap_or_default();
    let insecure = spec.insecure_skip_tls_verify.unwrap_or_default();
    let mut errors = Vec::new();
    let Some(service) = &spec.service else {
        if !bundle.is_empty() {
            let size = quoted(&format!("{} bytes", bundle.len()));
            errors.push(FieldError::invalid(
                "spec.caBundle",
                size,
                "local APIServices may not have a caBundle",
            ));
        }
        if insecure {
            let rule = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid("spec.insecureSkipTLSVerify", "true", rule));
        }
        return errors;
    };
    if service.namespace.as_deref().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("spec.service.namespace", ""));
    }
    if service.name.as_deref().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("spec.service.name", ""));
    }
    let port = service.port.unwrap_or(DEFAULT_PORT);
    if !(1..=65_535).contains(&port) {
        let rule = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid("spec.service.port", port.to_string(), rule));
    }
    if bundle.is_empty() {
        return errors;
    }
    if insecure {
        let rule = "may not be true if caBundle is present";
        errors.push(FieldError::invalid("spec.insecureSkipTLSVerify", "true", rule));
    } else if let Err(rule) = check_bundle(bundle) {
        // Better than upstream, which stores anything and fails later (golden README, create/ca-not-pem).
        let size = quoted(&format!("{} bytes", bundle.len()));
        errors.push(FieldError::invalid("spec.caBundle", size, rule));
    }
    errors
}

/// Checks that a bundle holds PEM certificates and nothing broken; the text says how to mend it.
fn check_bundle(bundle: &[u8]) -> Result<(), String> {
    const HOW: &str = "give the base64 of a PEM file with one or more CERTIFICATE blocks";
    let mut certificates = 0;
    for block in x509_parser::pem::Pem::iter_from_buffer(bundle) {
        let block = block.map_err(|e| format!("is not readable as PEM ({e}): {HOW}"))?;
        if block.label != "CERTIFICATE" {
            continue;
        }
        certificates += 1;
        block.parse_x509().map_err(|e| format!("certificate {certificates} is broken ({e}): {HOW}"))?;
    }
    if certificates > 0 {
        return Ok(());
    }
    let twice = base64::engine::general_purpose::STANDARD.decode(bundle.trim_ascii());
    let hint = if twice.is_ok_and(|inner| inner.starts_with(b"-----BEGIN")) {
        " (it looks as if it had been encoded twice)"
    } else {
        ""
    };
    Err(format!("holds no PEM certificate{hint}: {HOW}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::decode::complete;

    #[test]
    fn the_cells_tell_service_and_availability() {
        let cells = |extra: Value| {
            let mut value =
                json!({"metadata": {"name": "v1.a", "creationTimestamp": "1970-01-01T00:00:00Z"}});
            json_patch::merge(&mut value, &extra);
            let now = Timestamp::from_second(7).unwrap_or_default();
            KIND.rules.cells(&complete(&KIND, value), &CellContext::at(now))
        };
        let condition = |status: &str, reason: &str| json!({"status": {"conditions": [{"type": "Available", "status": status, "reason": reason}]}});
        assert_eq!(cells(json!({})), ["v1.a", "Local", "Unknown", "7s", "<none>", "<none>"]);
        assert_eq!(cells(condition("True", "Passed"))[2], "True");
        assert_eq!(cells(condition("False", "FailedDiscoveryCheck"))[2], "False (FailedDiscoveryCheck)");
        assert_eq!(cells(condition("Unknown", ""))[2], "Unknown");
        let remote = json!({"spec": {"service": {"namespace": "n", "name": "s"}}});
        assert_eq!(cells(remote)[1], "n/s");
        let said = json!({"status": {"conditions": [{"type": "Other", "message": "x"},
            {"type": "Available", "status": "False", "message": "no backend"}]}});
        assert_eq!(cells(said)[5], "no backend");
    }

    #[test]
    fn the_wide_cells_name_a_few_endpoints() {
        let object = complete(&KIND, json!({"spec": {"group": "a.b", "version": "v1"}}));
        let cell = |count: usize| {
            let endpoints = |group: &str, version: &str| {
                assert_eq!((group, version), ("a.b", "v1"));
                (1..=count).map(|n| format!("10.0.0.{n}:443")).collect()
            };
            KIND.rules.cells(&object, &CellContext { now: Timestamp::UNIX_EPOCH, endpoints: &endpoints })[4]
                .clone()
        };
        assert_eq!(cell(0), "<none>");
        assert_eq!(cell(1), "10.0.0.1:443");
        assert_eq!(cell(3), "10.0.0.1:443,10.0.0.2:443,10.0.0.3:443");
        assert_eq!(cell(5), "10.0.0.1:443,10.0.0.2:443,10.0.0.3:443 + 2 more...");
    }
}
