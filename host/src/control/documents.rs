//! The discovery documents: fragments of groups, kept and joined.

use super::publish::GroupInput;
use crate::decision::discovery::GroupHead;
use crate::merge::discovery::{
    AggregatedVersion, Fragment, GroupDiscovery, Registration, Standing, build_group, compress,
    join_aggregated, join_legacy, prepare_fragment, sort_aggregated, sort_legacy, sort_versions,
};
use crate::route::{Document, DocumentSet};
use std::collections::HashMap;
use std::sync::Arc;

/// By these groups everything else is repaired, transformers included, and seen to fail, so no transformer touches
/// them.
pub(super) const UNTOUCHABLE: [&str; 3] = ["apiregistration.k8s.io", "plugins.umbel.dev", "events.k8s.io"];
/// Documents up to this many bytes are compressed at once, larger ones when things are quiet.
const COMPRESS_AT_ONCE: usize = 64 * 1024;

/// A group as documents show it.
pub(super) struct Shown {
    standing: Standing,
    versions: Vec<String>,
    fragment: Fragment,
    hidden: bool,
}

impl Shown {
    /// The group as its registrations make it; `None` when there is nothing to show.
    pub(super) fn plain(group: &str, input: &GroupInput) -> Option<Self> {
        let sorted = sort(input);
        Self::new(group, &sorted, build_group(group, &sorted).as_ref(), false)
    }

    /// The group as `discovery` describes it. `None`, with a line in the log, when that cannot be written.
    pub(super) fn new(
        group: &str,
        sorted: &[&Registration],
        discovery: Option<&GroupDiscovery>,
        hidden: bool,
    ) -> Option<Self> {
        let standing = Standing::of(sorted)?;
        let fragment = prepare_fragment(group, sorted, discovery)
            .inspect_err(|fault| tracing::error!(group, %fault, "a group is left as it was"))
            .ok()?;
        let versions = sorted.iter().map(|r| r.group_version.version.clone()).collect();
        Some(Self { standing, versions, fragment, hidden })
    }
}

/// The registrations of a group in the order of its versions.
pub(super) fn sort(input: &GroupInput) -> Vec<&Registration> {
    let mut sorted: Vec<&Registration> = input.registrations.iter().collect();
    sort_versions(&mut sorted);
    sorted
}

/// All groups as they are shown.
#[derive(Default)]
pub(super) struct Documents {
    groups: HashMap<Arc<str>, Shown>,
    singles: HashMap<Arc<str>, Arc<(Document, Document)>>,
    aggregated_order: Vec<Arc<str>>,
    legacy_order: Vec<Arc<str>>,
    is_unsorted: bool,
}

impl Documents {
    /// Takes in one group.
    pub(super) fn put(&mut self, group: &str, shown: Shown) {
        let name: Arc<str> = group.into();
        self.singles.insert(Arc::clone(&name), Arc::new(shown.fragment.single.clone()));
        let is_as_before = self
            .groups
            .get(group)
            .is_some_and(|old| old.standing == shown.standing && old.versions == shown.versions);
        self.is_unsorted |= !is_as_before;
        self.groups.insert(name, shown);
    }

    /// Forgets a group that is gone.
    pub(super) fn remove(&mut self, group: &str) {
        self.singles.remove(group);
        self.is_unsorted |= self.groups.remove(group).is_some();
    }

    /// Whether the order of the groups is to be determined anew since this was last asked.
    pub(super) fn take_unsorted(&mut self) -> bool {
        std::mem::take(&mut self.is_unsorted)
    }

    /// Somebody else decides about the order.
    pub(super) fn doubt_order(&mut self) {
        self.is_unsorted = true;
    }

    /// The groups that transformers may put in another order, in the present one.
    pub(super) fn heads(&self) -> Vec<GroupHead> {
        let mut standings: Vec<&Standing> = self.groups.values().map(|shown| &shown.standing).collect();
        sort_aggregated(&mut standings);
        let groups = standings.iter().filter(|standing| !UNTOUCHABLE.contains(&standing.group.as_str()));
        groups
            .filter_map(|standing| {
                let versions = self.groups.get(standing.group.as_str())?.versions.clone();
                Some(GroupHead { name: standing.group.clone(), versions })
            })
            .collect()
    }

    /// Sorts the groups: as their priorities do, or as a transformer has it. The untouchable ones have the place that
    /// their priority gives them in either case.
    pub(super) fn arrange(&mut self, order: Option<&[String]>) {
        let mut standings: Vec<&Standing> = self.groups.values().map(|shown| &shown.standing).collect();
        sort_aggregated(&mut standings);
        let aggregated = self.ordered(&standings, order);
        sort_legacy(&mut standings);
        let legacy = self.ordered(&standings, order);
        (self.aggregated_order, self.legacy_order) = (aggregated, legacy);
    }

