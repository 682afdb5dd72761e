//! The records of `meta/v1` that travel beside the own kinds: bodies of deletes, errors, lists, watch events.

use crate::kind::object_meta::{API_VERSION, KIND};
use crate::model::schema::{Field, ListSharing, Record, Schema, ZeroValue};

const fn text(name: &'static str, description: &'static str) -> Field {
    Field::new(name, description, &Schema::String)
}

const fn required(name: &'static str, description: &'static str) -> Field {
    text(name, description).required().zero(ZeroValue::Written)
}

const TEXTS: &Schema = &Schema::List { items: &Schema::String, sharing: ListSharing::Atomic };

pub(super) static LIST_META: Record = LIST_META_RECORD;

const LIST_META_RECORD: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta",
    description: "What a list says about itself.",
    atomic: false,
    fields: LIST_META_FIELDS,
};

const LIST_META_FIELDS: &[Field] = &[
    text("continue", "The token for the next page of a list that was cut by limit; empty on the last page."),
    Field::new(
        "remainingItemCount",
        "How many objects follow after this page; absent when selectors were used.",
        &Schema::Int64,
    ),
    text("resourceVersion", "The state of the store that the list shows; a watch may start from it."),
    text("selfLink", "Deprecated: no longer filled in."),
];

const PRECONDITIONS: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.Preconditions",
    description: "What must hold before the object is deleted.",
    atomic: false,
    fields: &[
        text("resourceVersion", "The object must be at this resource version."),
        text("uid", "The object must have this uid."),
    ],
};

pub(super) static DELETE_OPTIONS: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    description: "How to delete.",
    atomic: false,
    fields: &[
        API_VERSION,
        Field::new("dryRun", "With the value All, nothing is stored.", TEXTS),
        Field::new(
            "gracePeriodSeconds",
            "Seconds before the object is deleted; not negative, zero means at once.",
            &Schema::Int64,
        ),
        KIND,
        Field::new(
            "orphanDependents",
            "Deprecated: use propagationPolicy. Whether dependents stay behind.",
            &Schema::Boolean,
        ),
        Field::new(
            "preconditions",
            "What must hold before; 409 when it does not.",
            &Schema::Record(PRECONDITIONS),
        ),
        text("propagationPolicy", "How dependents are collected: Orphan, Background or Foreground."),
    ],
};

const STATUS_CAUSE: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.StatusCause",
    description: "One of several reasons of a failure.",
    atomic: false,
    fields: &[
        text("field", "The field at fault, for example `spec.versionPriority`."),
        text("message", "What is wrong, for people."),
        text("reason", "What is wrong, for programs."),
    ],
};

const STATUS_DETAILS: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails",
    description: "More about a failure.",
    atomic: false,
    fields: &[
        Field::new(
            "causes",
            "Every single reason.",
            &Schema::List { items: &Schema::Record(STATUS_CAUSE), sharing: ListSharing::Atomic },
        ),
        text("group", "The API group of the object at fault."),
        text("kind", "The kind or resource of the object at fault."),
        text("name", "The name of the object at fault."),
        Field::new(
            "retryAfterSeconds",
            "After how many seconds the same request may succeed.",
            &Schema::Int32,
        ),
        text("uid", "The uid of the object at fault."),
    ],
};

pub(super) static STATUS: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    description: "The answer of a call that returns no object.",
    atomic: false,
    fields: &[
        API_VERSION,
        Field::new("code", "The HTTP status code.", &Schema::Int32),
        Field::new("details", "More about a failure.", &Schema::Record(STATUS_DETAILS)),
        KIND,
        text("message", "What happened, for people."),
        Field::new("metadata", "What a list says about itself; empty.", &Schema::Record(LIST_META_RECORD))
            .zero(ZeroValue::Written),
        text("reason", "Why, for programs, in CamelCase."),
        text("status", "Success or Failure."),
    ],
};

pub(super) static PATCH: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    description: "A patch in the form that the Content-Type names.",
    atomic: false,
    fields: &[],
};

const RAW_EXTENSION: Record = Record {
    definition: "io.k8s.apimachinery.pkg.runtime.RawExtension",
    description: "Any object.",
    atomic: false,
    fields: &[],
};

pub(super) static WATCH_EVENT: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
    description: "One change that a watch tells.",
    atomic: false,
    fields: &[
        required("type", "ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."),
        Field::new(
            "object",
            "The object after an ADDED or MODIFIED, before a DELETED, a resource version alone for BOOKMARK, a Status for ERROR.",
            &Schema::Record(RAW_EXTENSION),
        )
        .required(),
    ],
};

const API_RESOURCE: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.APIResource",
    description: "One resource of a group-version.",
    atomic: false,
    fields: &[
        Field::new(
            "categories",
            "Names of groups of resources that this one belongs to, such as `all`.",
            TEXTS,
        ),
        text("group", "The group, where it differs from the list's."),
        required("name", "The plural name, or `<plural>/<subresource>`."),
        required("singularName", "The singular name."),
        Field::new("namespaced", "Whether objects live in namespaces.", &Schema::Boolean)
            .required()
            .zero(ZeroValue::Written),
        required("kind", "The kind of the resource's objects."),
        Field::new("shortNames", "Shorter names that kubectl understands.", TEXTS),
        text("storageVersionHash", "A hash of the version in which objects are stored."),
        Field::new("verbs", "What can be done with it.", TEXTS).required(),
        text("version", "The version, where it differs from the list's."),
    ],
};

pub(super) static API_RESOURCE_LIST: Record = Record {
    definition: "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList",
    description: "The resources of a group-version.",
    atomic: false,
    fields: &[
        API_VERSION,
        required("groupVersion", "The group-version."),
        KIND,
        Field::new(
            "resources",
            "The resources and subresources.",
            &Schema::List { items: &Schema::Record(API_RESOURCE), sharing: ListSharing::Atomic },
        )
        .required(),
    ],
};
