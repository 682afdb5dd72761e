//! `plugins.umbel.dev/v1alpha1` Plugin: a WebAssembly component in the plugin directory, as the gateway sees it.
//!
//! The gateway makes, changes and removes these objects itself. Clients read them, and ask for something by writing
//! an annotation; a component never arrives over HTTP.

use serde_json::Value;

use super::{CellContext, Column, Kept, Kind, KindRules, Scope, object_meta};
use crate::model::annotations::unknown;
use crate::model::failure::{FieldError, quoted};
use crate::model::object::Object;
use crate::model::schema::{Field, ListSharing, Record, Schema, ZeroValue};
use crate::object::age::age_cell;
use crate::object::condition;

/// The condition that tells whether the plugin answers; the same as [`SERVING`], by the name that `kubectl wait`
/// is used with most.
pub const READY: &str = "Ready";
/// The condition that tells whether the newest file has been taken into service.
pub const LOADED: &str = "Loaded";
/// The condition that tells whether the manifest of the newest file suits the plugin.
pub const SETTINGS_VALID: &str = "SettingsValid";
/// The condition that tells whether some generation of the plugin answers.
pub const SERVING: &str = "Serving";
/// The condition that tells whether the plugin answers without failing too often.
pub const HEALTHY: &str = "Healthy";
/// What all annotations that ask for something begin with.
pub const ANNOTATION_PREFIX: &str = "plugins.umbel.dev/";
/// The annotation that switches a plugin off while it is `"true"`.
pub const DISABLED: &str = "plugins.umbel.dev/disabled";
/// The annotations that ask for something once for each new text.
pub const DEEDS: [&str; 3] =
    ["plugins.umbel.dev/reload", "plugins.umbel.dev/rollback", "plugins.umbel.dev/reset"];

/// The kind.
pub static KIND: Kind = Kind {
    group: "plugins.umbel.dev",
    version: "v1alpha1",
    kind: "Plugin",
    list_kind: "PluginList",
    plural: "plugins",
    singular: "plugin",
    scope: Scope::Cluster,
    kept: Kept::InStore,
    categories: &["api-extensions", "umbel"],
    short_names: &["plug"],
    verbs: &["get", "list", "patch", "update", "watch"],
    has_status: true,
    main_condition: Some(READY),
    selectable: &[],
    schema: &SCHEMA,
    columns: COLUMNS,
    repeats_columns: false,
    rules: &Rules,
};

/// A record of this kind's own definitions.
const fn record(definition: &'static str, description: &'static str, fields: &'static [Field]) -> Schema {
    Schema::Record(Record { definition, description, atomic: false, fields })
}

const TEXT: &Schema = &Schema::String;
static TEXTS: Schema = Schema::List { items: &Schema::String, sharing: ListSharing::Atomic };

static SCHEMA: Schema = record(
    "dev.umbel.plugins.v1alpha1.Plugin",
    "A WebAssembly component in the plugin directory. Made by the gateway for each file; components are never \
     uploaded.",
    &[
        object_meta::API_VERSION,
        object_meta::KIND,
        object_meta::METADATA,
        Field::new("spec", "What the manifest beside the component that serves says; edit that file.", &SPEC)
            .zero(ZeroValue::Written),
        Field::new("status", "How the plugin is; written by the gateway.", &STATUS).zero(ZeroValue::Written),
    ],
);

static SPEC: Schema = record(
    "dev.umbel.plugins.v1alpha1.PluginSpec",
    "The manifest, as plugins/README.md explains it, with secrets by name only.",
    &[
        Field::new("digest", "The SHA-256 that the component must have.", TEXT),
        Field::new("settings", "What the plugin is given as JSON.", &Schema::Opaque),
        Field::new(
            "secrets",
            "Names of the secrets; where they lie and what they hold is not shown.",
            &TEXTS,
        ),
        Field::new("grants", "What the plugin may reach.", &Schema::Opaque),
        Field::new("metrics", "Metrics of its own that are shown on /metrics.", &Schema::Opaque),
        Field::new("wasi", "The profile of WASI that it may import.", TEXT),
        Field::new("limits", "Limits of a call.", &Schema::Opaque),
        Field::new("failurePolicy", "What stands in for the plugin when it fails.", TEXT),
        Field::new("probation", "When a new generation has proved itself.", &Schema::Opaque),
        Field::new("rehearsal", "What differences from the generation before mean.", TEXT),
        Field::new("bindings", "The objects that it decides for without an annotation.", &Schema::Opaque),
        Field::new("discovery", "How it takes part in discovery.", &Schema::Opaque),
    ],
);

