//! An OpenAPI v2 document in parts, each of which stays text.

use super::json::Json;
use super::output::{Output, Overflow, Written};
use super::section::{SECTIONS, Section, Target};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Names, each with its JSON text.
pub(super) type Named<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// The parts of a document.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts<'a> {
    /// Everything that is not in the other fields, such as `info`.
    pub(super) head: Named<'a>,
    pub(super) paths: Named<'a>,
    definitions: Named<'a>,
    parameters: Named<'a>,
    responses: Named<'a>,
}

impl<'a> Parts<'a> {
    /// Splits a document into parts. A value that is not an object has no parts.
    pub(super) fn of(document: Json<'a>) -> Self {
        let mut parts = Self::default();
        for (key, value) in document.members() {
            let place = match key.as_ref() {
                "paths" => &mut parts.paths,
                "definitions" => &mut parts.definitions,
                "parameters" => &mut parts.parameters,
                "responses" => &mut parts.responses,
                _ => {
                    parts.head.insert(key, value.text().into());
                    continue;
                }
            };
            let members = value.members().into_iter();
            *place = members.map(|(name, value)| (name, Cow::Borrowed(value.text()))).collect();
        }
        parts
    }

    pub(super) fn section(&self, section: Section) -> &Named<'a> {
        match section {
            Section::Definitions => &self.definitions,
            Section::Parameters => &self.parameters,
            Section::Responses => &self.responses,
        }
    }

    pub(super) fn section_mut(&mut self, section: Section) -> &mut Named<'a> {
        match section {
            Section::Definitions => &mut self.definitions,
            Section::Parameters => &mut self.parameters,
            Section::Responses => &mut self.responses,
        }
    }

    /// The target of a reference.
    pub(super) fn find<'t>(&self, reference: &'t str) -> Option<(Section, Target<'t>)> {
        SECTIONS.into_iter().find_map(|section| {
            let rest = reference.strip_prefix(section.prefix())?;
            let names = self.section(section);
            Some((section, Target::find(rest, |name| names.contains_key(name))?))
        })
    }

    /// Follows references from a value to the first value that is not a reference.
    pub(super) fn resolve<'b>(&'b self, value: Json<'b>) -> Option<Json<'b>> {
        let mut value = value;
        for _ in 0..16 {
            let Some(reference) = value.get("$ref").and_then(Json::string) else { return Some(value) };
            let (section, target) = self.find(&reference)?;
            if !target.inside.is_empty() {
                return None;
            }
            value = Json::part(self.section(section).get(target.name.as_ref())?);
        }
        None
    }

    /// The document as text, without white space.
    pub(super) fn write(&self, max: usize) -> Result<Vec<u8>, Overflow> {
        let all = || SECTIONS.into_iter().map(|s| (s.key(), self.section(s))).chain([("paths", &self.paths)]);
        let sizes = all().flat_map(|(_, named)| named).chain(&self.head);
        let size: usize = sizes.map(|(name, text)| name.len() + text.len() + 4).sum();
        let mut out = Output::new(size + 64, max);
        out.object(|out| {
            write_named(out, &self.head)?;
            all().filter(|(_, named)| !named.is_empty()).try_for_each(|(key, named)| {
                out.key(key)?;
                out.object(|out| write_named(out, named))
            })
        })?;
        Ok(out.finish())
    }
}

fn write_named(out: &mut Output, named: &Named<'_>) -> Written {
    named.iter().try_for_each(|(name, text)| {
        out.key(name)?;
        out.value(Json::part(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn taken_apart_and_put_together_it_is_the_same() {
        let document = json!({
            "swagger": "2.0", "info": {"title": "t"}, "consumes": ["a"],
            "paths": {"/a": {"get": {"$ref": "x"}}}, "definitions": {"A": {"type": "object"}},
            "parameters": {"p": {"in": "query"}}, "responses": {"r": {"description": "d"}},
        });
        let text = serde_json::to_string_pretty(&document).unwrap();
        let parts = Parts::of(Json::check(text.as_bytes()).unwrap());
        let written = parts.write(document.to_string().len()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), document);
        assert_eq!(parts.write(document.to_string().len() - 1), Err(Overflow));
    }

    #[test]
    fn references_to_references_are_followed_and_circles_end() {
        let text = r##"{"parameters":{"a":{"$ref":"#/parameters/b"},"b":{"in":"query"},
            "c":{"$ref":"#/parameters/c"},"d":{"$ref":"#/parameters/nope"}}}"##;
        let parts = Parts::of(Json::part(text));
        let resolve = |name: &str| {
            let value = format!(r##"{{"$ref":"#/parameters/{name}"}}"##);
            parts.resolve(Json::part(&value)).map(|found| found.text().to_owned())
        };
        assert_eq!(resolve("a").unwrap(), r#"{"in":"query"}"#);
        assert_eq!((resolve("c"), resolve("d")), (None, None));
    }
}
