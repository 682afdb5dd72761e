//! Names that every client can resolve.
//!
//! OpenAPI 3.0 allows letters, digits, `.`, `-` and `_` in the names of components, and kubectl looks up the text
//! after `#/definitions/` without decoding it: one definition named `github.com/x/y.Option` makes the whole protobuf
//! form unreadable for kubectl. So such names are replaced while documents are merged, by the name that Kubernetes
//! gives to the same type.

use super::json::Json;
use super::output::{Output, Overflow};
use super::parts::{Named, Parts};
use super::section::{SECTIONS, Target, each_reference};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

fn is_friendly(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// `com.github.x.y.Option` for `github.com/x/y.Option`: the domain reversed and dots for slashes, as in
/// `ToRESTFriendlyName` of kube-openapi, and `_` for every other character that is not allowed.
fn friendly(name: &str) -> String {
    let (domain, rest) = name.find('/').map_or((name, ""), |at| name.split_at(at));
    let labels: Vec<&str> = if rest.is_empty() { vec![name] } else { domain.rsplit('.').collect() };
    let allowed = |c: char| {
        if c == '/' {
            '.'
        } else if c.is_ascii_alphanumeric() || ".-_".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = format!("{}{rest}", labels.join(".")).chars().map(allowed).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// Hands out names that are not taken: the plain one, then the same with `_v2`, `_v3` and so on. It remembers the next
/// number of each name, because to count from 2 again takes quadratic time in a document of names that are alike.
#[derive(Default)]
pub(super) struct FreeNames {
    given: BTreeSet<String>,
    next: BTreeMap<String, u64>,
}

impl FreeNames {
    /// A name that was not given before and is not taken.
    pub(super) fn find(&mut self, plain: &str, is_taken: impl Fn(&str) -> bool) -> String {
        let number = self.next.entry(plain.to_owned()).or_insert(1);
        loop {
            let name = if *number == 1 { plain.to_owned() } else { format!("{plain}_v{number}") };
            *number += 1;
            if !is_taken(&name) && self.given.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// New names for those that need one. If two would get the same name, or the name is taken, they are distinguished by
/// `_v2`, `_v3` and so on, in the order of the old names.
pub(super) fn new_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> BTreeMap<&'a str, String> {
    let odd: BTreeSet<&str> = names.clone().filter(|name| !is_friendly(name)).collect();
    if odd.is_empty() {
        return BTreeMap::new();
    }
    let taken: BTreeSet<&str> = names.collect();
    let mut free = FreeNames::default();
    odd.into_iter().map(|old| (old, free.find(&friendly(old), |name| taken.contains(name)))).collect()
}

/// Gives every shared part of a v2 document a name that clients can resolve, and each reference the spelling that
/// names its target without escapes. References without a target stay as they are.
pub(super) fn rename_parts(parts: &mut Parts<'_>) -> Result<(), Overflow> {
    let names = SECTIONS.map(|section| new_names(parts.section(section).keys().map(Cow::as_ref)));
    let canonical = |reference: &str| {
        let (section, target) = parts.find(reference)?;
        let new = SECTIONS
            .iter()
            .position(|s| *s == section)
            .and_then(|at| names.get(at)?.get(target.name.as_ref()));
        let name = new.map_or(target.name.as_ref(), String::as_str);
        let wanted = format!("{}{name}{}", section.prefix(), target.inside);
        (wanted != reference).then_some(wanted)
    };
    let rewritten = |named: &Named<'_>| -> Result<Vec<Option<String>>, Overflow> {
        named.values().map(|text| rewrite(text, &canonical)).collect()
    };
    let paths = rewritten(&parts.paths)?;
    let sections = SECTIONS.map(|section| rewritten(parts.section(section)));
    let names = names.map(|names| names.into_iter().map(|(old, new)| (old.to_owned(), new)).collect());
    replace_texts(&mut parts.paths, paths);
    for ((section, texts), names) in SECTIONS.into_iter().zip(sections).zip(names) {
        let names: BTreeMap<String, String> = names;
        let named = parts.section_mut(section);
        replace_texts(named, texts?);
        for (old, new) in names {
            if let Some(text) = named.remove(old.as_str()) {
                named.insert(new.into(), text);
            }
        }
    }
    Ok(())
}

/// The text with renamed references; `None` if there are none to rename.
pub(super) fn rewrite(
    text: &str,
    rename: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, Overflow> {
    let value = Json::part(text);
    let mut is_other = false;
    each_reference(value, &mut |target| is_other |= rename(&target).is_some());
    if !is_other {
        return Ok(None);
    }
    let mut out = Output::new(text.len() + 64, usize::MAX);
    out.copy(value, rename)?;
    Ok(String::from_utf8(out.finish()).ok())
}

pub(super) fn replace_texts(named: &mut Named<'_>, texts: Vec<Option<String>>) {
    for (slot, text) in named.values_mut().zip(texts) {
        if let Some(text) = text {
            *slot = text.into();
        }
    }
}

/// A v3 document with such names; `None` if all names are valid already.
pub(super) fn rename_components(document: Json<'_>, max: usize) -> Result<Option<Vec<u8>>, Overflow> {
    let sections: BTreeMap<Cow<'_, str>, BTreeSet<Cow<'_, str>>> = document
        .get("components")
        .map(Json::members)
        .into_iter()
        .flatten()
        .map(|(section, of)| (section, of.members().into_iter().map(|(name, _)| name).collect()))
        .collect();
    let names: BTreeMap<&str, BTreeMap<&str, String>> = sections
        .iter()
        .map(|(section, names)| (section.as_ref(), new_names(names.iter().map(Cow::as_ref))))
        .filter(|(_, renamed)| !renamed.is_empty())
        .collect();
    if names.is_empty() {
        return Ok(None);
    }
    let canonical = |reference: &str| {
        let (section, rest) = reference.strip_prefix("#/components/")?.split_once('/')?;
        let known = sections.get(section)?;
        let renamed = names.get(section)?;
        let is_there = |name: &str| renamed.contains_key(name) || known.contains(name);
        let target = Target::find(rest, is_there)?;
        let name = renamed.get(target.name.as_ref()).map_or(target.name.as_ref(), String::as_str);
        Some(format!("#/components/{section}/{name}{}", target.inside))
    };
    let mut out = Output::new(document.text().len() + 1024, max);
    out.object(|out| {
        document.members().into_iter().try_for_each(|(key, value)| {
            out.key(&key)?;
            if key != "components" {
                return out.copy(value, &canonical);
            }
            out.object(|out| {
                value.members().into_iter().try_for_each(|(section, of)| {
                    out.key(&section)?;
                    if !of.is_object() {
                        return out.copy(of, &canonical);
                    }
                    let renamed = names.get(section.as_ref());
                    out.object(|out| {
                        of.members().into_iter().try_for_each(|(name, component)| {
                            let new = renamed.and_then(|renamed| renamed.get(name.as_ref()));
                            out.key(new.map_or(name.as_ref(), String::as_str))?;
                            out.copy(component, &canonical)
                        })
                    })
                })
            })
        })
    })?;
    Ok(Some(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn names_are_those_of_kubernetes() {
        for (old, new) in [
            ("github.com/x/y.Option", "com.github.x.y.Option"),
            ("k8s.io/api/core/v1.Pod", "io.k8s.api.core.v1.Pod"),
            ("csi.storage.k8s.io/v1alpha1.CSINodeInfo", "io.k8s.storage.csi.v1alpha1.CSINodeInfo"),
            ("./pkg/apis.Thing", "..pkg.apis.Thing"),
            ("a~b", "a_b"),
            ("v1.List[github.com/x/y.Item]", "com.List[github.v1.x.y.Item]"),
            ("50%", "50_"),
            ("é z", "__z"),
            ("", "_"),
        ] {
            assert!(!is_friendly(old), "{old}");
            assert_eq!(friendly(old), new.replace(['[', ']'], "_"), "{old}");
            assert!(is_friendly(&friendly(old)), "{old}");
        }
        assert!(is_friendly("io.k8s.api.core.v1.Pod") && is_friendly("A-b_9"));
    }

    /// Takes minutes if the work is quadratic.
    #[test]
    fn many_names_that_would_be_the_same_are_told_apart() {
        let odd = (0..20_000_u32)
            .map(|n| (0..15).map(|bit| if n >> bit & 1 == 0 { '~' } else { '%' }).collect::<String>());
        let names: Vec<String> = odd.chain((2..20_000).map(|n| format!("_______________v{n}"))).collect();
        let renamed = new_names(names.iter().map(String::as_str));
        let new: BTreeSet<&String> = renamed.values().collect();
        assert_eq!((renamed.len(), new.len()), (20_000, 20_000));
        assert!(names.iter().all(|name| !new.contains(name)));
    }

    #[test]
    fn names_that_would_be_the_same_are_told_apart() {
        let names = ["com.x.A", "x.com/A", "x.com~A", "x.com_A", "com.x.A_v2"];
        let renamed = new_names(names.into_iter());
        let wanted = [("x.com/A", "com.x.A_v3"), ("x.com~A", "x.com_A_v2")];
        assert_eq!(renamed, wanted.into_iter().map(|(old, new)| (old, new.to_owned())).collect());
        assert!(new_names(["fine", "v1.Fine"].into_iter()).is_empty());
    }

    fn rename(document: &Value) -> Value {
        let text = document.to_string();
        let mut parts = Parts::of(Json::part(&text));
        rename_parts(&mut parts).unwrap();
        serde_json::from_slice(&parts.write(usize::MAX).unwrap()).unwrap()
    }

    #[test]
    fn references_in_any_spelling_follow_the_new_name() {
        let refer = |target: &str| json!({"$ref": target});
        let spellings = [
            "#/definitions/github.com~1x~1y.Option",
            "#/definitions/github.com%2Fx%2Fy.Option",
            "#/definitions/github.com/x/y.Option",
        ];
        let document = json!({
            "paths": {"/p": {"parameters": [refer("#/parameters/a~1b")], "get": {"responses": {"200": refer("#/responses/a%7Eb")}}}},
            "definitions": {
                "github.com/x/y.Option": {"self": refer(spellings[0])},
                "User": {"all": spellings.map(refer), "inside": refer("#/definitions/github.com~1x~1y.Option/properties/z"),
                    "fine": refer("#/definitions/U%73er"), "dangling": refer("#/definitions/no~1pe"), "other": refer("x.json#/definitions/User")},
            },
            "parameters": {"a/b": {"in": "query"}},
            "responses": {"a~b": {}},
        });
        let new = refer("#/definitions/com.github.x.y.Option");
        let wanted = json!({
            "paths": {"/p": {"parameters": [refer("#/parameters/a.b")], "get": {"responses": {"200": refer("#/responses/a_b")}}}},
            "definitions": {
                "com.github.x.y.Option": {"self": new},
                "User": {"all": [new, new, new], "inside": refer("#/definitions/com.github.x.y.Option/properties/z"),
                    "fine": refer("#/definitions/User"), "dangling": refer("#/definitions/no~1pe"), "other": refer("x.json#/definitions/User")},
            },
            "parameters": {"a.b": {"in": "query"}},
            "responses": {"a_b": {}},
        });
        assert_eq!(rename(&document), wanted);
        assert_eq!(rename(&wanted), wanted);
    }

    #[test]
    fn components_of_v3_are_renamed_likewise() {
        let refer = |target: &str| json!({"$ref": target});
        let document = json!({
            "openapi": "3.0.0",
            "paths": {"/p": {"x": refer("#/components/schemas/github.com~1x~1y.Option"), "y": refer("#/components/schemas/Fine"),
                "p": refer("#/components/parameters/a~1b")}},
            "components": {"schemas": {"github.com/x/y.Option": {"z": refer("#/components/schemas/github.com%2Fx%2Fy.Option/properties/q")}, "Fine": {}},
                "parameters": {"a/b": {}}, "x-other": 1},
        });
        let wanted = json!({
            "openapi": "3.0.0",
            "paths": {"/p": {"x": refer("#/components/schemas/com.github.x.y.Option"), "y": refer("#/components/schemas/Fine"),
                "p": refer("#/components/parameters/a.b")}},
            "components": {"schemas": {"com.github.x.y.Option": {"z": refer("#/components/schemas/com.github.x.y.Option/properties/q")}, "Fine": {}},
                "parameters": {"a.b": {}}, "x-other": 1},
        });
        let text = document.to_string();
        let renamed = rename_components(Json::part(&text), usize::MAX).unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&renamed).unwrap(), wanted);
        assert_eq!(rename_components(Json::part(&text), renamed.len() - 1), Err(Overflow));
        assert_eq!(
            rename_components(Json::part(&wanted.to_string()), usize::MAX),
            Ok(None),
            "it stays as it came"
        );
    }
}