static STATUS: Schema = record(
    "dev.umbel.plugins.v1alpha1.PluginStatus",
    "How the plugin is.",
    &[
        Field::new("state", "Where its newest files are on the way into service, in one word.", TEXT),
        Field::new("since", "When it came into that state.", &Schema::Time),
        Field::new("steps", "What the steps of the newest files took that are over.", &STEPS),
        Field::new("reason", "The reason code, where something is not as it should be.", TEXT),
        Field::new("message", "The reason for people.", TEXT),
        Field::new("mend", "What to do about it.", TEXT),
        Field::new("generation", "The generation that serves; 0 when none does.", &Schema::Int64)
            .zero(ZeroValue::Written),
        Field::new("digest", "SHA-256 of the component that serves.", TEXT),
        Field::new("path", "The file.", TEXT),
        Field::new("kinds", "The decisions that it takes.", &TEXTS),
        Field::new("interfaces", "The same with the versions of their interfaces.", &TEXTS),
        Field::new("version", "The version that it states.", TEXT),
        Field::new("description", "What it says about itself.", TEXT),
        Field::new("calls", "How many calls it got since the gateway started.", &Schema::Int64)
            .zero(ZeroValue::Written),
        Field::new("faults", "How many of them it failed.", &Schema::Int64).zero(ZeroValue::Written),
        Field::new("lastFault", "The last of these.", TEXT),
        Field::new("bindings", "The objects that lead to it; the first hundred.", &BINDINGS),
        Field::new("rehearsal", "How its newest file answered recorded calls.", &REHEARSAL),
        Field::new(
            "conditions",
            "Loaded: the newest file serves. SettingsValid: its settings suit it. Serving and Ready: it answers. Healthy: \
             it does so without failing too often.",
            &CONDITIONS,
        ),
        Field::new("observedActions", "What was asked by annotation, and what came of it.", &ACTIONS),
        Field::new("history", "The last changes of its state, the newest last.", &HISTORY),
    ],
);

static CONDITIONS: Schema = Schema::List { items: &CONDITION, sharing: ListSharing::Map(&["type"]) };

static CONDITION: Schema = record(
    "dev.umbel.plugins.v1alpha1.PluginCondition",
    "One aspect of the state.",
    &[
        Field::new("type", "Which aspect: Loaded, SettingsValid, Serving, Ready or Healthy.", TEXT)
            .required()
            .zero(ZeroValue::Written),
        Field::new("status", "True, False or Unknown.", TEXT).required().zero(ZeroValue::Written),
        Field::new("lastTransitionTime", "When the status last changed.", &Schema::Time),
        Field::new("reason", "Why, in one word.", TEXT),
        Field::new("message", "Why, and how to mend it.", TEXT),
    ],
);

static STEPS: Schema = Schema::List { items: &STEP, sharing: ListSharing::Atomic };

static REHEARSAL: Schema = record(
    "dev.umbel.plugins.v1alpha1.PluginRehearsal",
    "How the newest file answered what the generation before was asked.",
    &[
        Field::new("compared", "Calls that were answered again and compared.", &Schema::Int64)
            .zero(ZeroValue::Written),
        Field::new("different", "How many of them were answered otherwise.", &Schema::Int64)
            .zero(ZeroValue::Written),
        Field::new("notComparable", "Calls that could not be compared.", &Schema::Int64)
            .zero(ZeroValue::Written),
        Field::new("firstDifference", "The first difference.", TEXT),
        Field::new("note", "Why nothing was rehearsed, where that is so.", TEXT),
    ],
);

static STEP: Schema = record(
    "dev.umbel.plugins.v1alpha1.PluginStep",
    "One step of the newest files.",
    &[
        Field::new("step", "Checking, Compiling, Linking, Validating or Rehearsing.", TEXT),
        Field::new("milliseconds", "How long it took.", &Schema::Int64).zero(ZeroValue::Written),
    ],
);

static BINDINGS: Schema = Schema::List { items: &BINDING, sharing: ListSharing::Atomic };

static BINDING: Schema = record(
    "dev.umbel.plugins.v1alpha1.PluginBinding",
    "An object that leads to the plugin.",
    &[
        Field::new("object", "The APIService, or the groups that a transformer is asked about.", TEXT),
        Field::new("kind", "The kind of decision: resolver, health or discovery.", TEXT),
        Field::new("policy", "What stands in when the plugin fails, in this order.", TEXT),
    ],
);

static ACTIONS: Schema = Schema::List { items: &ACTION, sharing: ListSharing::Map(&["action"]) };

static ACTION: Schema = record(
    "dev.umbel.plugins.v1alpha1.PluginAction",
    "What was asked by annotation, and what came of it.",
    &[
        Field::new("action", "reload, rollback or reset.", TEXT).required().zero(ZeroValue::Written),
        Field::new("value", "The text of the annotation that was handled.", TEXT),
        Field::new("time", "When.", &Schema::Time),
        Field::new("outcome", "Done or Refused.", TEXT),
        Field::new("message", "What was done, or why it cannot be.", TEXT),
    ],
);

static HISTORY: Schema = Schema::List { items: &TRANSITION, sharing: ListSharing::Atomic };

static TRANSITION: Schema = record(
    "dev.umbel.plugins.v1alpha1.PluginTransition",
    "One change of the state.",
    &[
        Field::new("time", "When.", &Schema::Time),
        Field::new("state", "The state from then on.", TEXT),
        Field::new("generation", "The generation that served from then on.", &Schema::Int64),
        Field::new("reason", "The reason code.", TEXT),
        Field::new("message", "The reason for people.", TEXT),
    ],
);

