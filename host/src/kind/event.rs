//! `events.k8s.io/v1` Event: what happened to an object lately, as `kubectl get events` shows it.
//!
//! The gateway makes them itself and forgets them: they lie in memory, so that a plugin that fails all day costs no
//! disk. Clients read them.

use jiff::Timestamp;
use serde_json::Value;

use super::{CellContext, Column, Kept, Kind, KindRules, Scope, Selectable, object_meta};
use crate::model::failure::FieldError;
use crate::model::object::Object;
use crate::model::schema::{Field, Record, Schema, ZeroValue};
use crate::object::age::human_duration;

/// The kind.
pub static KIND: Kind = Kind {
    group: "events.k8s.io",
    version: "v1",
    kind: "Event",
    list_kind: "EventList",
    plural: "events",
    singular: "event",
    scope: Scope::Namespaced,
    kept: Kept::InMemory,
    categories: &[],
    short_names: &["ev"],
    verbs: &["get", "list", "watch"],
    has_status: false,
    main_condition: None,
    selectable: SELECTABLE,
    schema: &SCHEMA,
    columns: COLUMNS,
    repeats_columns: false,
    rules: &Rules,
};

const fn select(label: &'static str, path: &'static [&'static str]) -> Selectable {
    Selectable { label, path }
}

/// As upstream registers them for this version of the API.
const SELECTABLE: &[Selectable] = &[
    select("reason", &["reason"]),
    select("regarding.kind", &["regarding", "kind"]),
    select("regarding.namespace", &["regarding", "namespace"]),
    select("regarding.name", &["regarding", "name"]),
    select("regarding.uid", &["regarding", "uid"]),
    select("regarding.apiVersion", &["regarding", "apiVersion"]),
    select("regarding.resourceVersion", &["regarding", "resourceVersion"]),
    select("regarding.fieldPath", &["regarding", "fieldPath"]),
    select("reportingController", &["reportingController"]),
    select("source", &["reportingController"]),
    select("type", &["type"]),
];

/// A record of upstream's definitions.
const fn record(
    definition: &'static str,
    description: &'static str,
    atomic: bool,
    fields: &'static [Field],
) -> Schema {
    Schema::Record(Record { definition, description, atomic, fields })
}

const TEXT: &Schema = &Schema::String;

static SCHEMA: Schema = record(
    "io.k8s.api.events.v1.Event",
    "Something that happened to an object. Made by the gateway and forgotten after an hour.",
    false,
    &[
        object_meta::API_VERSION,
        object_meta::KIND,
        object_meta::METADATA,
        Field::new("eventTime", "When it happened first.", &Schema::MicroTime)
            .required()
            .zero(ZeroValue::Written),
        Field::new("series", "How often it has happened, where that is more than once.", &SERIES),
        Field::new("reportingController", "The part of the gateway that tells it.", TEXT),
        Field::new("reportingInstance", "The gateway that tells it.", TEXT),
        Field::new("action", "What was done or tried, in one word.", TEXT),
        Field::new("reason", "Why, in one word.", TEXT),
        Field::new("regarding", "The object that it happened to.", &REFERENCE).zero(ZeroValue::Written),
        Field::new("related", "A second object that takes part.", &REFERENCE),
        Field::new("note", "What happened and how to mend it, as it was the last time.", TEXT),
        Field::new("type", "Normal or Warning.", TEXT),
        Field::new("deprecatedSource", "Where older clients look for the reporter.", &SOURCE),
        Field::new("deprecatedFirstTimestamp", "Where they look for the first time.", &Schema::Time),
        Field::new("deprecatedLastTimestamp", "Where they look for the last time.", &Schema::Time),
        Field::new("deprecatedCount", "Where they look for the count.", &Schema::Int32),
    ],
);

static SERIES: Schema = record(
    "io.k8s.api.events.v1.EventSeries",
    "How often something has happened.",
    false,
    &[
        Field::new("count", "How often.", &Schema::Int32).required().zero(ZeroValue::Written),
        Field::new("lastObservedTime", "When for the last time.", &Schema::MicroTime)
            .required()
            .zero(ZeroValue::Written),
    ],
);

static REFERENCE: Schema = record(
    "io.k8s.api.core.v1.ObjectReference",
    "Names an object.",
    true,
    &[
        Field::new("kind", "Its kind.", TEXT),
        Field::new("namespace", "Its namespace.", TEXT),
        Field::new("name", "Its name.", TEXT),
        Field::new("uid", "Its uid.", TEXT),
        Field::new("apiVersion", "Group and version of its kind.", TEXT),
        Field::new("resourceVersion", "The version of it that is meant.", TEXT),
        Field::new("fieldPath", "The part of it that is meant.", TEXT),
    ],
);

static SOURCE: Schema = record(
    "io.k8s.api.core.v1.EventSource",
    "Who tells of an event.",
    false,
    &[Field::new("component", "The part of the program.", TEXT), Field::new("host", "The machine.", TEXT)],
);

const fn column(name: &'static str, description: &'static str, priority: i32) -> Column {
    Column { name, cell_type: "string", format: "", description, priority }
}

/// Names, order and priorities are upstream's.
const COLUMNS: &[Column] = &[
    column("Last Seen", "When it happened for the last time.", 0),
    column("Type", "Normal or Warning.", 0),
    column("Reason", "Why, in one word.", 0),
    column("Object", "The object that it happened to.", 0),
    column("Subobject", "The part of the object that is meant.", 1),
    column("Source", "Who tells it.", 1),
    column("Message", "What happened and how to mend it.", 0),
    column("First Seen", "When it happened first.", 1),
    column("Count", "How often it has happened.", 1),
    Column { priority: 1, ..object_meta::NAME_COLUMN },
];

struct Rules;

impl KindRules for Rules {
    fn validate(&self, _object: &Object, _old: Option<&Object>) -> Vec<FieldError> {
        Vec::new()
    }

    fn refusal(&self, _verb: &str) -> &'static str {
        "events tell what the gateway saw: it makes them itself and forgets each one an hour after it was last seen"
    }

    fn cells(&self, object: &Object, context: &CellContext<'_>) -> Vec<Value> {
        let text = |path: &[&str]| Value::from(object.text(path));
        let first = ago(object.text(&["eventTime"]), context.now);
        let series = object.at(&["series"]);
        let last = match series {
            Some(_) => ago(object.text(&["series", "lastObservedTime"]), context.now),
            None => first.clone(),
        };
        let count = object.at(&["series", "count"]).and_then(Value::as_i64).unwrap_or(1);
        vec![
            last.into(),
            text(&["type"]),
            text(&["reason"]),
            subject(object).into(),
            text(&["regarding", "fieldPath"]),
            source(object).into(),
            object.text(&["note"]).trim().into(),
            first.into(),
            count.into(),
            object.name().into(),
        ]
    }
}

