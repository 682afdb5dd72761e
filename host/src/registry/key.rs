//! Where objects lie in the store: `<group>/<plural>/[<namespace>/]<name>`.

use crate::kind::Kind;

/// Names one object of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its namespace, `""` for a cluster-scoped kind.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// An object in a namespace; `""` at the cluster scope.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key in the store.
    pub fn path(&self, kind: &Kind) -> String {
        format!("{}{}", prefix(kind, &self.namespace), self.name)
    }

    /// Reads a key of the store.
    pub fn parse(kind: &Kind, path: &str) -> Option<Self> {
        let rest = path.strip_prefix(&prefix(kind, ""))?;
        Some(match rest.split_once('/') {
            Some((namespace, name)) => Self::new(namespace, name),
            None => Self::new("", rest),
        })
    }
}

/// What all keys of a kind start with, or those of one of its namespaces.
pub fn prefix(kind: &Kind, namespace: &str) -> String {
    if namespace.is_empty() {
        format!("{}/{}/", kind.group, kind.plural)
    } else {
        format!("{}/{}/{namespace}/", kind.group, kind.plural)
    }
}
