//! Checking what a transformer made of a group: it may leave out and reorder, never invent. Whether a version is what
//! its backend says now is no matter of opinion: that stays as it was given.

use super::group::{GroupDiscovery, VersionDiscovery};
use super::{Resource, Subresource};
use std::collections::{HashMap, HashSet};

/// Why an answer of a transformer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransformFault {
    /// No `APIGroupDiscovery`.
    #[error("its answer is no APIGroupDiscovery: {0}")]
    Unreadable(String),
    /// Another name.
    #[error("it renamed the group to {0:?}")]
    Renamed(String),
    /// Nothing left.
    #[error("it left no version; to hide a group, answer so")]
    Emptied,
    /// Something that no backend serves, or twice.
    #[error("it lists {0}, which no backend serves")]
    Invented(String),
    /// Something twice.
    #[error("it lists {0} twice")]
    Doubled(String),
    /// A name that the backend does not give and that no resource could have.
    #[error(
        "it calls resource {resource} {name:?}; names are lower-case letters, digits and '-', at most 63"
    )]
    BadName {
        /// The resource.
        resource: String,
        /// The beginning of the name.
        name: String,
    },
    /// An order that is no permutation of the groups.
    #[error("its order of the groups {0}")]
    BadOrder(String),
}

/// Reads a transformer's answer and holds it against what it was given.
///
/// # Errors
/// When it says more than `given`.
pub fn check_replacement(given: &GroupDiscovery, answer: &str) -> Result<GroupDiscovery, TransformFault> {
    let mut group: GroupDiscovery =
        serde_json::from_str(answer).map_err(|error| TransformFault::Unreadable(error.to_string()))?;
    if group.metadata.name != given.metadata.name {
        return Err(TransformFault::Renamed(group.metadata.name));
    }
    if group.versions.is_empty() {
        return Err(TransformFault::Emptied);
    }
    let mut seen = HashSet::new();
    for version in &mut group.versions {
        if !seen.insert(version.version.clone()) {
            return Err(TransformFault::Doubled(format!("version {}", version.version)));
        }
        let Some(original) = given.versions.iter().find(|v| v.version == version.version) else {
            return Err(TransformFault::Invented(format!("version {}", version.version)));
        };
        check_resources(original, version)?;
        version.freshness = original.freshness;
    }
    Ok(group)
}

fn check_resources(given: &VersionDiscovery, answer: &VersionDiscovery) -> Result<(), TransformFault> {
    let originals: HashMap<&str, &Resource> =
        given.resources.iter().map(|resource| (resource.resource.as_str(), resource)).collect();
    let mut seen = HashSet::new();
    for resource in &answer.resources {
        if !seen.insert(resource.resource.as_str()) {
            return Err(TransformFault::Doubled(format!("resource {}", resource.resource)));
        }
        let original = originals.get(resource.resource.as_str()).copied();
        if !original.is_some_and(|original| is_part_of(resource, original)) {
            let what = format!("resource {} of version {}", resource.resource, answer.version);
            return Err(TransformFault::Invented(what));
        }
        original.map_or(Ok(()), |original| check_names(resource, original))?;
    }
    Ok(())
}

/// Names for people may be added; they stand in tables and are typed, so they must be such as Kubernetes has them.
fn check_names(answer: &Resource, given: &Resource) -> Result<(), TransformFault> {
    let odd = |name: &&String| {
        !(1..=63).contains(&name.len())
            || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let new = |names: &'_ [String], known: &[String]| {
        names.iter().filter(|name| !known.contains(name)).find(odd).cloned()
    };
    let singular = (answer.singular_resource != given.singular_resource)
        .then_some(&answer.singular_resource)
        .filter(odd)
        .cloned();
    let found = singular
        .or_else(|| new(&answer.short_names, &given.short_names))
        .or_else(|| new(&answer.categories, &given.categories));
    match found {
        None => Ok(()),
        Some(name) => Err(TransformFault::BadName {
            resource: answer.resource.clone(),
            name: name.chars().take(63).collect(),
        }),
    }
}

