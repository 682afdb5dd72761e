//! A transformer's answer, judged before anybody is shown it.

use crate::decision::discovery::Outcome;
use crate::merge::discovery::{GroupDiscovery, ResponseKind, check_replacement};
use crate::plugin::component::bindings::discovery::exports::umbel::discovery::transformer as wit;
use crate::plugin::offer::log_gate::tame;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How much larger than its input an answer may be: twice, and this many bytes.
const GROWTH: usize = 64 << 10;

/// The name of the group that a document describes.
pub(in crate::plugin) fn group_name(document: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
    }
    serde_json::from_str::<Head>(document).ok().map(|head| head.metadata.name)
}

/// The outcome, when it breaks no rule: same group, and nothing in it that the input does not have.
///
/// # Errors
/// The rule that is broken.
pub(in crate::plugin) fn accept(outcome: wit::Outcome, input: &str) -> Result<Outcome, String> {
    match outcome {
        wit::Outcome::Keep => Ok(Outcome::Keep),
        wit::Outcome::Hide(reason) => Ok(Outcome::Hide(tame(&reason))),
        wit::Outcome::Replace(document) => {
            let limit = input.len() * 2 + GROWTH;
            if document.len() > limit {
                return Err(format!("a group of {} bytes; {limit} are the limit here", document.len()));
            }
            compare(input, &document)?;
            // Whoever merges reads it by types, and a fault that shows only there would be nobody's.
            if let Ok(given) = serde_json::from_str::<GroupDiscovery>(input) {
                check_replacement(&given, &document).map_err(|fault| tame(&fault.to_string()))?;
            }
            Ok(Outcome::Replace(document))
        }
    }
}

fn compare(input: &str, document: &str) -> Result<(), String> {
    let before: Value =
        serde_json::from_str(input).map_err(|error| format!("its input is no JSON: {error}"))?;
    let after: Value = serde_json::from_str(document).map_err(|error| format!("no JSON: {error}"))?;
    let (old, new) = (before.pointer("/metadata/name"), after.pointer("/metadata/name"));
    if new != old {
        let show =
            |name: Option<&Value>| tame(&name.map_or_else(|| "no name".to_owned(), ToString::to_string));
        return Err(format!("group {} became {}; a group cannot be renamed", show(old), show(new)));
    }
    let offered = keyed(list(&before, "versions")?, "version")?;
    for (version, body) in keyed(list(&after, "versions")?, "version")? {
        let original = find(&offered, version, &format!("version {:?}", tame(version)))?;
        compare_version(version, original, body)?;
    }
    Ok(())
}

fn compare_version(
    version: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), String> {
    let offered = keyed(children(before, "resources"), "resource")?;
    for (name, resource) in keyed(children(after, "resources"), "resource")? {
        let what = format!("resource {:?} of {}", tame(name), tame(version));
        let original = find(&offered, name, &what)?;
        compare_resource(&what, original, resource)?;
        let offered = keyed(children(original, "subresources"), "subresource")?;
        for (name, subresource) in keyed(children(resource, "subresources"), "subresource")? {
            let what = format!("subresource {:?} of {what}", tame(name));
            compare_resource(&what, find(&offered, name, &what)?, subresource)?;
        }
    }
    Ok(())
}

fn find<'a>(offered: &[Keyed<'a>], name: &str, what: &str) -> Result<&'a Map<String, Value>, String> {
    let found = offered.iter().find(|(offered, _)| *offered == name);
    found.map(|(_, original)| *original).ok_or_else(|| format!("{what} is served by nobody"))
}

/// What the backend alone decides, besides the verbs.
#[derive(Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Shape {
    scope: Option<String>,
    response_kind: Option<ResponseKind>,
    accepted_types: Option<Vec<ResponseKind>>,
}

impl Shape {
    /// Reads it; what is absent is as what is empty.
    fn read(what: &str, body: &Map<String, Value>) -> Result<Self, String> {
        let shape =
            Self::deserialize(body).map_err(|error| format!("{what}: {}", tame(&error.to_string())))?;
        Ok(Self {
            scope: Some(shape.scope.unwrap_or_default()),
            response_kind: Some(shape.response_kind.unwrap_or_default()),
            accepted_types: Some(shape.accepted_types.unwrap_or_default()),
        })
    }
}

