//! Uniting OpenAPI v2 documents of several servers into one.

use super::json::Json;
use super::naming::{replace_texts, rewrite};
use super::output::Overflow;
use super::parts::{Named, Parts};
use super::section::{SECTIONS, Section, each_reference};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

const KINDS: &str = "x-kubernetes-group-version-kind";

/// Full references, such as `#/definitions/x`.
type References = BTreeSet<String>;

/// Adds `source` to `target` (contract §4.1): a path that is there already stays as it is; a definition or
/// parameter of the same name and content is shared; one of the same name and other content, or that refers to
/// such a one, is renamed `<name>_v2`, `_v3` and so on with all references to it.
pub(super) fn combine<'a>(target: &mut Parts<'a>, mut source: Parts<'a>) -> Result<(), Overflow> {
    let differing = differing_names(target, &source);
    if !differing.is_empty() {
        rename_apart(target, &mut source, &differing)?;
    }
    for section in SECTIONS {
        let more = std::mem::take(source.section_mut(section));
        let united = target.section_mut(section);
        for (name, text) in more {
            match united.get_mut(&name) {
                Some(present) => unite_kinds(present, &text),
                None => drop(united.insert(name, text)),
            }
        }
    }
    for (path, item) in source.paths {
        target.paths.entry(path).or_insert(item);
    }
    Ok(())
}

/// Full references of what both have under one name with different content, directly or through references.
fn differing_names(target: &Parts<'_>, source: &Parts<'_>) -> References {
    let mut shared: Vec<(String, &str)> = Vec::new();
    let mut waiting: Vec<String> = Vec::new();
    for section in SECTIONS {
        let ours = target.section(section);
        for (name, text) in source.section(section) {
            let Some(present) = ours.get(name) else { continue };
            let reference = format!("{}{name}", section.prefix());
            if Json::part(present).says_the_same(Json::part(text), Some(KINDS)) {
                shared.push((reference, text));
            } else {
                waiting.push(reference);
            }
        }
    }
    if waiting.is_empty() {
        return References::new();
    }
    let mut users: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, text) in &shared {
        each_reference(Json::part(text), &mut |next| {
            users.entry(without_inside(&next).to_owned()).or_default().push(name);
        });
    }
    let mut differing = References::new();
    while let Some(next) = waiting.pop() {
        if !differing.contains(&next) {
            waiting.extend(users.get(&next).into_iter().flatten().map(|user| (*user).to_owned()));
            differing.insert(next);
        }
    }
    differing
}

/// The reference to a shared part that a reference points at or into. Names have no slash any more.
fn without_inside(reference: &str) -> &str {
    let end = reference.match_indices('/').nth(2).map_or(reference.len(), |(at, _)| at);
    reference.get(..end).unwrap_or(reference)
}

/// Gives every differing name of `source` one common suffix under which nothing, or the same, stands in `target`.
fn rename_apart(target: &Parts<'_>, source: &mut Parts<'_>, differing: &References) -> Result<(), Overflow> {
    let mut number = 2_u64;
    while !fits(target, source, differing, number)? {
        number += 1;
    }
    let rename = |reference: &str| renamed(reference, differing, number);
    let rewritten = |named: &Named<'_>| -> Result<Vec<Option<String>>, Overflow> {
        named.values().map(|text| rewrite(text, &rename)).collect()
    };
    let paths = rewritten(&source.paths)?;
    replace_texts(&mut source.paths, paths);
    for section in SECTIONS {
        let texts = rewritten(source.section(section))?;
        let named = source.section_mut(section);
        replace_texts(named, texts);
        for old in differing.iter().filter_map(|reference| reference.strip_prefix(section.prefix())) {
            if let Some(text) = named.remove(old) {
                named.insert(format!("{old}_v{number}").into(), text);
            }
        }
    }
    Ok(())
}

fn renamed(reference: &str, differing: &References, number: u64) -> Option<String> {
    let shared = without_inside(reference);
    let inside = reference.strip_prefix(shared)?;
    differing.contains(shared).then(|| format!("{shared}_v{number}{inside}"))
}

