//! Who has written which fields (`metadata.managedFields`), kept on every create, update and patch (contract §1.7).
//!
//! Server-side apply will be another way to make an entry; reading, comparing and writing entries stay as here.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::changes::Changes;
use super::field_set::FieldSet;
use super::shape;
use crate::model::object::Object;
use crate::object::condition::time_text;
use crate::object::kind::Kind;

/// The longest manager name, in bytes.
const LONGEST_NAME: usize = 128;
/// With more updaters than these the oldest are united.
const MOST_UPDATERS: usize = 10;
/// The manager of united entries.
const ANCIENT: &str = "ancient-changes";
/// Metadata that only a delete writes. These fields have no manager, whatever a client sends.
const SET_BY_DELETE: [&str; 2] = ["deletionTimestamp", "deletionGracePeriodSeconds"];
/// Fields that the server keeps and nobody owns.
const UNOWNED: [&str; 8] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Who writes, through what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The manager's name, from [`manager_name`].
    pub manager: &'a str,
    /// The subresource that is written, `""` for the object itself.
    pub subresource: &'a str,
    /// The time of the write.
    pub now: Timestamp,
}

/// The manager's name: `fieldManager` when given, else the first segment of the `User-Agent`.
pub fn manager_name(field_manager: &str, user_agent: &str) -> String {
    if !field_manager.is_empty() {
        return field_manager.to_owned();
    }
    let mut name = String::new();
    for c in user_agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()) {
        if name.len() + c.len_utf8() > LONGEST_NAME {
            break;
        }
        name.push(c);
    }
    name
}

/// Notes in `new` what a create (`stored` is `None`) or an update changes. To be called with the object as the
/// client wants it, before [`super::lifecycle`] restores what the client may not change.
///
/// The writer owns what it adds or changes, the others lose it. An object without any entries, other than a new
/// one, stays without: somebody has cleared them.
pub fn record_write(kind: &'static Kind, stored: Option<&Object>, new: &mut Object, writer: Writer<'_>) {
    let mut entries = known_entries(stored, new, writer.subresource);
    new.take(&["metadata", "managedFields"]);
    if entries.is_empty() && stored.is_some_and(|object| !object.uid().is_empty()) {
        return;
    }
    let changes = changes(kind, stored, new, writer.subresource);
    let set_by_delete = metadata_set(&SET_BY_DELETE);
    let api_version = kind.api_version();
    entries.retain(|entry| entry.api_version == api_version);
    for entry in &mut entries {
        for lost in [&changes.added, &changes.modified, &changes.removed, &set_by_delete] {
            entry.fields.subtract(lost);
        }
    }
    let mut own = changes.added;
    own.unite(&changes.modified);
    own.subtract(&unowned());
    own.subtract(&set_by_delete);
    if !own.is_empty() {
        take_ownership(&mut entries, own, &api_version, writer);
    }
    entries.retain(|entry| !entry.fields.is_empty());
    unite_oldest(&mut entries);
    entries.sort_by(|a, b| a.order().cmp(&b.order()));
    if !entries.is_empty() {
        let list: Vec<Value> = entries.iter().map(Entry::to_json).collect();
        new.set(&["metadata", "managedFields"], list);
    }
}

/// Whether two objects are the same but for the times in `managedFields` (and `resourceVersion`): such a write
/// is none (contract §1.4).
pub fn is_same(stored: &Object, new: &Object) -> bool {
    without_times(stored) == without_times(new)
}

fn without_times(object: &Object) -> Object {
    let mut object = object.clone();
    object.take(&["metadata", "resourceVersion"]);
    if let Some(entries) = object.0.get_mut("metadata").and_then(|m| m.get_mut("managedFields")) {
        for entry in entries.as_array_mut().into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("time");
            }
        }
    }
    object
}

/// One writer's fields.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    manager: String,
    operation: String,
    api_version: String,
    subresource: String,
    time: String,
    fields: FieldSet,
}