const fn column(
    name: &'static str,
    cell_type: &'static str,
    description: &'static str,
    priority: i32,
) -> Column {
    Column { name, cell_type, format: "", description, priority }
}

const COLUMNS: &[Column] = &[
    object_meta::NAME_COLUMN,
    column("Kinds", "string", "The decisions that the plugin takes.", 0),
    column("Version", "string", "The version that the plugin states.", 0),
    column("State", "string", "Where its newest files are on the way into service.", 0),
    column("Generation", "integer", "The generation that serves; 0 when none does.", 0),
    column("Calls", "integer", "How many calls the plugin got since the gateway started.", 0),
    column("Faults", "integer", "How many of them it failed.", 0),
    object_meta::AGE_COLUMN,
    column("Reason", "string", "Why something is not as it should be.", 0),
    column("Digest", "string", "SHA-256 of the component that serves.", 1),
];

struct Rules;

impl KindRules for Rules {
    fn validate(&self, object: &Object, old: Option<&Object>) -> Vec<FieldError> {
        let Some(old) = old else { return Vec::new() };
        if object.at(&["spec"]) == old.at(&["spec"]) {
            return Vec::new();
        }
        let name = object.name();
        let rule = format!("it shows the manifest: edit {name}.yaml beside {name}.wasm instead");
        vec![FieldError::forbidden("spec", rule)]
    }

    fn warnings(&self, object: &Object) -> Vec<String> {
        let annotations = object.at(&["metadata", "annotations"]).and_then(Value::as_object);
        let useless = annotations
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| useless(key, value.as_str().unwrap_or_default()));
        let known = [&DEEDS[..], &[DISABLED]].concat();
        useless.chain(unknown(object, &known)).collect()
    }

    fn refusal(&self, verb: &str) -> &'static str {
        match verb {
            "create" => {
                "copy <name>.wasm into the plugin directory; components are never uploaded over HTTP, and the \
                 gateway makes the object"
            }
            _ => {
                "remove <name>.wasm from the plugin directory, or annotate the object with \
                 plugins.umbel.dev/disabled=true"
            }
        }
    }

    fn cells(&self, object: &Object, context: &CellContext<'_>) -> Vec<Value> {
        let text = |field: &str| Value::from(object.text(&["status", field]));
        let number =
            |field: &str| Value::from(object.at(&["status", field]).and_then(Value::as_i64).unwrap_or(0));
        let kinds = object.at(&["status", "kinds"]).and_then(Value::as_array);
        let kinds: Vec<&str> = kinds.into_iter().flatten().filter_map(Value::as_str).collect();
        let digest = object.text(&["status", "digest"]);
        vec![
            object.name().into(),
            kinds.join(",").into(),
            text("version"),
            text("state"),
            number("generation"),
            number("calls"),
            number("faults"),
            age_cell(object, context.now).into(),
            text("reason"),
            digest.get(..12).unwrap_or(digest).into(),
        ]
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> Vec<FieldError> {
        match condition::find(object, READY) {
            Some(ready) if !["True", "False", "Unknown"].contains(&ready.status) => {
                let supported = &["True", "False", "Unknown"];
                vec![FieldError::not_supported("status.conditions", quoted(ready.status), supported)]
            }
            _ => Vec::new(),
        }
    }
}

/// The problem with the value of a known annotation.
fn useless(key: &str, value: &str) -> Option<String> {
    if DEEDS.contains(&key) {
        let empty = || format!("annotation {key} is empty and does nothing: give it any new text");
        return value.is_empty().then(empty);
    }
    let unclear =
        || format!("annotation {key} is {}, which does nothing: write true or false", quoted(value));
    (key == DISABLED && !["true", "false"].contains(&value)).then(unclear)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn annotated(annotations: Value) -> Object {
        Object::from_value(json!({"metadata": {"name": "p", "annotations": annotations}})).unwrap()
    }

    #[test]
    fn what_an_annotation_cannot_mean_is_told() {
        let said = |annotations: Value| KIND.rules.warnings(&annotated(annotations)).join("\n");
        assert_eq!(said(json!({"a": "b", DISABLED: "true", "plugins.umbel.dev/reload": "1"})), "");
        assert!(said(json!({DISABLED: "yes"})).contains("\"yes\", which does nothing: write true or false"));
        assert!(
            said(json!({"plugins.umbel.dev/relaod": "1"})).contains("did you mean plugins.umbel.dev/reload?")
        );
        assert!(said(json!({"plugins.umbel.dev/reset": ""})).contains("give it any new text"));
    }

    #[test]
    fn the_spec_is_changed_in_the_manifest_only() {
        let old = annotated(json!({}));
        let mut new = annotated(json!({"a": "b"}));
        assert!(KIND.rules.validate(&new, Some(&old)).is_empty());
        new.set(&["spec", "wasi"], "std");
        let errors = KIND.rules.validate(&new, Some(&old));
        assert!(errors[0].detail.contains("edit p.yaml beside p.wasm"), "{errors:?}");
    }
}
