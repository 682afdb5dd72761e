//! The kinds that Umbel serves itself, one file each.
//!
//! A kind is a value of [`Kind`]: its names, its [`Schema`](crate::model::schema::Schema), its columns and the
//! rules that are its own. Everything else (decoding, patching, field ownership, tables, OpenAPI, storage) follows
//! from that value. A further kind is one more file and one more line in [`ALL`].

pub mod api_service;
pub mod event;
pub mod external_name;
pub mod object_meta;
pub mod plugin;

pub use crate::object::kind::{CellContext, Column, Kept, Kind, KindRules, Scope, Selectable};

/// Every kind that Umbel serves itself.
pub static ALL: [&Kind; 4] = [&api_service::KIND, &external_name::KIND, &plugin::KIND, &event::KIND];

/// The verbs of a kind with the full set of operations, in discovery's order.
pub const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The kind of that name in an `apiVersion`.
pub fn find_by_name(api_version: &str, name: &str) -> Option<&'static Kind> {
    ALL.into_iter().find(|kind| kind.kind == name && kind.api_version() == api_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::shape;
    use jiff::Timestamp;

    #[test]
    fn every_kind_is_described_in_full() {
        for kind in ALL {
            assert!(kind.verbs.is_sorted(), "{kind:?}");
            assert_eq!(kind.list_kind, format!("{}List", kind.kind));
            assert_eq!(kind.singular, kind.kind.to_lowercase());
            let record = kind.schema.as_record().unwrap();
            assert!(record.definition.ends_with(kind.kind));
            assert_eq!(record.field("status").is_some(), kind.has_status);
            let cells = kind.rules.cells(&shape::empty(kind), &CellContext::at(Timestamp::UNIX_EPOCH));
            assert_eq!(cells.len(), kind.columns.len());
            let served = Kind::find_in(&ALL, kind.group, kind.version, kind.plural);
            assert!(std::ptr::eq(served.unwrap(), kind));
            assert!(std::ptr::eq(find_by_name(&kind.api_version(), kind.kind).unwrap(), kind));
        }
    }
}