impl Entry {
    fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("fieldsType") != "FieldsV1" {
            return None;
        }
        let fields = value.get("fieldsV1").map_or_else(|| Some(FieldSet::default()), FieldSet::from_json)?;
        Some(Self {
            manager: text("manager"),
            operation: text("operation"),
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields,
        })
    }

    fn to_json(&self) -> Value {
        let mut map = Map::new();
        let texts = [
            ("manager", &self.manager),
            ("operation", &self.operation),
            ("apiVersion", &self.api_version),
            ("subresource", &self.subresource),
            ("time", &self.time),
        ];
        for (key, text) in texts {
            if !text.is_empty() {
                map.insert(key.to_owned(), text.as_str().into());
            }
        }
        map.insert("fieldsType".to_owned(), "FieldsV1".into());
        map.insert("fieldsV1".to_owned(), self.fields.to_json());
        Value::Object(map)
    }

    fn order(&self) -> [&str; 5] {
        [&self.operation, &self.time, &self.manager, &self.api_version, &self.subresource]
    }
}

/// The entries that the write starts from: a client may rewrite them, except through a subresource. What cannot be
/// read, or is missing, is taken from the stored object, so that clients that know nothing of it do no harm.
fn known_entries(stored: Option<&Object>, new: &Object, subresource: &str) -> Vec<Entry> {
    let of = |object: &Object| -> Option<Vec<Entry>> {
        let list = object.at(&["metadata", "managedFields"])?.as_array()?;
        list.iter().map(Entry::from_json).collect()
    };
    if subresource.is_empty() {
        let given = new.at(&["metadata", "managedFields"]).and_then(Value::as_array);
        if given.is_some_and(|list| list.as_slice() == [json!({})]) {
            return Vec::new();
        }
        if let Some(entries) = of(new).filter(|entries| !entries.is_empty()) {
            return entries;
        }
    }
    stored.and_then(of).unwrap_or_default()
}

/// What the write changes, without the part that it may not write.
fn changes(kind: &'static Kind, stored: Option<&Object>, new: &Object, subresource: &str) -> Changes {
    let old = stored.cloned().unwrap_or_else(|| shape::empty(kind)).into_value();
    let mut changes = Changes::between(&old, &new.clone().into_value(), kind.schema);
    let reset: &[&str] = match (kind.has_status, subresource) {
        (false, _) => &[],
        (true, "") => &["status"],
        (true, _) => &["spec", "metadata"],
    };
    for field in reset {
        for set in [&mut changes.added, &mut changes.removed, &mut changes.modified] {
            set.remove_tree(field);
        }
    }
    changes
}

fn unowned() -> FieldSet {
    let mut set = FieldSet::default();
    for field in ["apiVersion", "kind", "metadata"] {
        set.insert(&[format!("f:{field}")]);
    }
    set.unite(&metadata_set(&UNOWNED));
    set
}

fn metadata_set(fields: &[&str]) -> FieldSet {
    let mut set = FieldSet::default();
    for field in fields {
        set.insert(&["f:metadata".to_owned(), format!("f:{field}")]);
    }
    set
}

fn take_ownership(entries: &mut Vec<Entry>, own: FieldSet, api_version: &str, writer: Writer<'_>) {
    let manager = if writer.manager.is_empty() { "unknown" } else { writer.manager };
    let time = time_text(writer.now);
    let same = |entry: &&mut Entry| {
        entry.manager == manager && entry.operation == "Update" && entry.subresource == writer.subresource
    };
    if let Some(entry) = entries.iter_mut().find(same) {
        entry.fields.unite(&own);
        entry.time = time;
        return;
    }
    entries.push(Entry {
        manager: manager.to_owned(),
        operation: "Update".to_owned(),
        api_version: api_version.to_owned(),
        subresource: writer.subresource.to_owned(),
        time,
        fields: own,
    });
}

/// Keeps the list short: the oldest updaters become one.
fn unite_oldest(entries: &mut Vec<Entry>) {
    let (mut updaters, others): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(entries).into_iter().partition(|entry| entry.operation == "Update");
    *entries = others;
    if updaters.len() > MOST_UPDATERS {
        updaters.sort_by(|a, b| a.order().cmp(&b.order()));
        let rest = updaters.split_off(updaters.len() - MOST_UPDATERS + 1);
        let united = updaters.into_iter().reduce(|mut all, newer| {
            all.fields.unite(&newer.fields);
            all.time = newer.time;
            all
        });
        entries.extend(united.map(|all| Entry {
            manager: ANCIENT.to_owned(),
            subresource: String::new(),
            ..all
        }));
        updaters = rest;
    }
    entries.extend(updaters);
}

#[cfg(test)]
mod tests;
