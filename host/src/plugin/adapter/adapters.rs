//! One adapter per plugin name, for as long as a binding holds it.
//!
//! Whoever keeps answers tells resolvers apart by identity, so the same plugin must be the same allocation over
//! all objects and generations.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Adapters by the name of their plugin.
#[derive(Debug)]
pub(in crate::plugin) struct Adapters<A>(Mutex<BTreeMap<String, Weak<A>>>);

impl<A> Default for Adapters<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A> Adapters<A> {
    /// The adapter of that name, made when nobody holds one.
    pub(in crate::plugin) fn open(&self, plugin: &str, make: impl FnOnce() -> A) -> Arc<A> {
        let mut all = self.0.lock();
        if let Some(adapter) = all.get(plugin).and_then(Weak::upgrade) {
            return adapter;
        }
        all.retain(|_, adapter| adapter.strong_count() > 0);
        let adapter = Arc::new(make());
        all.insert(plugin.to_owned(), Arc::downgrade(&adapter));
        adapter
    }

    /// The names that a binding leads to.
    pub(in crate::plugin) fn names(&self) -> Vec<String> {
        let all = self.0.lock();
        all.iter().filter(|(_, adapter)| adapter.strong_count() > 0).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_lives_as_long_as_somebody_holds_it() {
        let adapters = Adapters::default();
        let first = adapters.open("a", || 1);
        assert!(Arc::ptr_eq(&first, &adapters.open("a", || 2)));
        assert_eq!(adapters.names(), ["a"]);
        drop(first);
        assert!(adapters.names().is_empty());
        assert_eq!(*adapters.open("a", || 3), 3);
    }
}
