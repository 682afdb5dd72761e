//! The OpenAPI v3 document of a group-version that Umbel serves itself.

use super::definition::{Definitions, REFERENCE};
use super::meta;
use super::operation::{Naming, Paths};
use crate::model::schema::Record;
use serde_json::{Map, Value, json};

/// A kind with all that its document tells.
#[derive(Clone, Copy, Debug)]
pub struct ServedKind {
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind in CamelCase.
    pub kind: &'static str,
    /// Plural resource name.
    pub plural: &'static str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether `/status` is served.
    pub has_status: bool,
    /// The fields.
    pub schema: &'static Record,
}

impl ServedKind {
    pub(super) fn list_definition(&self) -> String {
        format!("{}List", self.schema.definition)
    }
}

/// The document of the group-version of `kinds`, which all share it (contract §4.2).
pub fn own_document(kinds: &[ServedKind]) -> Value {
    let mut paths = Map::new();
    let mut definitions = Definitions::default();
    if let Some(first) = kinds.first() {
        let naming = Naming::new(first.group, first.version);
        paths.insert(format!("/apis/{}/{}/", first.group, first.version), naming.resources());
        add_meta(&mut definitions, first);
        for kind in kinds {
            Paths { kind, naming: &naming }.add_to(&mut paths);
            add_kind(&mut definitions, kind);
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Umbel", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": definitions.0},
    })
}

fn add_meta(definitions: &mut Definitions, own: &ServedKind) {
    for record in [
        &meta::API_RESOURCE_LIST,
        &meta::DELETE_OPTIONS,
        &meta::LIST_META,
        &meta::PATCH,
        &meta::STATUS,
        &meta::WATCH_EVENT,
    ] {
        definitions.add(record);
    }
    for record in [&meta::API_RESOURCE_LIST, &meta::DELETE_OPTIONS, &meta::STATUS, &meta::WATCH_EVENT] {
        let kind = record.definition.rsplit('.').next().unwrap_or_default();
        definitions.name_kind(record.definition, "", "v1", kind);
    }
    for record in [&meta::DELETE_OPTIONS, &meta::WATCH_EVENT] {
        let kind = record.definition.rsplit('.').next().unwrap_or_default();
        definitions.name_kind(record.definition, own.group, own.version, kind);
    }
}

fn add_kind(definitions: &mut Definitions, kind: &ServedKind) {
    definitions.add(kind.schema);
    definitions.name_kind(kind.schema.definition, kind.group, kind.version, kind.kind);
    let item = format!("{REFERENCE}{}", kind.schema.definition);
    let list_meta = format!("{REFERENCE}{}", meta::LIST_META.definition);
    let list = json!({
        "description": format!("A list of objects of kind {}.", kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"description": "Group and version of the schema of this object.", "type": "string"},
            "items": {
                "description": "The objects.",
                "type": "array",
                "items": {"allOf": [{"$ref": item}], "default": {}},
            },
            "kind": {"description": "What this object is, in CamelCase.", "type": "string"},
            "metadata": {
                "description": "What the list says about itself.",
                "allOf": [{"$ref": list_meta}],
                "default": {},
            },
        },
    });
    let name = kind.list_definition();
    definitions.0.insert(name.clone(), list);
    definitions.name_kind(&name, kind.group, kind.version, &format!("{}List", kind.kind));
}
