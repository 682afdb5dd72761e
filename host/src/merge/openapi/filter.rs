//! Keeping a backend's document to what the backend may claim.

use super::json::Json;
use super::parts::{Named, Parts};
use super::section::{SECTIONS, Section, each_reference};
use crate::model::group_version::GroupVersion;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

const KINDS: &str = "x-kubernetes-group-version-kind";

/// The parts of a document that describe some group-versions.
pub(super) struct Selection<'p> {
    pub(super) paths: Vec<&'p str>,
    names: [HashSet<&'p str>; 3],
}

impl<'p> Selection<'p> {
    pub(super) fn has(&self, section: Section, name: &str) -> bool {
        let at = SECTIONS.iter().position(|s| *s == section);
        at.and_then(|at| self.names.get(at)).is_some_and(|names| names.contains(name))
    }

    fn add(&mut self, section: Section, name: &'p str) -> bool {
        let at = SECTIONS.iter().position(|s| *s == section);
        at.and_then(|at| self.names.get_mut(at)).is_some_and(|names| names.insert(name))
    }
}

/// The definitions that name a kind of a group-version, read once for several selections.
pub(super) struct OwnKinds<'p>(Vec<(usize, &'p str)>);

impl<'p> OwnKinds<'p> {
    /// Those of the group-versions in `kept`, which are identified by their positions in it.
    pub(super) fn of(parts: &'p Parts<'_>, kept: &BTreeSet<GroupVersion>) -> Self {
        let places: BTreeMap<&GroupVersion, usize> = kept.iter().zip(0..).collect();
        let mut own = Vec::new();
        for (name, text) in parts.section(Section::Definitions) {
            if !text.contains("x-kubernetes-group") {
                continue;
            }
            for entry in Json::part(text).get(KINDS).map(Json::items).into_iter().flatten() {
                let text = |key: &str| entry.get(key).and_then(Json::string).unwrap_or_default().into_owned();
                let named = GroupVersion::new(text("group"), text("version"));
                own.extend(places.get(&named).map(|at| (*at, name.as_ref())));
            }
        }
        Self(own)
    }
}

/// All parts that the paths of group-versions and the definitions of their kinds need, directly or indirectly. `kept`
/// has their positions in the set that `own` was read for.
pub(super) fn select<'p>(
    parts: &'p Parts<'_>,
    own: &OwnKinds<'p>,
    kept: &[(usize, &GroupVersion)],
) -> Selection<'p> {
    let prefixes: Vec<_> = kept.iter().map(|(_, gv)| format!("/apis/{}/{}/", gv.group, gv.version)).collect();
    let paths = parts.paths.iter().filter(|(path, _)| prefixes.iter().any(|p| path.starts_with(p)));
    let mut selection = Selection { paths: Vec::new(), names: Default::default() };
    let mut waiting: Vec<&'p str> = Vec::new();
    for (path, text) in paths {
        selection.paths.push(path);
        waiting.push(text);
    }
    for (_, name) in own.0.iter().filter(|(of, _)| kept.iter().any(|(at, _)| at == of)) {
        if selection.add(Section::Definitions, name) {
            waiting.extend(parts.section(Section::Definitions).get(*name).map(Cow::as_ref));
        }
    }
    while let Some(text) = waiting.pop() {
        each_reference(Json::part(text), &mut |reference| {
            let Some((section, target)) = parts.find(&reference) else { return };
            let found = parts.section(section).get_key_value(target.name.as_ref());
            if let Some((name, text)) = found.filter(|(name, _)| selection.add(section, name)) {
                let _: &str = name;
                waiting.push(text);
            }
        });
    }
    selection
}

/// Removes every path of an OpenAPI v2 document outside the given group-versions, and the parts that only those paths
/// needed (contract §4.1). Definitions that name a kind of these group-versions stay.
pub(super) fn keep_group_versions(parts: &mut Parts<'_>, kept: &BTreeSet<GroupVersion>) {
    let own = OwnKinds::of(parts, kept);
    let selection = select(parts, &own, &kept.iter().enumerate().collect::<Vec<_>>());
    let paths: HashSet<&str> = selection.paths.iter().copied().collect();
    let flags = |named: &Named<'_>, is_kept: &dyn Fn(&str) -> bool| -> Vec<bool> {
        named.keys().map(|name| is_kept(name)).collect()
    };
    let kept_paths = flags(&parts.paths, &|path| paths.contains(path));
    let kept_names = SECTIONS.map(|s| flags(parts.section(s), &|name| selection.has(s, name)));
    drop(selection);
    retain(&mut parts.paths, kept_paths);
    for (section, flags) in SECTIONS.into_iter().zip(kept_names) {
        retain(parts.section_mut(section), flags);
    }
}

fn retain(named: &mut Named<'_>, flags: Vec<bool>) {
    let mut flags = flags.into_iter();
    named.retain(|_, _| flags.next().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_others_go_with_what_only_they_need() {
        let document = json!({
            "swagger": "2.0",
            "paths": {
                "/apis/a.com/v1/": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/List"}}}}},
                "/apis/a.com/v1/things": {"parameters": [{"$ref": "#/parameters/pretty"}], "get": {}},
                "/apis/a.com/v10/things": {"get": {}},
                "/api/v1/pods": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/Pod"}}}}},
            },
            "definitions": {
                "List": {"properties": {"items": {"items": {"$ref": "#/definitions/Item"}}}},
                "Item": {"properties": {"self": {"$ref": "#/definitions/Item"}, "inner": {"$ref": "#/definitions/Deep/properties/x"}}},
                "Deep": {"properties": {"x": {"$ref": "#/definitions/x~1y"}}},
                "x/y": {},
                "Pod": {},
                "Unused": {},
                "Options": {"x-kubernetes-group-version-kind": [
                    {"group": "b.com", "version": "v1", "kind": "Options"},
                    {"group": "a.com", "version": "v1", "kind": "Options"}]},
                "Foreign": {"x-kubernetes-group-version-kind": [{"group": "a.com", "version": "v2", "kind": "X"}]},
            },
            "parameters": {"pretty": {"name": "pretty"}, "other": {}},
        })
        .to_string();
        let mut parts = Parts::of(Json::part(&document));
        keep_group_versions(&mut parts, &[GroupVersion::new("a.com", "v1")].into());
        let keys = |named: &Named<'_>| named.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(keys(&parts.paths), ["/apis/a.com/v1/", "/apis/a.com/v1/things"]);
        assert_eq!(keys(parts.section(Section::Definitions)), ["Deep", "Item", "List", "Options", "x/y"]);
        assert_eq!(keys(parts.section(Section::Parameters)), ["pretty"]);
    }
}