fn is_part_of(answer: &Resource, given: &Resource) -> bool {
    let originals: HashMap<&str, &Subresource> =
        given.subresources.iter().rev().map(|sub| (sub.subresource.as_str(), sub)).collect();
    let mut seen = HashSet::new();
    answer.scope == given.scope
        && answer.response_kind == given.response_kind
        && answer.verbs.iter().all(|verb| given.verbs.contains(verb))
        && answer.subresources.iter().all(|sub| {
            let original = originals.get(sub.subresource.as_str());
            seen.insert(sub.subresource.as_str()) && original.is_some_and(|s| is_sub_part_of(sub, s))
        })
}

fn is_sub_part_of(answer: &Subresource, given: &Subresource) -> bool {
    answer.response_kind == given.response_kind
        && answer.accepted_types == given.accepted_types
        && answer.verbs.iter().all(|verb| given.verbs.contains(verb))
}

/// Takes a new order of groups when it is a permutation of the given one.
///
/// # Errors
/// When a group is missing, new, or stands twice.
pub fn check_order(given: &[String], answer: Vec<String>) -> Result<Vec<String>, TransformFault> {
    let known: HashSet<&str> = given.iter().map(String::as_str).collect();
    let mut seen = HashSet::new();
    for name in &answer {
        if !known.contains(name.as_str()) {
            return Err(TransformFault::BadOrder(format!("names {name:?}, which was not given")));
        }
        if !seen.insert(name.as_str()) {
            return Err(TransformFault::BadOrder(format!("names {name:?} twice")));
        }
    }
    if let Some(missing) = given.iter().find(|name| !seen.contains(name.as_str())) {
        return Err(TransformFault::BadOrder(format!("leaves out {missing:?}")));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::discovery::ResponseKind;
    use crate::merge::discovery::group::{Freshness, GroupMeta};

    fn given() -> GroupDiscovery {
        let resource = Resource {
            resource: "things".into(),
            scope: "Cluster".into(),
            verbs: vec!["get".into(), "delete".into()],
            ..Resource::default()
        };
        let version = |name: &str| VersionDiscovery {
            version: name.into(),
            resources: vec![resource.clone()],
            freshness: Freshness::Stale,
        };
        GroupDiscovery {
            metadata: GroupMeta { name: "g".into() },
            versions: vec![version("v1"), version("v2")],
        }
    }

    fn check(change: impl FnOnce(&mut GroupDiscovery)) -> Result<GroupDiscovery, TransformFault> {
        let mut answer = given();
        change(&mut answer);
        check_replacement(&given(), &serde_json::to_string(&answer).unwrap())
    }

    #[test]
    fn leaving_out_and_reordering_are_allowed() {
        assert!(check(|g| g.versions.reverse()).is_ok());
        assert!(check(|g| g.versions.truncate(1)).is_ok());
        assert!(check(|g| g.versions[0].resources.clear()).is_ok());
        assert!(check(|g| g.versions[0].resources[0].verbs.truncate(1)).is_ok());
        assert!(check(|g| g.versions[0].resources[0].short_names.push("th".into())).is_ok());
    }

    #[test]
    fn an_answer_with_a_hundred_thousand_resources_is_checked_in_a_moment() {
        let mut large = given();
        let one = large.versions[0].resources[0].clone();
        let named = |n: u32| Resource { resource: format!("r{n}"), ..one.clone() };
        large.versions[0].resources = (0..100_000).map(named).collect();
        let sub = |n: u32| Subresource { subresource: format!("s{n}"), ..Subresource::default() };
        large.versions[1].resources[0].subresources = (0..100_000).map(sub).collect();
        let answer = serde_json::to_string(&large).unwrap();
        assert_eq!(check_replacement(&large, &answer).unwrap(), large);
    }

    #[test]
    fn what_a_resource_returns_and_where_it_lives_cannot_be_changed() {
        let mut given = given();
        let kind = |kind: &str| Some(ResponseKind { kind: kind.into(), ..ResponseKind::default() });
        let sub = |name: &str| Subresource {
            subresource: name.into(),
            response_kind: kind("A"),
            verbs: vec!["get".into()],
            ..Subresource::default()
        };
        given.versions[0].resources[0].subresources = vec![sub("status"), sub("scale")];
        let check = |change: fn(&mut Resource)| {
            let mut answer = given.clone();
            change(&mut answer.versions[0].resources[0]);
            check_replacement(&given, &serde_json::to_string(&answer).unwrap())
        };
        assert!(check(|_| {}).is_ok());
        assert!(check(|r| r.subresources.truncate(1)).is_ok());
        assert!(check(|r| r.subresources.reverse()).is_ok());
        assert!(check(|r| r.subresources[0].verbs.clear()).is_ok());
        for (what, change) in [
            ("scope", (|r| r.scope = "Namespaced".into()) as fn(&mut Resource)),
            ("kind", |r| r.response_kind.kind = "B".into()),
            ("name", |r| r.resource = "others".into()),
            ("subresource", |r| r.subresources[0].subresource = "log".into()),
            ("subresource twice", |r| r.subresources[0].subresource = "scale".into()),
            ("verb of a subresource", |r| r.subresources[0].verbs.push("patch".into())),
            ("kind of a subresource", |r| r.subresources[0].response_kind = None),
            ("accepted types", |r| r.subresources[0].accepted_types.push(ResponseKind::default())),
        ] {
            assert!(matches!(check(change), Err(TransformFault::Invented(_))), "{what}");
        }
    }

    #[test]
    fn nobody_vouches_for_a_backend_that_does_not_answer() {
        let checked = check(|g| g.versions[1].freshness = Freshness::Current).unwrap();
        assert_eq!(checked.versions[1].freshness, Freshness::Stale);
    }

    #[test]
    fn inventions_are_refused_by_name() {
        let text = |r: Result<_, TransformFault>| r.unwrap_err().to_string();
        assert_eq!(text(check(|g| g.metadata.name = "h".into())), "it renamed the group to \"h\"");
        assert!(text(check(|g| g.versions.clear())).starts_with("it left no version"));
        assert!(text(check(|g| g.versions[0].version = "v9".into())).contains("version v9"));
        assert_eq!(text(check(|g| g.versions[0].version = "v2".into())), "it lists version v2 twice");
        assert!(
            text(check(|g| g.versions[1].resources[0].verbs.push("patch".into())))
                .contains("resource things of version v2")
        );
        assert!(text(check_replacement(&given(), "[]")).contains("no APIGroupDiscovery"));
    }

    #[test]
    fn names_for_people_are_such_as_kubernetes_has_them() {
        for odd in ["", "Th", "a b", "\u{1b}[2J", "é", "po\nds", &"a".repeat(64)] {
            for place in 0..3 {
                let refused = check(|g| {
                    let resource = &mut g.versions[0].resources[0];
                    match place {
                        0 => resource.short_names.push(odd.into()),
                        1 => resource.categories.push(odd.into()),
                        _ => resource.singular_resource = format!("{odd} "),
                    }
                });
                assert!(matches!(refused, Err(TransformFault::BadName { .. })), "{odd:?} {place}");
            }
        }
        let odd = |g: &mut GroupDiscovery| g.versions[0].resources[0].categories.push("Odd One".into());
        let mut given = given();
        odd(&mut given);
        let same = serde_json::to_string(&given).unwrap();
        assert!(check_replacement(&given, &same).is_ok(), "what the backend says itself stays");
    }

    #[test]
    fn an_order_must_be_a_permutation() {
        let groups: Vec<String> = ["a", "b"].map(str::to_owned).into();
        let order = |names: &[&str]| check_order(&groups, names.iter().map(|n| (*n).to_owned()).collect());
        assert_eq!(order(&["b", "a"]).unwrap(), ["b", "a"]);
        assert!(order(&["b"]).unwrap_err().to_string().contains("leaves out \"a\""));
        assert!(order(&["b", "b"]).unwrap_err().to_string().contains("twice"));
        assert!(order(&["a", "b", "c"]).unwrap_err().to_string().contains("not given"));
    }
}
