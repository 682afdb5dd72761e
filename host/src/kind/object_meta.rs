//! The schema of `metadata`, which all kinds share.

use super::Column;
use crate::model::schema::{Field, ListSharing, Record, Schema, ZeroValue};

/// `apiVersion`, the same in every kind.
pub const API_VERSION: Field =
    Field::new("apiVersion", "Group and version of this object's schema.", &Schema::String);

/// `kind`, the same in every kind.
pub const KIND: Field = Field::new("kind", "Name of this object's type.", &Schema::String);

/// `metadata`, the same in every kind.
pub const METADATA: Field =
    Field::new("metadata", "Name, labels, owners and other data about the object.", &OBJECT_META)
        .zero(ZeroValue::Written);

/// The `Name` column, in upstream's words, because tables are compared with them.
pub const NAME_COLUMN: Column = Column {
    name: "Name",
    cell_type: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    priority: 0,
};

/// The `Age` column, in upstream's words, because tables are compared with them.
pub const AGE_COLUMN: Column = Column {
    name: "Age",
    cell_type: "string",
    format: "",
    description: "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    priority: 0,
};

/// `io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta`.
pub static OBJECT_META: Schema = Schema::Record(Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
    description: "Data that every stored object carries.",
    atomic: false,
    fields: META_FIELDS,
});

/// `io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference`.
pub static OWNER_REFERENCE: Schema = Schema::Record(Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
    description: "Names an object, in the same namespace or cluster-scoped, that owns this one.",
    atomic: true,
    fields: OWNER_FIELDS,
});

/// `io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry`.
pub static MANAGED_FIELDS_ENTRY: Schema = Schema::Record(Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry",
    description: "The fields that one writer has set, and when.",
    atomic: false,
    fields: ENTRY_FIELDS,
});

static TEXT_MAP: Schema = Schema::Map(&Schema::String);
static FINALIZERS: Schema = Schema::List { items: &Schema::String, sharing: ListSharing::Set };
static OWNERS: Schema = Schema::List { items: &OWNER_REFERENCE, sharing: ListSharing::Map(&["uid"]) };
static MANAGERS: Schema = Schema::List { items: &MANAGED_FIELDS_ENTRY, sharing: ListSharing::Atomic };

const META_FIELDS: &[Field] = &[
    Field::new(
        "name",
        "Unique within its namespace (or in the server, for cluster-scoped kinds); never changes.",
        &Schema::String,
    ),
    Field::new(
        "generateName",
        "Prefix for a name that the server completes with random characters, used when no name is given.",
        &Schema::String,
    ),
    Field::new(
        "namespace",
        "Namespace that the name is unique in; empty for cluster-scoped kinds; never changes.",
        &Schema::String,
    ),
    Field::new("selfLink", "No longer filled by servers.", &Schema::String),
    Field::new(
        "uid",
        "Tells this object from all others, before and after, of the same name. Set by the server.",
        &Schema::String,
    ),
    Field::new(
        "resourceVersion",
        "Opaque version of the object: give it back unchanged to write only what you have read.",
        &Schema::String,
    ),
    Field::new(
        "generation",
        "Counts changes of the desired state, where a kind keeps count. Set by the server.",
        &Schema::Int64,
    ),
    Field::new("creationTimestamp", "When the object was made. Set by the server.", &Schema::Time),
    Field::new(
        "deletionTimestamp",
        "When the object was asked to go; it does when its finalizers are gone. Set by the server.",
        &Schema::Time,
    ),
    Field::new(
        "deletionGracePeriodSeconds",
        "Seconds the object has to end by itself. Set by the server with deletionTimestamp.",
        &Schema::Int64,
    )
    .zero(ZeroValue::Kept),
    Field::new("labels", "Keys and values to select objects by.", &TEXT_MAP),
    Field::new("annotations", "Keys and values for tools; cannot be selected by.", &TEXT_MAP),
    Field::new(
        "ownerReferences",
        "Objects that own this one; at most one of them is its controller.",
        &OWNERS,
    ),
    Field::new(
        "finalizers",
        "Who must act before the object may go; once it is going, entries can only be removed.",
        &FINALIZERS,
    ),
    Field::new("managedFields", "Which writer has set which fields. Kept by the server.", &MANAGERS),
];

const OWNER_FIELDS: &[Field] = &[
    Field::new("apiVersion", "Group and version of the owner.", &Schema::String)
        .required()
        .zero(ZeroValue::Written),
    Field::new("kind", "Kind of the owner.", &Schema::String).required().zero(ZeroValue::Written),
    Field::new("name", "Name of the owner.", &Schema::String).required().zero(ZeroValue::Written),
    Field::new("uid", "UID of the owner.", &Schema::String).required().zero(ZeroValue::Written),
    Field::new("controller", "Whether the owner manages this object.", &Schema::Boolean)
        .zero(ZeroValue::Kept),
    Field::new(
        "blockOwnerDeletion",
        "Whether the owner, deleted in the foreground, waits for this object.",
        &Schema::Boolean,
    )
    .zero(ZeroValue::Kept),
];

const ENTRY_FIELDS: &[Field] = &[
    Field::new("manager", "Name of the writer.", &Schema::String),
    Field::new("operation", "How it wrote: Apply or Update.", &Schema::String),
    Field::new("apiVersion", "Version of the schema that the fields are named in.", &Schema::String),
    Field::new("time", "When the writer last changed one of these fields.", &Schema::Time),
    Field::new("fieldsType", "Form of the field set; always FieldsV1.", &Schema::String),
    Field::new("fieldsV1", "The field set.", &Schema::Opaque),
    Field::new(
        "subresource",
        "Subresource that was written through, empty for the object itself.",
        &Schema::String,
    ),
];
