//! The records of aggregated discovery (`apidiscovery.k8s.io/v2`, contract §3.6).

use serde::{Deserialize, Deserializer, Serialize};

/// Group, version and kind of what a resource returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponseKind {
    /// API group; empty means "as the list".
    #[serde(deserialize_with = "null_as_default")]
    pub group: String,
    /// API version; empty means "as the list".
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// Kind.
    #[serde(deserialize_with = "null_as_default")]
    pub kind: String,
}

/// One resource of a group-version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Resource {
    /// Plural name.
    #[serde(deserialize_with = "null_as_default")]
    pub resource: String,
    /// What it returns. Never absent in output: kubectl 1.26 crashes without it.
    #[serde(deserialize_with = "null_as_default")]
    pub response_kind: ResponseKind,
    /// `Namespaced` or `Cluster`.
    #[serde(deserialize_with = "null_as_default")]
    pub scope: String,
    /// Singular name.
    #[serde(deserialize_with = "null_as_default")]
    pub singular_resource: String,
    /// What can be done with it.
    #[serde(deserialize_with = "null_as_default")]
    pub verbs: Vec<String>,
    /// Further names for people.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub short_names: Vec<String>,
    /// Groups of resources that `kubectl get <category>` shows together.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub categories: Vec<String>,
    /// Subresources.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub subresources: Vec<Subresource>,
}

/// One subresource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subresource {
    /// Its name, without the resource.
    #[serde(deserialize_with = "null_as_default")]
    pub subresource: String,
    /// What it returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_kind: Option<ResponseKind>,
    /// What it takes, where that differs.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub accepted_types: Vec<ResponseKind>,
    /// What can be done with it.
    #[serde(deserialize_with = "null_as_default")]
    pub verbs: Vec<String>,
}

impl Resource {
    /// Whether objects of it can be deleted: then clients that clean up need to know when it is stale.
    pub fn is_deletable(&self) -> bool {
        self.verbs.iter().any(|verb| verb == "delete" || verb == "deletecollection")
    }
}

/// Go writes an empty list as `null` now and then.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
