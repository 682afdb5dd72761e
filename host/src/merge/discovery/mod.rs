//! Merged discovery: how one document is made of many (contract §3).

mod resource;

pub use resource::{OwnGroupVersion, Resource, ResponseKind, Subresource};