fn compare_resource(
    what: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), String> {
    if Shape::read(what, before)? != Shape::read(what, after)? {
        return Err(format!("{what} has another scope or kind than its backend says"));
    }
    let Some(verbs) = after.get("verbs").and_then(Value::as_array) else {
        return Err(format!("{what} has no verbs"));
    };
    let offered = children(before, "verbs");
    match verbs.iter().find(|verb| !verb.is_string() || !offered.contains(verb)) {
        Some(verb) => Err(format!("{what} has verb {}, which is served by nobody", tame(&verb.to_string()))),
        None => Ok(()),
    }
}

/// The items of a list; none where there is no list.
fn children<'a>(body: &'a Map<String, Value>, field: &str) -> &'a [Value] {
    body.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a [Value], String> {
    match value.get(field) {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(format!("{field} is no list")),
    }
}

/// An object and its key.
type Keyed<'a> = (&'a str, &'a Map<String, Value>);

/// The objects of a list by their key, each once.
fn keyed<'a>(items: &'a [Value], key: &str) -> Result<Vec<Keyed<'a>>, String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let object = item.as_object().ok_or_else(|| format!("something without {key}"))?;
        let name =
            object.get(key).and_then(Value::as_str).ok_or_else(|| format!("something without {key}"))?;
        if !seen.insert(name) {
            return Err(format!("{key} {:?} stands twice", tame(name)));
        }
        found.push((name, object));
    }
    Ok(found)
}

