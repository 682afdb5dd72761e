//! Label and field selectors of list, watch and delete-collection.

mod field;
mod label;

pub use field::FieldSelector;
pub use label::LabelSelector;