/// Whether no differing name with this number means something else in either document.
fn fits(
    target: &Parts<'_>,
    source: &Parts<'_>,
    differing: &References,
    number: u64,
) -> Result<bool, Overflow> {
    let parted = |reference: &str| {
        let of = |section: Section| Some((section, reference.strip_prefix(section.prefix())?.to_owned()));
        SECTIONS.into_iter().find_map(of)
    };
    for (section, old) in differing.iter().filter_map(|reference| parted(reference)) {
        let new = format!("{old}_v{number}");
        if source.section(section).contains_key(new.as_str()) {
            return Ok(false);
        }
        let (Some(present), Some(text)) =
            (target.section(section).get(new.as_str()), source.section(section).get(old.as_str()))
        else {
            continue;
        };
        let text = rewrite(text, &|reference| renamed(reference, differing, number))?
            .map_or(Cow::Borrowed(text.as_ref()), Cow::Owned);
        if !Json::part(present).says_the_same(Json::part(&text), Some(KINDS)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn unite_kinds(present: &mut Cow<'_, str>, other: &str) {
    if *present == other {
        return;
    }
    let kinds =
        |text: &str| -> Option<Vec<Value>> { serde_json::from_str(Json::part(text).get(KINDS)?.text()).ok() };
    let (Some(more), known) = (kinds(other), kinds(present).unwrap_or_default()) else { return };
    let mut all = known.clone();
    for kind in more {
        if !all.contains(&kind) {
            all.push(kind);
        }
    }
    if all.len() == known.len() {
        return;
    }
    let mut out = super::output::Output::new(present.len() + other.len(), usize::MAX);
    let written = out.object(|out| {
        for (key, value) in Json::part(present).members().into_iter().filter(|(key, _)| key != KINDS) {
            out.key(&key)?;
            out.value(value)?;
        }
        out.key(KINDS)?;
        out.value(Json::part(&json!(all).to_string()))
    });
    if let (Ok(()), Ok(text)) = (written, String::from_utf8(out.finish())) {
        *present = text.into();
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn document(paths: Value, definitions: Value) -> Value {
        json!({"paths": paths, "definitions": definitions})
    }

    fn unite(documents: &[&Value]) -> Value {
        let texts: Vec<String> = documents.iter().map(ToString::to_string).collect();
        let mut united = Parts::default();
        for text in &texts {
            combine(&mut united, Parts::of(Json::part(text))).unwrap();
        }
        serde_json::from_slice(&united.write(usize::MAX).unwrap()).unwrap()
    }

    #[test]
    fn the_first_path_wins_and_equal_definitions_are_shared() {
        let kind = |group: &str| json!([{"group": group, "version": "v1", "kind": "Options"}]);
        let first =
            document(json!({"/a": {"get": {"from": 1}}}), json!({"Options": {"x": 1, KINDS: kind("a")}}));
        let second = document(
            json!({"/a": {"get": {"from": 2}}, "/b": {}}),
            json!({"Options": {KINDS: [kind("b")[0], kind("a")[0]], "x": 1}}),
        );
        let kinds = json!([kind("a")[0], kind("b")[0]]);
        let wanted = document(
            json!({"/a": {"get": {"from": 1}}, "/b": {}}),
            json!({"Options": {"x": 1, KINDS: kinds}}),
        );
        assert_eq!(unite(&[&first, &second]), wanted);
        // A definition without kinds gets those of the other.
        let without = document(json!({}), json!({"Options": {"x": 1}}));
        let united = unite(&[&without, &first]);
        assert_eq!(united["definitions"]["Options"], json!({"x": 1, KINDS: kind("a")}));
    }

    #[test]
    fn another_definition_of_the_same_name_is_renamed_with_all_that_leads_to_it() {
        let leads = json!({"properties": {"x": {"$ref": "#/definitions/Meta"}}});
        let first = document(json!({}), json!({"Meta": {"v": 1}, "List": leads}));
        let path = json!({"/b": {"schema": {"$ref": "#/definitions/List"}}});
        let second = document(path, json!({"Meta": {"v": 2}, "List": leads, "Own": leads}));
        let renamed = json!({"properties": {"x": {"$ref": "#/definitions/Meta_v2"}}});
        let wanted = document(
            json!({"/b": {"schema": {"$ref": "#/definitions/List_v2"}}}),
            json!({"Meta": {"v": 1}, "List": leads, "Meta_v2": {"v": 2}, "List_v2": renamed, "Own": renamed}),
        );
        assert_eq!(unite(&[&first, &second]), wanted);
        // The same once more finds its renamed self.
        let mut again = second.clone();
        again["paths"] = json!({});
        again["definitions"].as_object_mut().unwrap().remove("Own");
        assert_eq!(unite(&[&first, &second, &again]), wanted);
        // A third content takes the next number, and one that has this name itself keeps it.
        let third = document(json!({}), json!({"Meta": {"v": 3}}));
        let united = unite(&[&first, &second, &third]);
        assert_eq!(united["definitions"]["Meta_v3"], json!({"v": 3}));
        let own = document(json!({}), json!({"Meta": {"v": 3}, "Meta_v2": {"v": 3}}));
        let united = unite(&[&first, &own]);
        assert_eq!(
            united["definitions"],
            json!({"List": leads, "Meta": {"v": 1}, "Meta_v2": {"v": 3}, "Meta_v3": {"v": 3}})
        );
    }

    #[test]
    fn a_reference_into_a_renamed_definition_follows_it_and_sections_do_not_mix() {
        let first = json!({"definitions": {"A": {"v": 1}}, "parameters": {"A": {"in": "query"}}});
        let inside =
            json!({"schema": {"$ref": "#/definitions/A/properties/x"}, "p": {"$ref": "#/parameters/A"}});
        let second = json!({"paths": {"/a": inside}, "definitions": {"A": {"v": 2}}, "parameters": {"A": {"in": "query"}}});
        let united = unite(&[&first, &second]);
        let wanted =
            json!({"schema": {"$ref": "#/definitions/A_v2/properties/x"}, "p": {"$ref": "#/parameters/A"}});
        assert_eq!(united["paths"]["/a"], wanted);
        assert_eq!(united["parameters"], json!({"A": {"in": "query"}}));
    }

    #[test]
    fn a_chain_that_ends_differently_is_renamed_in_a_moment() {
        let chain = |end: i32| {
            let link =
                |n: u32| (format!("D{n}"), json!({"x": {"$ref": format!("#/definitions/D{}", n + 1)}}));
            let mut all: serde_json::Map<String, Value> = (0..2000).map(link).collect();
            all.insert("D2000".to_owned(), json!({"end": end}));
            document(json!({}), all.into())
        };
        let united = unite(&[&chain(1), &chain(2)]);
        assert_eq!(united["definitions"].as_object().unwrap().len(), 4002);
        assert_eq!(united["definitions"]["D0_v2"], json!({"x": {"$ref": "#/definitions/D1_v2"}}));
    }
}
