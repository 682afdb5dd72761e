//! One group as merged discovery shows it, and where it stands.

use super::Resource;
use crate::model::group_version::{GroupVersion, compare_preference};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::sync::Arc;

/// Whether clients may rely on a list of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freshness {
    /// They may.
    Current,
    /// It is what was known last.
    Stale,
}

/// What is known of the resources of a group-version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// An APIService without a service for a group-version that Umbel does not serve: listed in legacy
    /// documents only.
    Nothing,
    /// Resources of a backend or of Umbel itself.
    Resources {
        /// What was known last; `None` before the first answer.
        last: Option<Arc<Vec<Resource>>>,
        /// Whether the last fetch succeeded.
        fresh: bool,
    },
}

/// One registered group-version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Name of the APIService.
    pub name: String,
    /// What it serves.
    pub group_version: GroupVersion,
    /// `spec.groupPriorityMinimum`, or more for an own group.
    pub group_priority: i32,
    /// `spec.versionPriority`.
    pub version_priority: i32,
    /// Its resources.
    pub known: Known,
}

/// `metadata` of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMeta {
    /// The group's name.
    #[serde(default)]
    pub name: String,
}

/// One version of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionDiscovery {
    /// Its name.
    pub version: String,
    /// Its resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Whether they are current.
    pub freshness: Freshness,
}

/// One group: an `APIGroupDiscovery`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDiscovery {
    /// Its name.
    pub metadata: GroupMeta,
    /// Its versions, the preferred one first.
    pub versions: Vec<VersionDiscovery>,
}

impl Known {
    /// Stale only where that matters: namespace deletion and garbage collection stop at a stale
    /// group-version, though nothing in a read-only one could ever be deleted.
    pub fn freshness(&self) -> Freshness {
        match self {
            Self::Nothing | Self::Resources { fresh: true, .. } => Freshness::Current,
            Self::Resources { last: Some(last), .. }
                if !last.is_empty() && !last.iter().any(Resource::is_deletable) =>
            {
                Freshness::Current
            }
            Self::Resources { .. } => Freshness::Stale,
        }
    }
}

/// Sorts the registrations of one group, the preferred version first (contract §3.1).
pub fn sort_versions(registrations: &mut [&Registration]) {
    registrations.sort_by(|a, b| {
        let (x, y) = (&a.group_version.version, &b.group_version.version);
        b.version_priority.cmp(&a.version_priority).then_with(|| compare_preference(x, y))
    });
}

/// Builds a group from its registrations, sorted by [`sort_versions`]; `None` when no version of it has
/// resources to show.
pub fn build_group(name: &str, sorted: &[&Registration]) -> Option<GroupDiscovery> {
    let versions: Vec<_> = sorted
        .iter()
        .filter_map(|registration| match &registration.known {
            Known::Nothing => None,
            Known::Resources { last, .. } => Some(VersionDiscovery {
                version: registration.group_version.version.clone(),
                resources: last.as_ref().map(|list| list.to_vec()).unwrap_or_default(),
                freshness: registration.known.freshness(),
            }),
        })
        .collect();
    (!versions.is_empty()).then(|| GroupDiscovery { metadata: GroupMeta { name: name.to_owned() }, versions })
}

/// Where a group stands, from all its registrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The group.
    pub group: String,
    /// The highest priority of its versions.
    pub priority: i32,
    /// The first, by name, of the APIServices with that priority.
    pub first_name: String,
}

impl Standing {
    /// Where a group with these registrations stands; `None` when there are none.
    pub fn of(registrations: &[&Registration]) -> Option<Self> {
        let first = registrations.iter().min_by_key(|r| (Reverse(r.group_priority), r.name.as_str()))?;
        Some(Self {
            group: first.group_version.group.clone(),
            priority: first.group_priority,
            first_name: first.name.clone(),
        })
    }
}

/// The order of aggregated documents: priority, then the group's name (contract §3.6).
pub fn sort_aggregated(standings: &mut [&Standing]) {
    standings.sort_by(|a, b| (Reverse(a.priority), &a.group).cmp(&(Reverse(b.priority), &b.group)));
}

