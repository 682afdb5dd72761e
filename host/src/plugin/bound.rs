//! Which objects lead to which plugin, for people.

use crate::model::failure_policy::FailurePolicy;
use crate::plugin::component::budget::Facet;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;

/// Objects that are listed for one plugin.
const LISTED_MAX: usize = 100;

/// An object that leads to a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Binding {
    /// `APIService/<name>`, or the groups that a transformer is asked about.
    pub object: String,
    /// The kind of decision.
    pub kind: &'static str,
    /// What stands in when the plugin fails.
    pub policy: String,
}

/// The plugin, and the policy that the object itself names.
type Lead = (String, Option<FailurePolicy>);

/// Which plugin decides for each APIService.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Bound(Mutex<BTreeMap<(Facet, String), Lead>>);

impl Bound {
    /// Notes who decides; `None` is the built-in.
    pub(in crate::plugin) fn note(&self, facet: Facet, api_service: &str, lead: Option<Lead>) {
        let key = (facet, api_service.to_owned());
        let mut all = self.0.lock();
        match lead {
            Some(lead) => drop(all.insert(key, lead)),
            None => drop(all.remove(&key)),
        }
    }

    /// Nobody asks for this APIService any more.
    pub(in crate::plugin) fn forget(&self, api_service: &str) {
        self.0.lock().retain(|(_, name), _| name != api_service);
    }

    /// The APIServices that lead to a plugin, with their own policies; the first of them.
    pub(in crate::plugin) fn of(&self, plugin: &str) -> Vec<(Facet, String, Option<FailurePolicy>)> {
        let all = self.0.lock();
        let own = all.iter().filter(|(_, (name, _))| name == plugin).take(LISTED_MAX);
        own.map(|((facet, api_service), (_, policy))| (*facet, api_service.clone(), *policy)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_leads_to_one_plugin_until_it_is_forgotten() {
        let (bound, policy) = (Bound::default(), Some(FailurePolicy::Fail));
        bound.note(Facet::Resolver, "v1.a", Some(("p".to_owned(), policy)));
        bound.note(Facet::Health, "v1.a", Some(("p".to_owned(), None)));
        let both =
            vec![(Facet::Resolver, "v1.a".to_owned(), policy), (Facet::Health, "v1.a".to_owned(), None)];
        assert_eq!(bound.of("p"), both);
        bound.note(Facet::Resolver, "v1.a", Some(("q".to_owned(), None)));
        bound.note(Facet::Health, "v1.a", None);
        assert_eq!((bound.of("p").len(), bound.of("q").len()), (0, 1));
        bound.forget("v1.a");
        assert!(bound.of("q").is_empty());
    }
}
