//! How does merged discovery look?

use futures_util::future::BoxFuture;

/// What becomes of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Served as it is.
    Keep,
    /// Served so: one `APIGroupDiscovery` as JSON.
    Replace(String),
    /// Not listed; the reason is for people.
    Hide(String),
}

/// A group and its versions in their present order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupHead {
    /// The group's name.
    pub name: String,
    /// Its versions.
    pub versions: Vec<String>,
}

/// Changes how discovery looks. Pure: the same input gives the same bytes on every replica.
pub trait DiscoveryTransformer: Send + Sync {
    /// What becomes of one group, given as an `APIGroupDiscovery` in JSON.
    fn transform<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<Outcome, String>>;

    /// What becomes of a group, by its name, while there is no usable answer about it: only what removes things that
    /// must not be seen has it hidden.
    fn without_answer(&self, _group: &str) -> Outcome {
        Outcome::Keep
    }

    /// A new order of the groups; `None` keeps the present one.
    fn order<'a>(&'a self, groups: &'a [GroupHead]) -> BoxFuture<'a, Result<Option<Vec<String>>, String>>;
}

/// The built-in answer: leaves everything as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl DiscoveryTransformer for Identity {
    fn transform<'a>(&'a self, _group: &'a str) -> BoxFuture<'a, Result<Outcome, String>> {
        Box::pin(std::future::ready(Ok(Outcome::Keep)))
    }

    fn order<'a>(&'a self, _groups: &'a [GroupHead]) -> BoxFuture<'a, Result<Option<Vec<String>>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