/// An order, when it names known groups only, each once.
///
/// # Errors
/// The rule that is broken.
pub(in crate::plugin) fn accept_order(order: Vec<String>, groups: &[&str]) -> Result<Vec<String>, String> {
    let known: BTreeSet<&str> = groups.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for name in &order {
        if !known.contains(name.as_str()) {
            return Err(format!("an order with group {:?}, which is not there", tame(name)));
        }
        if !seen.insert(name.as_str()) {
            return Err(format!("an order with group {:?} twice", tame(name)));
        }
    }
    let rest: Vec<String> =
        groups.iter().filter(|name| !seen.contains(**name)).map(|n| (*n).to_owned()).collect();
    Ok(order.into_iter().chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = r#"{"metadata":{"name":"g"},"versions":[{"version":"v1","freshness":"Current","resources":[
        {"resource":"things","scope":"Cluster","responseKind":{"kind":"Thing"},"verbs":["get","list","patch"],
         "subresources":[{"subresource":"status","responseKind":{"kind":"Thing"},"verbs":["get"]}]},
        {"resource":"others","responseKind":{"kind":"Other"},"verbs":["get"]}]},{"version":"v1beta1","freshness":"Stale"}]}"#;

    fn judge(document: &str) -> Result<Outcome, String> {
        accept(wit::Outcome::Replace(document.to_owned()), INPUT)
    }

    #[test]
    fn less_is_fine() {
        judge(INPUT).unwrap();
        judge(r#"{"metadata":{"name":"g"},"versions":[{"version":"v1","freshness":"Current","resources":[{"resource":"others","responseKind":{"kind":"Other","group":null},"verbs":["get"]}]}]}"#)
            .unwrap();
        assert_eq!(group_name(INPUT).as_deref(), Some("g"));
    }

    /// The input, with one place of it changed.
    fn changed(from: &str, to: &str) -> String {
        assert_eq!(INPUT.matches(from).count(), 1, "{from}");
        INPUT.replace(from, to)
    }

    #[test]
    fn transformer_output_is_validated() {
        let status = r#"{"subresource":"status","responseKind":{"kind":"Thing"},"verbs":["get"]}"#;
        let others = r#"{"resource":"others","responseKind":{"kind":"Other"},"verbs":["get"]}"#;
        let mut trusted = Vec::new();
        for (case, document, says) in [
            ("invalid JSON", "{".to_owned(), "no JSON"),
            ("no object", "[]".to_owned(), "cannot be renamed"),
            ("no versions", r#"{"metadata":{"name":"g"}}"#.to_owned(), "versions is no list"),
            ("nothing left", r#"{"metadata":{"name":"g"},"versions":[]}"#.to_owned(), "left no version"),
            (
                "what merging cannot read",
                changed(
                    r#""responseKind":{"kind":"Other"}"#,
                    r#""responseKind":{"kind":"Other"},"shortNames":7"#,
                ),
                "invalid type: integer `7`",
            ),
            (
                "no freshness",
                changed(r#"{"version":"v1beta1","freshness":"Stale"}"#, r#"{"version":"v1beta1"}"#),
                "missing field `freshness`",
            ),
            ("renamed group", changed(r#""name":"g""#, r#""name":"h""#), r#"group "g" became "h""#),
            ("invented version", changed("v1beta1", "v2"), r#"version "v2" is served by nobody"#),
            ("a version twice", changed("v1beta1", "v1"), r#"version "v1" stands twice"#),
            (
                "invented resource",
                changed(r#":"others""#, r#":"new""#),
                r#"resource "new" of v1 is served by nobody"#,
            ),
            (
                "a resource twice",
                changed(r#":"others""#, r#":"things""#),
                r#"resource "things" stands twice"#,
            ),
            (
                "invented subresource",
                changed(r#":"status""#, r#":"scale""#),
                r#"subresource "scale" of resource "things" of v1 is served by nobody"#,
            ),
            (
                "the subresource of another resource",
                changed(others, &others.replace("]}", &format!("],\"subresources\":[{status}]}}"))),
                r#"subresource "status" of resource "others" of v1 is served by nobody"#,
            ),
            (
                "a subresource twice",
                changed(status, &format!("{status},{status}")),
                r#""status" stands twice"#,
            ),
            (
                "invented verb",
                changed(r#""patch""#, r#""delete""#),
                r#"resource "things" of v1 has verb "delete", which is served by nobody"#,
            ),
            (
                "invented verb of a subresource",
                changed(status, &status.replace("get", "update")),
                r#"subresource "status" of resource "things" of v1 has verb "update""#,
            ),
            ("a verb that is no text", changed(r#""patch""#, "7"), "has verb 7, which"),
            (
                "no verbs",
                changed(others, &others.replace(r#","verbs":["get"]"#, "")),
                r#"resource "others" of v1 has no verbs"#,
            ),
            (
                "duplicate kind",
                changed(r#""Other""#, r#""Thing""#),
                r#"resource "others" of v1 has another scope or kind"#,
            ),
            ("another scope", changed("Cluster", "Namespaced"), "another scope or kind"),
        ] {
            match judge(&document) {
                Err(refused) => assert!(refused.contains(says), "{case}: {refused}"),
                Ok(_) => trusted.push(case),
            }
        }
        assert!(trusted.is_empty(), "taken although they break a rule: {trusted:?}");
    }

    #[test]
    fn transformer_output_may_not_outgrow_its_input() {
        let names =
            (0..1_000).map(|n| format!(r#"{{"resource":"r{n}","verbs":["get"]}}"#)).collect::<Vec<_>>();
        let input = INPUT.replace(
            r#"{"version":"v1beta1","freshness":"Stale"}"#,
            &format!(r#"{{"version":"v2","freshness":"Current","resources":[{}]}}"#, names.join(",")),
        );
        let judge = |size: usize| {
            let document = format!("{input}{}", " ".repeat(size - input.len()));
            accept(wit::Outcome::Replace(document), &input)
        };
        judge(input.len() * 2).unwrap();
        assert!(judge(input.len() * 10).unwrap_err().contains("are the limit"));
        assert!(judge(input.len() * 2 + GROWTH + 1).is_err());
    }

    #[test]
    fn an_order_names_what_is_there() {
        let groups = ["a", "b", "c"];
        assert_eq!(accept_order(vec!["c".into()], &groups).unwrap(), ["c", "a", "b"]);
        assert!(accept_order(vec!["x".into()], &groups).unwrap_err().contains("not there"));
        assert!(accept_order(vec!["a".into(), "a".into()], &groups).unwrap_err().contains("twice"));
    }
}