fn ago(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => human_duration(now.as_second() - time.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// `plugin/consul`.
fn subject(object: &Object) -> String {
    let kind = object.text(&["regarding", "kind"]).to_lowercase();
    match object.text(&["regarding", "name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

/// Controller and instance, as far as they are known.
fn source(object: &Object) -> String {
    let parts = [object.text(&["reportingController"]), object.text(&["reportingInstance"])];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_tells_first_and_last_time_and_the_count() {
        let mut event = Object::from_value(json!({
            "metadata": {"name": "p.1", "namespace": "default"},
            "eventTime": "1970-01-01T00:00:10.250000Z", "type": "Warning", "reason": "NotAComponent",
            "reportingController": "umbel.dev/plugins", "reportingInstance": "here", "note": " it is empty\n",
            "regarding": {"kind": "Plugin", "name": "p"},
        }))
        .unwrap();
        let now = Timestamp::from_second(70).unwrap();
        let once = json!([
            "60s",
            "Warning",
            "NotAComponent",
            "plugin/p",
            "",
            "umbel.dev/plugins, here",
            "it is empty",
            "60s",
            1,
            "p.1"
        ]);
        assert_eq!(Value::from(KIND.rules.cells(&event, &CellContext::at(now))), once);
        event.set(&["series"], json!({"count": 3, "lastObservedTime": "1970-01-01T00:01:00.000000Z"}));
        let cells = KIND.rules.cells(&event, &CellContext::at(now));
        assert_eq!([&cells[0], &cells[7], &cells[8]], [&json!("10s"), &json!("60s"), &json!(3)]);
    }
}