    /// The names of sorted groups, where those that transformers may move have changed places among themselves.
    fn ordered(&self, sorted: &[&Standing], order: Option<&[String]>) -> Vec<Arc<str>> {
        let names = sorted.iter().filter_map(|standing| self.name(&standing.group));
        let Some(order) = order else { return names.collect() };
        let is_fixed = |name: &Arc<str>| UNTOUCHABLE.contains(&&**name);
        // Groups may have come and gone since the order was asked for.
        let mut moved = order.iter().filter_map(|name| self.name(name)).filter(|name| !is_fixed(name));
        let mut ordered: Vec<_> =
            names.filter_map(|name| if is_fixed(&name) { Some(name) } else { moved.next() }).collect();
        ordered.extend(moved);
        ordered
    }

    fn name(&self, group: &str) -> Option<Arc<str>> {
        self.groups.get_key_value(group).map(|(name, _)| Arc::clone(name))
    }

    /// The documents as they are now. Large ones are not compressed yet: see [`compress_all`].
    pub(super) fn join(&self, set: &mut DocumentSet) {
        let listed = |order: &'_ [Arc<str>]| {
            order
                .iter()
                .filter_map(|name| self.groups.get(name))
                .filter(|shown| !shown.hidden)
                .map(|shown| &shown.fragment)
                .collect::<Vec<_>>()
        };
        let (legacy, aggregated) = (listed(&self.legacy_order), listed(&self.aggregated_order));
        let (json, yaml) = join_legacy(legacy.iter().copied());
        set.groups_json = Some(compress_small(json));
        set.groups_yaml = Some(compress_small(yaml));
        let join = |version| compress_small(join_aggregated(version, aggregated.iter().copied()));
        set.aggregated_v2 = Some(join(AggregatedVersion::V2));
        set.aggregated_v2beta1 = Some(join(AggregatedVersion::V2Beta1));
        set.group.clone_from(&self.singles);
    }
}

fn compress_small(document: Document) -> Document {
    if document.identity.len() <= COMPRESS_AT_ONCE { compress(document) } else { document }
}

/// Whether [`compress_all`] has something to do.
pub(super) fn is_uncompressed(set: &DocumentSet) -> bool {
    [&set.groups_json, &set.groups_yaml, &set.aggregated_v2, &set.aggregated_v2beta1]
        .into_iter()
        .flatten()
        .any(|document| document.gzip.is_none() && document.identity.len() > COMPRESS_AT_ONCE)
}

/// Compresses what is large.
pub(super) fn compress_all(set: &mut DocumentSet) {
    for document in
        [&mut set.groups_json, &mut set.groups_yaml, &mut set.aggregated_v2, &mut set.aggregated_v2beta1]
    {
        *document = document.take().map(compress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::transforming::tests::input;
    use serde_json::Value;

    #[test]
    fn without_transformers_everything_is_listed_in_order() {
        let mut documents = Documents::default();
        let [first, ..] = UNTOUCHABLE;
        for group in ["b", "c", "a", first, "gone"] {
            documents.put(group, Shown::plain(group, &input(group)).unwrap());
        }
        documents.remove("gone");
        assert!(documents.take_unsorted());
        documents.put("a", Shown::plain("a", &input("a")).unwrap());
        assert!(!documents.take_unsorted(), "its place is the same");
        documents.arrange(None);
        let mut set = DocumentSet::default();
        documents.join(&mut set);
        let names = |document: &Option<Document>, list: &str, path: &str| -> Vec<String> {
            let value: Value = serde_json::from_slice(&document.as_ref().unwrap().identity).unwrap();
            let list = value[list].as_array().unwrap().clone();
            list.iter().map(|g| g.pointer(path).unwrap().as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&set.aggregated_v2, "items", "/metadata/name"), [first, "a", "b", "c"]);
        assert_eq!(names(&set.groups_json, "groups", "/name"), [first, "a", "b", "c"]);
        assert_eq!(set.group.len(), 4);
    }

    #[test]
    fn groups_that_nobody_touches_keep_their_places_while_others_come_and_go() {
        let mut documents = Documents::default();
        for group in UNTOUCHABLE.into_iter().chain(["a", "b", "service.grafana.app"]) {
            documents.put(group, Shown::plain(group, &input(group)).unwrap());
        }
        let plain =
            ["apiregistration.k8s.io", "a", "b", "events.k8s.io", "plugins.umbel.dev", "service.grafana.app"];
        let mut arranged = |order: Option<&[&str]>| {
            let order = order.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            documents.arrange(order.as_deref());
            assert_eq!(documents.aggregated_order.len(), documents.legacy_order.len());
            documents.aggregated_order.iter().map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(arranged(None), plain);
        assert_eq!(arranged(Some(&["a", "b", "service.grafana.app"])), plain, "nothing is moved");
        let turned = arranged(Some(&["gone", "service.grafana.app", "b", "a"]));
        assert_eq!(turned, [plain[0], "service.grafana.app", "b", plain[3], plain[4], "a"]);
    }
}
