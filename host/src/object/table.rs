//! `Table`: rows of cells as kubectl prints them (contract §1.6).

use serde_json::{Value, json};

use super::partial::partial_object;
use crate::model::failure::{Failure, quoted};
use crate::model::object::Object;
use crate::object::kind::{CellContext, Column, Kind};

/// What a row carries beside its cells (`includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl IncludeObject {
    /// The value of the query parameter; an empty one means `Metadata`.
    ///
    /// # Errors
    /// 400 for another value (recorded: list/table-bad-include).
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            _ => Err(Failure::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty",
                quoted(text)
            ))),
        }
    }
}

/// How a table is asked for.
#[derive(Clone, Copy, Debug)]
pub struct TableRequest<'a> {
    /// The version of `meta.k8s.io`: `v1` or `v1beta1`.
    pub version: &'a str,
    /// What rows carry beside their cells.
    pub include: IncludeObject,
    /// Whether to write the column definitions.
    pub with_columns: bool,
    /// Values in table cells that are not in the object.
    pub context: CellContext<'a>,
}

/// A table of objects; `list_metadata` is the ListMeta (`resourceVersion`, `continue`, `remainingItemCount`).
pub fn table<'a>(
    kind: &Kind,
    objects: impl IntoIterator<Item = &'a Object>,
    list_metadata: Value,
    request: TableRequest<'_>,
) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|object| row(kind, object, request)).collect();
    let columns: Vec<Value> =
        if request.with_columns { kind.columns.iter().map(definition).collect() } else { Vec::new() };
    json!({
        "apiVersion": format!("meta.k8s.io/{}", request.version),
        "kind": "Table",
        "metadata": list_metadata,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn row(kind: &Kind, object: &Object, request: TableRequest<'_>) -> Value {
    let mut row = json!({ "cells": kind.rules.cells(object, &request.context) });
    row["object"] = match request.include {
        IncludeObject::None => return row,
        IncludeObject::Metadata => partial_object(object, request.version),
        IncludeObject::Object => object.clone().into_value(),
    };
    row
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.cell_type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::external_name::KIND;
    use crate::object::decode::complete;
    use crate::object::partial::partial_list;
    use jiff::Timestamp;

    fn named(name: &str) -> Object {
        complete(&KIND, json!({"metadata": {"name": name}, "spec": {"host": "h"}}))
    }

    fn request(include: IncludeObject) -> TableRequest<'static> {
        TableRequest {
            version: "v1",
            include,
            with_columns: true,
            context: CellContext::at(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn rows_carry_what_was_asked_for() {
        let object = named("a");
        let with = |include| table(&KIND, [&object], json!({"resourceVersion": "7"}), request(include));
        let metadata = with(IncludeObject::default());
        assert_eq!(metadata["metadata"], json!({"resourceVersion": "7"}));
        assert_eq!(metadata["columnDefinitions"][1]["name"], "Host");
        let row = json!({
            "cells": ["a", "h", "<unknown>"],
            "object": {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "a"}},
        });
        assert_eq!(metadata["rows"], json!([row]));
        assert_eq!(with(IncludeObject::None)["rows"][0].get("object"), None);
        assert_eq!(with(IncludeObject::Object)["rows"][0]["object"], object.clone().into_value());
        let later = TableRequest { with_columns: false, ..request(IncludeObject::None) };
        assert_eq!(table(&KIND, [&object], json!({}), later)["columnDefinitions"], json!([]));
    }

    #[test]
    fn another_include_is_refused() {
        assert_eq!(IncludeObject::parse("").unwrap(), IncludeObject::Metadata);
        let failure = IncludeObject::parse("All").unwrap_err();
        let wanted = "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty";
        assert_eq!((failure.code, failure.message.as_str()), (400, wanted));
    }

    #[test]
    fn items_of_a_partial_list_name_their_kind() {
        let list = partial_list([&named("a")], json!({}), "v1beta1");
        assert_eq!(list["kind"], "PartialObjectMetadataList");
        assert_eq!(list["items"][0]["apiVersion"], "meta.k8s.io/v1beta1");
        assert_eq!(list["items"][0].get("spec"), None);
    }
}
