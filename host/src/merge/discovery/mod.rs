//! Merged discovery: how one document is made of many (contract §3).

mod decode;
mod document;
mod group;
mod resource;
mod transform;

pub use decode::{DiscoveryFault, decode_aggregated, decode_legacy};
pub use document::{
    AggregatedVersion, DocumentFault, Fragment, compress, join_aggregated, join_legacy, prepare_fragment,
};
pub use group::{
    Freshness, GroupDiscovery, GroupMeta, Known, Registration, Standing, VersionDiscovery, build_group,
    sort_aggregated, sort_legacy, sort_versions,
};
pub use resource::{Resource, ResponseKind, Subresource};
pub use transform::{TransformFault, check_order, check_replacement};
