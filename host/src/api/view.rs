//! Objects in the view that the client asked for: whole, as a table, or their metadata only (contract §7.10).

use super::negotiation::{Accepted, View};
use super::query::Query;
use crate::decision::resolver::url_authority;
use crate::kind::{CellContext, Kind};
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::object::partial::{partial_list, partial_object};
use crate::object::table::{IncludeObject, TableRequest, table};
use crate::registry::List;
use crate::route::{Shared, Snapshot, Target};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How answers of one request are shown.
#[derive(Clone, Debug)]
pub struct Presentation {
    /// Form and view agreed on.
    pub accepted: Accepted,
    include: IncludeObject,
    /// The routes, for table cells that show endpoints.
    shared: Arc<Shared>,
}

impl Presentation {
    /// Reads what tables carry beside their cells; 400 when that cannot be had.
    pub fn new(accepted: Accepted, query: &Query, shared: &Arc<Shared>) -> Result<Self, Failure> {
        let include = match accepted.view {
            View::Table(_) => IncludeObject::parse(query.text("includeObject"))?,
            _ => IncludeObject::default(),
        };
        Ok(Self { accepted, include, shared: Arc::clone(shared) })
    }

    /// One object.
    pub fn object(&self, kind: &'static Kind, object: Object) -> Result<Value, Failure> {
        Ok(match self.accepted.view {
            View::Whole => object.into_value(),
            View::Partial(version) => partial_object(&object, version),
            View::PartialList(_) => {
                return Err(mismatch("PartialObjectMetadataList", "is not a list"));
            }
            View::Table(version) => self.table_of(kind, &object, version, true),
        })
    }

    /// The object of a watch event. The first table has the column definitions; the kind decides whether later ones
    /// do.
    pub fn event(&self, kind: &'static Kind, object: Object, is_first: bool) -> Result<Value, Failure> {
        match self.accepted.view {
            View::Table(version) => {
                Ok(self.table_of(kind, &object, version, is_first || kind.repeats_columns))
            }
            View::PartialList(version) => Ok(partial_object(&object, version)),
            View::Whole | View::Partial(_) => self.object(kind, object),
        }
    }

    /// A list.
    pub fn list(&self, kind: &'static Kind, list: List) -> Result<Value, Failure> {
        let metadata = list_metadata(&list);
        Ok(match self.accepted.view {
            View::Whole => {
                let items: Vec<Value> = list.objects.into_iter().map(item).collect();
                json!({
                    "kind": kind.list_kind,
                    "apiVersion": kind.api_version(),
                    "metadata": metadata,
                    "items": items,
                })
            }
            View::PartialList(version) => partial_list(&list.objects, metadata, version),
            View::Partial(_) => return Err(mismatch("PartialObjectMetadata", "is a list")),
            View::Table(version) => self.table(kind, &list.objects, metadata, (version, true)),
        })
    }

    fn table_of(&self, kind: &'static Kind, object: &Object, version: &str, with_columns: bool) -> Value {
        let metadata = json!({"resourceVersion": object.resource_version()});
        self.table(kind, [object], metadata, (version, with_columns))
    }

    fn table<'a>(
        &self,
        kind: &'static Kind,
        objects: impl IntoIterator<Item = &'a Object>,
        metadata: Value,
        (version, with_columns): (&str, bool),
    ) -> Value {
        let snapshot = self.shared.load();
        let endpoints = |group: &str, version: &str| endpoints(&snapshot, group, version);
        let context = CellContext { now: Timestamp::now(), endpoints: &endpoints };
        table(kind, objects, metadata, TableRequest { version, include: self.include, with_columns, context })
    }
}

/// The endpoints that requests for a group and version are sent to.
fn endpoints(snapshot: &Snapshot, group: &str, version: &str) -> Vec<String> {
    match snapshot.route(group, version).map(|route| &route.target) {
        Some(Target::Backend { backend, .. }) => backend.endpoints.iter().map(url_authority).collect(),
        Some(Target::Local | Target::Unreachable { .. }) | None => Vec::new(),
    }
}

/// Items of a plain list carry no type (contract §1.2).
fn item(mut object: Object) -> Value {
    object.0.remove("kind");
    object.0.remove("apiVersion");
    object.into_value()
}

fn list_metadata(list: &List) -> Value {
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".to_owned(), list.revision.to_string().into());
    if !list.continue_token.is_empty() {
        metadata.insert("continue".to_owned(), list.continue_token.clone().into());
    }
    if let Some(remaining) = list.remaining {
        metadata.insert("remainingItemCount".to_owned(), remaining.into());
    }
    Value::Object(metadata)
}

fn mismatch(view: &str, fact: &str) -> Failure {
    let message = format!("you requested {view}, but the requested object {fact}");
    Failure::new(406, "NotAcceptable", message)
}
