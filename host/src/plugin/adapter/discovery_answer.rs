//! A transformer's answer, judged before anybody is shown it.

use crate::decision::discovery::Outcome;
use crate::plugin::component::bindings::discovery::exports::umbel::discovery::transformer as wit;
use crate::plugin::offer::log_gate::tame;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How much larger than its input an answer may be: twice, and this many bytes.
const GROWTH: usize = 64 << 10;
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The name of the group that a document describes.
pub(in crate::plugin) fn group_name(document: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Head {
        metadata: Metadata,
    }
    #[derive(serde::Deserialize)]
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
    let offered: Vec<_> = offered.into_iter().collect();
    for (version, body) in keyed(list(&after, "versions")?, "version")? {
        let Some((_, original)) = offered.iter().find(|(name, _)| *name == version) else {
            return Err(format!("version {:?} is served by nobody", tame(version)));
        };
        compare_version(version, original, body)?;
    }
    Ok(())
}

fn compare_version(
    version: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), String> {
    let resources = |body: &Map<String, Value>| -> Vec<Value> {
        body.get("resources").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let (before, after) = (resources(before), resources(after));
    let offered: BTreeSet<&str> = keyed(&before, "resource")?.into_iter().map(|(name, _)| name).collect();
    for (name, resource) in keyed(&after, "resource")? {
        if !offered.contains(name) {
            return Err(format!("resource {:?} of {version} is served by nobody", tame(name)));
        }
        check_verbs(name, resource)?;
        let subresources =
            resource.get("subresources").and_then(Value::as_array).cloned().unwrap_or_default();
        for (name, subresource) in keyed(&subresources, "subresource")? {
            check_verbs(name, subresource)?;
        }
    }
    Ok(())
}

fn check_verbs(name: &str, resource: &Map<String, Value>) -> Result<(), String> {
    let verbs = resource.get("verbs").and_then(Value::as_array);
    let known = |verb: &Value| verb.as_str().is_some_and(|verb| VERBS.contains(&verb));
    match verbs {
        Some(verbs) if verbs.iter().all(known) => Ok(()),
        Some(_) => Err(format!("resource {:?} has a verb that does not exist", tame(name))),
        None => Err(format!("resource {:?} has no verbs", tame(name))),
    }
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

    const INPUT: &str = r#"{"metadata":{"name":"g"},"versions":[{"version":"v1","resources":[
        {"resource":"things","verbs":["get","list"]},{"resource":"others","verbs":["get"]}]},{"version":"v1beta1"}]}"#;

    fn judge(document: &str) -> Result<Outcome, String> {
        accept(wit::Outcome::Replace(document.to_owned()), INPUT)
    }

    #[test]
    fn less_is_fine() {
        judge(INPUT).unwrap();
        judge(r#"{"metadata":{"name":"g"},"versions":[{"version":"v1","resources":[{"resource":"others","verbs":["get"]}]}]}"#)
            .unwrap();
        assert_eq!(group_name(INPUT).as_deref(), Some("g"));
    }

    #[test]
    fn every_broken_rule_is_named() {
        for (document, says) in [
            ("{", "no JSON"),
            ("[]", "cannot be renamed"),
            (r#"{"metadata":{"name":"h"},"versions":[]}"#, r#"group "g" became "h""#),
            (r#"{"metadata":{"name":"g"}}"#, "versions is no list"),
            (r#"{"metadata":{"name":"g"},"versions":[{"version":"v2"}]}"#, "served by nobody"),
            (r#"{"metadata":{"name":"g"},"versions":[{"version":"v1"},{"version":"v1"}]}"#, "stands twice"),
            (
                r#"{"metadata":{"name":"g"},"versions":[{"version":"v1","resources":[{"resource":"new","verbs":[]}]}]}"#,
                "served by nobody",
            ),
            (
                r#"{"metadata":{"name":"g"},"versions":[{"version":"v1","resources":[{"resource":"things","verbs":["fly"]}]}]}"#,
                "a verb that does not exist",
            ),
            (
                r#"{"metadata":{"name":"g"},"versions":[{"version":"v1","resources":[{"resource":"things"}]}]}"#,
                "no verbs",
            ),
        ] {
            let refused = judge(document).unwrap_err();
            assert!(refused.contains(says), "{document}: {refused}");
        }
        let long = format!("{INPUT}{}", " ".repeat(INPUT.len() + GROWTH + 1));
        assert!(judge(&long).unwrap_err().contains("are the limit"));
    }

    #[test]
    fn an_order_names_what_is_there() {
        let groups = ["a", "b", "c"];
        assert_eq!(accept_order(vec!["c".into()], &groups).unwrap(), ["c", "a", "b"]);
        assert!(accept_order(vec!["x".into()], &groups).unwrap_err().contains("not there"));
        assert!(accept_order(vec!["a".into(), "a".into()], &groups).unwrap_err().contains("twice"));
    }
}
