//! What a kind of objects is: a value that everything generic follows from.

use jiff::Timestamp;
use serde_json::Value;

use crate::model::failure::{Failure, FieldError};
use crate::model::group_version::GroupVersion;
use crate::model::object::Object;
use crate::model::schema::Schema;

/// A kind of objects, for example APIService.
pub struct Kind {
    /// API group.
    pub group: &'static str,
    /// The one served version.
    pub version: &'static str,
    /// The kind's name, for example `APIService`.
    pub kind: &'static str,
    /// The name of its lists, for example `APIServiceList`.
    pub list_kind: &'static str,
    /// The resource in paths, for example `apiservices`.
    pub plural: &'static str,
    /// The resource in the singular, as kubectl accepts it.
    pub singular: &'static str,
    /// Whether objects live in namespaces.
    pub scope: Scope,
    /// Where objects are kept.
    pub kept: Kept,
    /// Categories for `kubectl get <category>`.
    pub categories: &'static [&'static str],
    /// Short names for kubectl.
    pub short_names: &'static [&'static str],
    /// The verbs of the main resource, in alphabetical order.
    pub verbs: &'static [&'static str],
    /// Whether there is a `/status` subresource (`get`, `patch`, `update`).
    pub has_status: bool,
    /// The condition that tells whether an object works, where the kind has one.
    pub main_condition: Option<&'static str>,
    /// What field selectors may name beside name and namespace.
    pub selectable: &'static [Selectable],
    /// The shape of a whole object, metadata included.
    pub schema: &'static Schema,
    /// The columns of a table.
    pub columns: &'static [Column],
    /// Whether each event of a watch that sends tables repeats the columns, instead of the first event only.
    pub repeats_columns: bool,
    /// What only this kind does.
    pub rules: &'static dyn KindRules,
}

/// Whether objects of a kind live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One name for the whole server.
    Cluster,
    /// One name per namespace.
    Namespaced,
}

/// Where objects of a kind are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the store, for good.
    InStore,
    /// In memory, until the process ends, under revisions of their own.
    InMemory,
}

/// A field that field selectors may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selectable {
    /// As selectors name it, for example `regarding.name`.
    pub label: &'static str,
    /// Where its text stands in an object; what is absent is the empty text.
    pub path: &'static [&'static str],
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Title, for example `Available`.
    pub name: &'static str,
    /// OpenAPI type of the cells.
    pub cell_type: &'static str,
    /// OpenAPI format; `name` marks the primary column.
    pub format: &'static str,
    /// What the column tells.
    pub description: &'static str,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: i32,
}

/// Values in table cells that are not in the object.
#[derive(Clone, Copy)]
pub struct CellContext<'a> {
    /// The time that ages are computed against.
    pub now: Timestamp,
    /// The endpoints, as `host:port`, that requests for a group and version are sent to.
    pub endpoints: &'a dyn Fn(&str, &str) -> Vec<String>,
}

impl CellContext<'_> {
    /// A context without endpoints.
    pub fn at(now: Timestamp) -> Self {
        Self { now, endpoints: &no_endpoints }
    }
}

fn no_endpoints(_group: &str, _version: &str) -> Vec<String> {
    Vec::new()
}

impl std::fmt::Debug for CellContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CellContext").field("now", &self.now).finish_non_exhaustive()
    }
}

/// The rules that only one kind has. Objects given here are complete: decoded against the schema.
pub trait KindRules: Sync {
    /// Fills what a client left out, after every decoding.
    fn set_defaults(&self, _object: &mut Object) {}

    /// Writes what a new object starts with. The client's status has been taken out already.
    fn prepare_for_create(&self, _object: &mut Object, _now: Timestamp) {}

    /// What is wrong with a name (or a `generateName`, given with another `field`) beyond the generic rules.
    fn validate_name(&self, _field: &str, _name: &str, _object: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    /// What is wrong with the spec; `old` is the stored object of an update.
    fn validate(&self, object: &Object, old: Option<&Object>) -> Vec<FieldError>;

    /// What is wrong with a status that is written through `/status`.
    fn validate_status(&self, _object: &Object, _old: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    /// What a client should know about an object that it has written, although it was accepted.
    fn warnings(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// Whether annotations of an object may name plugins that decide for it.
    fn names_plugins(&self) -> bool {
        false
    }

    /// For a verb that the kind does not have: why, and what to do instead.
    fn refusal(&self, _verb: &str) -> &'static str {
        ""
    }

    /// The cells of a table row, one for each column of the kind.
    fn cells(&self, object: &Object, context: &CellContext<'_>) -> Vec<Value>;
}

impl Kind {
    /// Group and version.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(self.group, self.version)
    }

    /// What stands in `apiVersion`.
    pub fn api_version(&self) -> String {
        self.group_version().to_string()
    }

    /// Whether objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether clients may do this with objects of the kind.
    ///
    /// # Errors
    /// 405 in upstream's words, with what to do instead.
    pub fn check_verb(&self, verb: &str) -> Result<(), Failure> {
        if self.verbs.contains(&verb) {
            return Ok(());
        }
        let (plural, group) = (self.plural, self.group);
        let mut message = format!("{verb} is not supported on resources of kind \"{plural}.{group}\"");
        let instead = self.rules.refusal(verb);
        if !instead.is_empty() {
            message = format!("{message}: {instead}");
        }
        Err(Failure::new(405, "MethodNotAllowed", message).about("", group, plural))
    }

    /// The one among `kinds` that serves `plural` in a group and version.
    pub fn find_in(
        kinds: &[&'static Self],
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<&'static Self> {
        kinds.iter().copied().find(|k| k.group == group && k.version == version && k.plural == plural)
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kind").field(&self.kind).finish()
    }
}
