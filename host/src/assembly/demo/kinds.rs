//! The kinds of the two sample API servers: trees in an orchard, ships in a harbour.

use crate::kind::{ALL_VERBS, CellContext, Column, Kept, Kind, KindRules, Scope, object_meta};
use crate::model::failure::FieldError;
use crate::model::object::Object;
use crate::model::schema::{Field, Record, Schema, ZeroValue};
use crate::object::age::age_cell;
use clap::ValueEnum;
use serde_json::Value;

/// A sample API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sample {
    /// Serves trees.
    Orchard,
    /// Serves ships.
    Harbour,
}

impl Sample {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Orchard, Self::Harbour];

    /// Its name, which is also its service's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Orchard => "orchard",
            Self::Harbour => "harbour",
        }
    }

    /// The one kind that it serves.
    pub fn kinds(self) -> &'static [&'static Kind] {
        match self {
            Self::Orchard => &TREES,
            Self::Harbour => &SHIPS,
        }
    }

    /// The kind itself.
    pub fn kind(self) -> &'static Kind {
        match self {
            Self::Orchard => &TREE,
            Self::Harbour => &SHIP,
        }
    }
}

static TREES: [&Kind; 1] = [&TREE];
static SHIPS: [&Kind; 1] = [&SHIP];

static TREE: Kind = Kind {
    group: "orchard.example.com",
    version: "v1",
    kind: "Tree",
    list_kind: "TreeList",
    plural: "trees",
    singular: "tree",
    scope: Scope::Namespaced,
    kept: Kept::InStore,
    categories: &[],
    short_names: &[],
    verbs: ALL_VERBS,
    has_status: false,
    main_condition: None,
    selectable: &[],
    schema: &TREE_SCHEMA,
    columns: &[
        object_meta::NAME_COLUMN,
        text_column("Fruit", "What grows on it."),
        number_column("Height", "Height in centimetres."),
        object_meta::AGE_COLUMN,
    ],
    repeats_columns: false,
    rules: &Rules { text: "fruit", number: "heightCentimetres" },
};

static SHIP: Kind = Kind {
    group: "harbour.example.com",
    version: "v1",
    kind: "Ship",
    list_kind: "ShipList",
    plural: "ships",
    singular: "ship",
    scope: Scope::Namespaced,
    kept: Kept::InStore,
    categories: &[],
    short_names: &[],
    verbs: ALL_VERBS,
    has_status: false,
    main_condition: None,
    selectable: &[],
    schema: &SHIP_SCHEMA,
    columns: &[
        object_meta::NAME_COLUMN,
        text_column("Cargo", "What it carries."),
        number_column("Crew", "How many people are aboard."),
        object_meta::AGE_COLUMN,
    ],
    repeats_columns: false,
    rules: &Rules { text: "cargo", number: "crew" },
};

static TREE_SCHEMA: Schema = Schema::Record(Record {
    definition: "com.example.orchard.v1.Tree",
    description: "A tree of the orchard.",
    atomic: false,
    fields: &[
        object_meta::API_VERSION,
        object_meta::KIND,
        object_meta::METADATA,
        Field::new("spec", "What tree it is.", &TREE_SPEC).zero(ZeroValue::Written),
    ],
});

static TREE_SPEC: Schema = Schema::Record(Record {
    definition: "com.example.orchard.v1.TreeSpec",
    description: "What grows on a tree, and how high it is.",
    atomic: false,
    fields: &[
        Field::new("fruit", "What grows on it, for example \"apple\".", &Schema::String).required(),
        Field::new("heightCentimetres", "How high it is, in centimetres.", &Schema::Int32),
    ],
});

static SHIP_SCHEMA: Schema = Schema::Record(Record {
    definition: "com.example.harbour.v1.Ship",
    description: "A ship in the harbour.",
    atomic: false,
    fields: &[
        object_meta::API_VERSION,
        object_meta::KIND,
        object_meta::METADATA,
        Field::new("spec", "What ship it is.", &SHIP_SPEC).zero(ZeroValue::Written),
    ],
});

static SHIP_SPEC: Schema = Schema::Record(Record {
    definition: "com.example.harbour.v1.ShipSpec",
    description: "What a ship is like.",
    atomic: false,
    fields: &[
        Field::new("cargo", "What it carries, for example \"tea\".", &Schema::String).required(),
        Field::new("crew", "How many people are aboard.", &Schema::Int32),
    ],
});

const fn text_column(name: &'static str, description: &'static str) -> Column {
    Column { name, cell_type: "string", format: "", description, priority: 0 }
}

const fn number_column(name: &'static str, description: &'static str) -> Column {
    Column { name, cell_type: "integer", format: "int32", description, priority: 0 }
}

/// A required text and a number that is not negative.
struct Rules {
    text: &'static str,
    number: &'static str,
}

impl KindRules for Rules {
    fn validate(&self, object: &Object, _old: Option<&Object>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if object.text(&["spec", self.text]).is_empty() {
            errors.push(FieldError::required(format!("spec.{}", self.text), ""));
        }
        if let Some(number) = object.at(&["spec", self.number]).and_then(Value::as_i64).filter(|n| *n < 0) {
            let rule = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(format!("spec.{}", self.number), number.to_string(), rule));
        }
        errors
    }

    fn cells(&self, object: &Object, context: &CellContext<'_>) -> Vec<Value> {
        let number = object.at(&["spec", self.number]).and_then(Value::as_i64).unwrap_or_default();
        vec![
            object.name().into(),
            object.text(&["spec", self.text]).into(),
            number.into(),
            age_cell(object, context.now).into(),
        ]
    }
}
