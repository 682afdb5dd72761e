//! Pure machinery on API objects: decoding, defaulting, patching, field ownership, selectors, tables.
//!
//! A write goes through here in upstream's order: [`decode`] (or [`patch`]) makes an object that fits the kind's
//! schema, [`managed_fields`] notes who wrote what, [`lifecycle`] prepares and validates it.

pub mod age;
pub mod changes;
pub mod condition;
pub mod decode;
pub mod field_set;
pub mod fit;
pub mod kind;
pub mod lifecycle;
pub mod managed_fields;
pub mod metadata;
pub mod metadata_rules;
pub mod names;
pub mod node;
pub mod partial;
pub mod patch;
pub mod selector;
pub mod shape;
pub mod syntax;
pub mod table;
pub mod yaml_stream;
