//! The query and path parameters of the own kinds' operations. Clients look some of them up before they send
//! them (`fieldValidation`, `dryRun`), so an operation lists exactly what its handler understands.

use serde_json::{Value, json};

/// One query parameter.
struct Query {
    name: &'static str,
    kind: &'static str,
    description: &'static str,
}

const ALL: [Query; 17] = [
    Query {
        name: "allowWatchBookmarks",
        kind: "boolean",
        description: "Lets the watch send events of type BOOKMARK, which carry nothing but a resource version to resume from. Ignored when this is not a watch.",
    },
    Query {
        name: "continue",
        kind: "string",
        description: "The token of the previous page, to get the next one. The other parameters must be the same as before. A token that is too old is answered with 410 Expired; start the list again then. Not for watches.",
    },
    Query {
        name: "dryRun",
        kind: "string",
        description: "With the value All, everything is done but storing the result. Any other value is an error.",
    },
    Query {
        name: "fieldManager",
        kind: "string",
        description: "Who makes the change: the name under which managedFields records the fields that it sets. At most 128 printable characters.",
    },
    Query {
        name: "fieldSelector",
        kind: "string",
        description: "Restricts the list to objects with these field values. Defaults to everything.",
    },
    Query {
        name: "fieldValidation",
        kind: "string",
        description: "What becomes of unknown and duplicate fields in the body. Ignore drops them silently, Warn drops them and sends a Warning header for each, Strict refuses the request and names all of them. Defaults to Warn.",
    },
    Query {
        name: "force",
        kind: "boolean",
        description: "Takes over the fields of an apply patch that others own. Only for apply patches.",
    },
    Query {
        name: "gracePeriodSeconds",
        kind: "integer",
        description: "Seconds before the object is deleted; not negative, zero means at once.",
    },
    Query {
        name: "labelSelector",
        kind: "string",
        description: "Restricts the list to objects with these labels. Defaults to everything.",
    },
    Query {
        name: "limit",
        kind: "integer",
        description: "The largest number of objects in the answer. When more exist, metadata.continue holds the token for the next page; all pages show the same state. Not for watches.",
    },
    Query {
        name: "orphanDependents",
        kind: "boolean",
        description: "Deprecated: use propagationPolicy. Whether dependents stay behind.",
    },
    Query {
        name: "propagationPolicy",
        kind: "string",
        description: "How dependents are collected: Orphan, Background or Foreground.",
    },
    Query {
        name: "resourceVersion",
        kind: "string",
        description: "What state the answer may show, or, for a watch, after what state to begin. See https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.",
    },
    Query {
        name: "resourceVersionMatch",
        kind: "string",
        description: "How resourceVersion applies to a list: Exact or NotOlderThan. See https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.",
    },
    Query {
        name: "sendInitialEvents",
        kind: "boolean",
        description: "Lets a watch begin with ADDED events for all present objects, closed by a bookmark that carries the annotation k8s.io/initial-events-end. Needs resourceVersionMatch=NotOlderThan.",
    },
    Query {
        name: "timeoutSeconds",
        kind: "integer",
        description: "Ends the list or watch after so many seconds, whatever happens.",
    },
    Query {
        name: "watch",
        kind: "boolean",
        description: "Streams changes as ADDED, MODIFIED and DELETED events instead of listing.",
    },
];

pub(super) const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
pub(super) const DELETE_COLLECTION: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];
pub(super) const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
pub(super) const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
pub(super) const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];

/// The named query parameters as an OpenAPI v3 array.
pub(super) fn queries(names: &[&str]) -> Value {
    ALL.iter()
        .filter(|query| names.contains(&query.name))
        .map(|query| describe("query", query.name, query.kind, query.description))
        .collect()
}

/// The parameters that every operation of a path has: the parts of the path itself, and `pretty`.
pub(super) fn common(kind: &str, path: &str, further: &[&str]) -> Value {
    let mut list: Vec<Value> = Vec::new();
    let mut place = |name: &str, description: &str| {
        if path.contains(&format!("{{{name}}}")) {
            let mut parameter = describe("path", name, "string", description);
            parameter["required"] = json!(true);
            list.push(parameter);
        }
    };
    place("name", &format!("Name of the {kind}."));
    place("namespace", "The namespace that the object is in.");
    if let Value::Array(more) = queries(further) {
        list.extend(more);
    }
    let pretty = "With the value true, the answer is indented. Browsers and curl get that by default.";
    list.push(describe("query", "pretty", "string", pretty));
    list.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    list.into()
}

fn describe(place: &str, name: &str, kind: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": place,
        "description": description,
        "schema": {"type": kind, "uniqueItems": true},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_an_operation_lists_is_described() {
        for names in [LIST, DELETE_COLLECTION, DELETE, WRITE, PATCH] {
            assert_eq!(queries(names).as_array().unwrap().len(), names.len(), "{names:?}");
        }
    }

    #[test]
    fn path_parameters_are_required() {
        let list = common("Thing", "/apis/g/v/namespaces/{namespace}/things/{name}", &[]);
        let shown: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (p["name"].as_str().unwrap(), p["required"] == true))
            .collect();
        assert_eq!(shown, [("name", true), ("namespace", true), ("pretty", false)]);
    }
}