/// The order of legacy documents: priority, then the name of the APIService (contract §3.1).
pub fn sort_legacy(standings: &mut [&Standing]) {
    standings.sort_by(|a, b| (Reverse(a.priority), &a.first_name).cmp(&(Reverse(b.priority), &b.first_name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(version: &str, group: &str, group_priority: i32, version_priority: i32) -> Registration {
        Registration {
            name: format!("{version}.{group}"),
            group_version: GroupVersion::new(group, version),
            group_priority,
            version_priority,
            known: Known::Resources { last: None, fresh: false },
        }
    }

    fn resources(verbs: &[&str]) -> Option<Arc<Vec<Resource>>> {
        let verbs = verbs.iter().map(|v| (*v).to_owned()).collect();
        Some(Arc::new(vec![Resource { resource: "things".into(), verbs, ..Resource::default() }]))
    }

    #[test]
    fn versions_go_by_priority_then_by_kubernetes_preference() {
        let all = [
            registration("v1alpha1", "g", 1, 15),
            registration("v2", "g", 1, 15),
            registration("v1", "g", 1, 15),
            registration("v1beta1", "g", 1, 20),
        ];
        let mut sorted: Vec<_> = all.iter().collect();
        sort_versions(&mut sorted);
        let names: Vec<_> = sorted.iter().map(|r| r.group_version.version.as_str()).collect();
        assert_eq!(names, ["v1beta1", "v2", "v1", "v1alpha1"]);
    }

    #[test]
    fn the_two_orders_break_ties_differently() {
        let a = registration("v2", "a.example.com", 1000, 1);
        let b = registration("v1", "b.example.com", 1000, 1);
        let b_low = registration("v0", "b.example.com", 10, 1);
        let high = registration("v1", "z.example.com", 2000, 1);
        let standings: Vec<_> =
            [vec![&a], vec![&b_low, &b], vec![&high]].iter().filter_map(|of| Standing::of(of)).collect();
        let names = |sort: fn(&mut [&Standing])| {
            let mut order: Vec<_> = standings.iter().collect();
            sort(&mut order);
            order.iter().map(|s| s.group.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(sort_aggregated), ["z.example.com", "a.example.com", "b.example.com"]);
        assert_eq!(names(sort_legacy), ["z.example.com", "b.example.com", "a.example.com"]);
    }

    #[test]
    fn read_only_group_stays_current_when_backend_dies() {
        let known = |verbs: &[&str], fresh| Known::Resources { last: resources(verbs), fresh };
        assert_eq!(known(&["get", "list"], false).freshness(), Freshness::Current);
        assert_eq!(known(&["get", "delete"], false).freshness(), Freshness::Stale);
        assert_eq!(known(&["get", "deletecollection"], false).freshness(), Freshness::Stale);
        let mut mixed = resources(&["get", "delete"]).unwrap().to_vec();
        mixed.extend(resources(&["get", "list"]).unwrap().iter().cloned());
        let mixed = Known::Resources { last: Some(mixed.into()), fresh: false };
        assert_eq!(mixed.freshness(), Freshness::Stale, "one of two can be deleted");
        let empty = Known::Resources { last: Some(Arc::default()), fresh: false };
        assert_eq!(empty.freshness(), Freshness::Stale, "what it serves is not known");
        assert_eq!(known(&["get", "delete"], true).freshness(), Freshness::Current);
        assert_eq!(Known::Resources { last: None, fresh: false }.freshness(), Freshness::Stale);
    }

    #[test]
    fn a_stale_version_keeps_its_last_resources() {
        let known = Known::Resources { last: resources(&["delete"]), fresh: false };
        let entry = Registration { known, ..registration("v1", "g", 1, 1) };
        let group = build_group("g", &[&entry]).unwrap();
        assert_eq!(group.versions[0].freshness, Freshness::Stale);
        assert_eq!(group.versions[0].resources.len(), 1);
    }

    #[test]
    fn a_group_of_local_versions_only_is_left_out() {
        let local = Registration { known: Known::Nothing, ..registration("v1", "g", 1, 1) };
        assert_eq!(build_group("g", &[&local]), None);
    }
}
