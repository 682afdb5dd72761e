//! One adapter per plugin name and failure policy, for as long as a binding holds it.
//!
//! Whoever keeps answers tells resolvers apart by identity, so the same plugin under the same policy must be the
//! same allocation over all objects and generations.

use crate::model::failure_policy::FailurePolicy;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Adapters by the name of their plugin.
#[derive(Debug)]
pub(in crate::plugin) struct Adapters<A>(Mutex<BTreeMap<Key, Weak<A>>>);

/// The plugin, and the failure policy that an object names itself.
type Key = (String, Option<FailurePolicy>);

impl<A> Default for Adapters<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A> Adapters<A> {
    /// The adapter of that plugin and policy, made when nobody holds one.
    pub(in crate::plugin) fn open(
        &self,
        plugin: &str,
        policy: Option<FailurePolicy>,
        make: impl FnOnce() -> A,
    ) -> Arc<A> {
        let key = (plugin.to_owned(), policy);
        let mut all = self.0.lock();
        if let Some(adapter) = all.get(&key).and_then(Weak::upgrade) {
            return adapter;
        }
        all.retain(|_, adapter| adapter.strong_count() > 0);
        let adapter = Arc::new(make());
        all.insert(key, Arc::downgrade(&adapter));
        adapter
    }

    /// The names that a binding leads to, some of them more than once.
    pub(in crate::plugin) fn names(&self) -> Vec<String> {
        let all = self.0.lock();
        all.iter()
            .filter(|(_, adapter)| adapter.strong_count() > 0)
            .map(|((name, _), _)| name.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_lives_as_long_as_somebody_holds_it() {
        let adapters = Adapters::default();
        let first = adapters.open("a", None, || 1);
        assert!(Arc::ptr_eq(&first, &adapters.open("a", None, || 2)));
        assert_eq!(adapters.names(), ["a"]);
        let strict = adapters.open("a", Some(FailurePolicy::Fail), || 4);
        assert!(*strict == 4 && adapters.names() == ["a", "a"]);
        drop((first, strict));
        assert!(adapters.names().is_empty());
        assert_eq!(*adapters.open("a", None, || 3), 3);
    }
}
