//! An OpenAPI v2 document of a backend that has no v3, in the form of OpenAPI v3.

use super::filter::Selection;
use super::json::Json;
use super::naming::FreeNames;
use super::output::{Output, Overflow, Written};
use super::parts::Parts;
use super::section::{SECTIONS, Section};
use std::borrow::Cow;
use std::collections::BTreeMap;

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// Converts the selected parts of a v2 document to OpenAPI v3 (contract §4.3), in at most `max` bytes. Parts that are
/// shared in v2 stay shared, as components; form fields, which no Kubernetes API has, are left out. All references of
/// the document must be resolvable: see [`super::naming::rename_parts`].
pub(super) fn convert_to_v3(
    parts: &Parts<'_>,
    selection: &Selection<'_>,
    max: usize,
) -> Result<Vec<u8>, Overflow> {
    let size = |named: &[(&str, &str)]| named.iter().map(|(name, text)| name.len() + text.len() + 16).sum();
    let paths: Vec<(&str, &str)> =
        selection.paths.iter().filter_map(|path| Some((*path, parts.paths.get(*path)?.as_ref()))).collect();
    let definitions = parts.section(Section::Definitions).iter();
    let schemas: Vec<(&str, &str)> = definitions
        .filter(|(name, _)| selection.has(Section::Definitions, name))
        .map(|(name, text)| (name.as_ref(), text.as_ref()))
        .collect();
    let sizes: [usize; 2] = [size(&paths), size(&schemas)];
    let mut out = Output::new(sizes.iter().sum::<usize>() + 256, max);
    let head = |key: &str| parts.head.get(key).map(|text| Json::part(text));
    let media = Media { consumes: media_types(head("consumes")), produces: media_types(head("produces")) };
    let mut converter = Converter {
        parts,
        media,
        bodies: Components::default(),
        answers: Components::default(),
        hoisted: BTreeMap::new(),
        hoisted_names: FreeNames::default(),
    };
    out.object(|out| {
        out.key("openapi")?;
        out.string("3.0.0")?;
        out.key("info")?;
        out.value(head("info").unwrap_or(Json::part(r#"{"title":"","version":""}"#)))?;
        out.key("paths")?;
        out.object(|out| {
            paths.iter().try_for_each(|(path, item)| {
                out.key(path)?;
                converter.path_item(out, Json::part(item))
            })
        })?;
        out.key("components")?;
        out.object(|out| {
            out.key("schemas")?;
            out.object(|out| {
                schemas.iter().try_for_each(|(name, text)| {
                    out.key(name)?;
                    schema(out, Json::part(text))
                })
            })?;
            converter.components(out, selection)
        })
    })?;
    Ok(out.finish())
}

/// The media types of bodies if an operation names none.
struct Media {
    consumes: Option<Vec<String>>,
    produces: Option<Vec<String>>,
}

/// Bodies or responses that several operations share, by the shared part and the media types in which they are used.
#[derive(Default)]
struct Components {
    names: BTreeMap<(String, Vec<String>), String>,
    free: FreeNames,
}

impl Components {
    fn name(&mut self, shared: &str, media: &[String]) -> String {
        let key = (shared.to_owned(), media.to_owned());
        if let Some(name) = self.names.get(&key) {
            return name.clone();
        }
        let name = self.free.find(shared, |_| false);
        self.names.insert(key, name.clone());
        name
    }
}

/// A use of a parameter: a reference to a shared one, or the parameter itself.
struct Used<'a> {
    /// The name of the shared parameter.
    shared: Option<String>,
    place: Cow<'a, str>,
    value: Json<'a>,
}

struct Converter<'a> {
    parts: &'a Parts<'a>,
    media: Media,
    bodies: Components,
    answers: Components,
    /// Bodies that are declared at a path and belong to each of its operations: the text, and the name as a
    /// component.
    hoisted: BTreeMap<&'a str, String>,
    hoisted_names: FreeNames,
}

impl<'a> Converter<'a> {
    fn path_item(&mut self, out: &mut Output, item: Json<'a>) -> Written {
        let mut common = self.used(item.get("parameters"));
        for body in common.iter_mut().filter(|used| used.place == "body") {
            self.hoist(body);
        }
        out.object(|out| {
            item.members().into_iter().try_for_each(|(key, value)| match key.as_ref() {
                "parameters" => self.parameters(out, &common),
                method if METHODS.contains(&method) => {
                    out.key(method)?;
                    self.operation(out, value, &common)
                }
                _ => {
                    out.key(&key)?;
                    schema(out, value)
                }
            })
        })
    }

    /// Makes a component of a body that several operations use.
    fn hoist(&mut self, body: &mut Used<'a>) {
        if body.shared.is_some() {
            return;
        }
        let text = body.value.text();
        if !self.hoisted.contains_key(text) {
            let taken = |name: &str| self.parts.section(Section::Parameters).contains_key(name);
            let name = self.hoisted_names.find("body", taken);
            self.hoisted.insert(text, name);
        }
        body.shared = self.hoisted.get(text).cloned();
    }

    /// `common` are the parameters of the path; a body among them belongs to every operation.
    fn operation(&mut self, out: &mut Output, operation: Json<'a>, common: &[Used<'a>]) -> Written {
        let own = |key: &str, fallback: &Option<Vec<String>>| {
            let types = media_types(operation.get(key)).or_else(|| fallback.clone());
            types.unwrap_or_else(|| vec!["application/json".to_owned()])
        };
        let (consumes, produces) =
            (own("consumes", &self.media.consumes), own("produces", &self.media.produces));
        let parameters = self.used(operation.get("parameters"));
        let is_body = |used: &&Used<'_>| used.place == "body";
        out.object(|out| {
            for (key, value) in operation.members() {
                match key.as_ref() {
                    "consumes" | "produces" | "schemes" => {}
                    "parameters" => self.parameters(out, &parameters)?,
                    "responses" => {
                        out.key("responses")?;
                        self.responses(out, value, &produces)?;
                    }
                    _ => {
                        out.key(&key)?;
                        schema(out, value)?;
                    }
                }
            }
            match parameters.iter().find(is_body).or_else(|| common.iter().find(is_body)) {
                Some(body) => self.body(out, body, &consumes),
                None => Ok(()),
            }
        })
    }

    /// Leaves out references without a target.
    fn used(&self, all: Option<Json<'a>>) -> Vec<Used<'a>> {
        let use_of = |value: Json<'a>| {
            let found = self.parts.resolve(value)?;
            let shared = self.shared_name(value, Section::Parameters);
            let place = found.get("in").and_then(Json::string)?;
            Some(Used { shared, place, value: found })
        };
        all.map(Json::items).into_iter().flatten().filter_map(use_of).collect()
    }

    /// The name of the shared part that a value refers to.
    fn shared_name(&self, value: Json<'_>, section: Section) -> Option<String> {
        let reference = value.get("$ref").and_then(Json::string)?;
        let (found, target) = self.parts.find(&reference)?;
        (found == section && target.inside.is_empty()).then(|| target.name.into_owned())
    }

    fn parameters(&self, out: &mut Output, all: &[Used<'a>]) -> Written {
        let mut in_place = all.iter().filter(|used| is_in_place(&used.place)).peekable();
        if in_place.peek().is_none() {
            return Ok(());
        }
        out.key("parameters")?;
        out.array(|out| {
            in_place.try_for_each(|used| match &used.shared {
                Some(name) => reference(out, &format!("#/components/parameters/{name}")),
                None => parameter(out, used.value),
            })
        })
    }

    fn body(&mut self, out: &mut Output, body: &Used<'a>, consumes: &[String]) -> Written {
        out.key("requestBody")?;
        match &body.shared {
            Some(name) => {
                let name = self.bodies.name(name, consumes);
                reference(out, &format!("#/components/requestBodies/{name}"))
            }
            None => request_body(out, body.value, consumes),
        }
    }

    fn responses(&mut self, out: &mut Output, all: Json<'a>, produces: &[String]) -> Written {
        out.object(|out| {
            all.members().into_iter().try_for_each(|(code, response)| {
                out.key(&code)?;
                if code.starts_with("x-") {
                    return out.value(response);
                }
                match self.shared_name(response, Section::Responses) {
                    Some(name) => {
                        let name = self.answers.name(&name, produces);
                        reference(out, &format!("#/components/responses/{name}"))
                    }
                    None => answer(out, response, produces),
                }
            })
        })
    }

    /// The components other than schemas.
    fn components(&self, out: &mut Output, selection: &Selection<'_>) -> Written {
        let shared = self.parts.section(Section::Parameters).iter();
        let shared = shared.filter(|(name, _)| selection.has(Section::Parameters, name));
        let shared = shared.filter_map(|(name, text)| Some((name, self.parts.resolve(Json::part(text))?)));
        let in_place =
            |value: Json<'_>| value.get("in").and_then(Json::string).is_some_and(|p| is_in_place(&p));
        let parameters: Vec<_> = shared.filter(|(_, value)| in_place(*value)).collect();
        if !parameters.is_empty() {
            out.key("parameters")?;
            out.object(|out| {
                parameters.into_iter().try_for_each(|(name, value)| {
                    out.key(name)?;
                    parameter(out, value)
                })
            })?;
        }
        self.with_media(out, "requestBodies", Section::Parameters, &self.bodies, request_body)?;
        self.with_media(out, "responses", Section::Responses, &self.answers, answer)
    }

    fn with_media(
        &self,
        out: &mut Output,
        key: &str,
        section: Section,
        components: &Components,
        write: fn(&mut Output, Json<'_>, &[String]) -> Written,
    ) -> Written {
        if components.names.is_empty() {
            return Ok(());
        }
        let hoisted: BTreeMap<&str, &str> =
            self.hoisted.iter().map(|(text, name)| (name.as_str(), *text)).collect();
        out.key(key)?;
        out.object(|out| {
            components.names.iter().try_for_each(|((shared, media), name)| {
                let text = self.parts.section(section).get(shared.as_str());
                let value = text.and_then(|text| self.parts.resolve(Json::part(text)));
                let value = value.or_else(|| hoisted.get(shared.as_str()).map(|text| Json::part(text)));
                out.key(name)?;
                write(out, value.unwrap_or(Json::part("{}")), media)
            })
        })
    }
}

fn is_in_place(place: &str) -> bool {
    matches!(place, "query" | "path" | "header")
}

fn media_types(list: Option<Json<'_>>) -> Option<Vec<String>> {
    let types = list?.items().into_iter().filter_map(Json::string).map(Cow::into_owned);
    let mut types: Vec<String> = types.collect();
    types.sort();
    types.dedup();
    (!types.is_empty()).then_some(types)
}

fn reference(out: &mut Output, target: &str) -> Written {
    out.object(|out| {
        out.key("$ref")?;
        out.string(target)
    })
}

fn request_body(out: &mut Output, parameter: Json<'_>, consumes: &[String]) -> Written {
    out.object(|out| {
        for key in ["description", "required"] {
            if let Some(value) = parameter.get(key) {
                out.key(key)?;
                out.value(value)?;
            }
        }
        content(out, parameter, consumes)
    })
}

fn answer(out: &mut Output, response: Json<'_>, produces: &[String]) -> Written {
    out.object(|out| {
        out.key("description")?;
        let text = response.get("description").and_then(Json::string);
        out.string(text.as_deref().unwrap_or_default())?;
        if response.get("schema").is_some() { content(out, response, produces) } else { Ok(()) }
    })
}

fn content(out: &mut Output, parent: Json<'_>, media: &[String]) -> Written {
    out.key("content")?;
    out.object(|out| {
        media.iter().try_for_each(|media| {
            out.key(media)?;
            out.object(|out| {
                out.key("schema")?;
                schema(out, parent.get("schema").unwrap_or(Json::part("null")))
            })
        })
    })
}

fn parameter(out: &mut Output, old: Json<'_>) -> Written {
    let is_own =
        |key: &str| matches!(key, "name" | "in" | "description" | "required") || key.starts_with("x-");
    let members = old.members();
    out.object(|out| {
        for (key, value) in members.iter().filter(|(key, _)| is_own(key)) {
            out.key(key)?;
            schema(out, *value)?;
        }
        out.key("schema")?;
        out.object(|out| {
            let shape = members.iter().filter(|(key, _)| !is_own(key));
            shape
                .filter(|(key, _)| !matches!(key.as_ref(), "collectionFormat" | "allowEmptyValue"))
                .try_for_each(|(key, value)| {
                    out.key(key)?;
                    schema(out, *value)
                })
        })
    })
}

/// A reference with siblings is wrapped: OpenAPI 3.0 ignores what stands beside a bare one.
fn schema(out: &mut Output, old: Json<'_>) -> Written {
    if !old.may_refer() {
        return out.value(old);
    }
    if old.is_array() {
        return out.array(|out| old.items().into_iter().try_for_each(|item| schema(out, item)));
    }
    if !old.is_object() {
        return out.value(old);
    }
    let members = old.members();
    let reference_at = members.iter().rposition(|(key, value)| key == "$ref" && value.is_string());
    let is_wrapped = members.len() > 1 && reference_at.is_some();
    out.object(|out| {
        for (at, (key, value)) in members.iter().enumerate() {
            match value.string().filter(|_| Some(at) == reference_at) {
                Some(target) if is_wrapped => {
                    out.key("allOf")?;
                    let others = members.iter().filter(|(key, _)| key == "allOf");
                    out.array(|out| {
                        reference(out, &moved(&target))?;
                        others.flat_map(|(_, list)| list.items()).try_for_each(|other| schema(out, other))
                    })?;
                }
                Some(target) => {
                    out.key("$ref")?;
                    out.string(&moved(&target))?;
                }
                None if is_wrapped && matches!(key.as_ref(), "allOf" | "$ref") => {}
                None => {
                    out.key(key)?;
                    schema(out, *value)?;
                }
            }
        }
        Ok(())
    })
}

fn moved(target: &str) -> Cow<'_, str> {
    let places = ["#/components/schemas/", "#/components/parameters/", "#/components/responses/"];
    SECTIONS
        .into_iter()
        .zip(places)
        .find_map(|(section, place)| {
            Some(format!("{place}{}", target.strip_prefix(section.prefix())?).into())
        })
        .unwrap_or(Cow::Borrowed(target))
}
#[cfg(test)]
mod tests {
    use super::super::filter::{OwnKinds, select};
    use super::*;
    use crate::model::group_version::GroupVersion;
    use serde_json::{Value, json};

    fn convert_within(v2: &Value, max: usize) -> Result<Value, Overflow> {
        let text = v2.to_string();
        let parts = Parts::of(Json::part(&text));
        let kept = GroupVersion::new("x", "v1");
        let own = OwnKinds::of(&parts, &[kept.clone()].into());
        let selection = select(&parts, &own, &[(0, &kept)]);
        Ok(serde_json::from_slice(&convert_to_v3(&parts, &selection, max)?).unwrap())
    }

    fn convert(v2: &Value) -> Value {
        convert_within(v2, 1 << 20).unwrap()
    }

    #[test]
    fn a_v2_document_says_the_same_in_v3() {
        let v2 = json!({
            "swagger": "2.0",
            "info": {"title": "old", "version": "v1"},
            "paths": {"/apis/x/v1/things": {
                "parameters": [{"$ref": "#/parameters/pretty"}, {"in": "header", "name": "h", "type": "string", "required": true}],
                "post": {
                    "consumes": ["*/*"],
                    "produces": ["application/json"],
                    "schemes": ["https"],
                    "parameters": [
                        {"in": "body", "name": "body", "required": true, "schema": {"$ref": "#/definitions/x.Thing"}},
                        {"in": "formData", "name": "f", "type": "file"}],
                    "responses": {"201": {"description": "Created", "schema": {"$ref": "#/definitions/x.Thing"}}, "401": {"description": "No"}},
                    "x-kubernetes-action": "post",
                },
            }, "/apis/y/v1/others": {}},
            "parameters": {"pretty": {"in": "query", "name": "pretty", "type": "string", "uniqueItems": true, "collectionFormat": "csv"}},
            "definitions": {"x.Thing": {"properties": {"spec": {"description": "d", "$ref": "#/definitions/x.Spec"}}}, "x.Spec": {"type": "object"}, "y": {}},
        });
        let reference = json!({"schema": {"$ref": "#/components/schemas/x.Thing"}});
        let wanted = json!({
            "openapi": "3.0.0",
            "info": {"title": "old", "version": "v1"},
            "paths": {"/apis/x/v1/things": {
                "parameters": [{"$ref": "#/components/parameters/pretty"}, {"in": "header", "name": "h", "required": true, "schema": {"type": "string"}}],
                "post": {
                    "requestBody": {"required": true, "content": {"*/*": reference}},
                    "responses": {"201": {"description": "Created", "content": {"application/json": reference}}, "401": {"description": "No"}},
                    "x-kubernetes-action": "post",
                },
            }},
            "components": {
                "schemas": {
                    "x.Thing": {"properties": {"spec": {"description": "d", "allOf": [{"$ref": "#/components/schemas/x.Spec"}]}}},
                    "x.Spec": {"type": "object"},
                },
                "parameters": {"pretty": {"in": "query", "name": "pretty", "schema": {"type": "string", "uniqueItems": true}}},
            },
        });
        assert_eq!(convert(&v2), wanted);
    }

    #[test]
    fn what_is_shared_in_v2_is_written_once() {
        let long = "x".repeat(20_000);
        let shared = |name: &str| json!({"$ref": format!("#/parameters/{name}")});
        let operation = |media: &str| {
            json!({"consumes": [media], "parameters": [shared("body"), shared("form")],
            "responses": {"200": {"$ref": "#/responses/ok"}, "201": {"$ref": "#/responses/ok"}}})
        };
        let item = |n: u32| {
            let own = json!({"in": "body", "name": "b", "schema": {"description": long}});
            let both = [shared("query"), if n.is_multiple_of(2) { shared("other") } else { own }];
            let item = json!({"parameters": both, "post": operation("a/b"), "patch": operation("c/d"), "put": {}, "delete": {}});
            (format!("/apis/x/v1/{n}"), item)
        };
        let paths: serde_json::Map<_, _> = (0..500).map(item).collect();
        let v2 = json!({
            "swagger": "2.0", "paths": paths, "produces": ["e/f", "a/b"],
            "parameters": {
                "query": {"in": "query", "name": "q", "description": long, "type": "string"},
                "body": {"in": "body", "name": "b", "description": long, "schema": {"type": "object"}},
                "other": {"in": "body", "name": "b", "description": long, "required": true},
                "form": {"in": "formData", "name": "f"},
            },
            "responses": {"ok": {"description": long, "schema": {"type": "object"}}},
        });
        let v3 = convert(&v2);
        let components = v3["components"].as_object().unwrap();
        let names =
            |section: &str| components[section].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names("parameters"), ["query"]);
        assert_eq!(names("requestBodies").len(), 4, "{:?}", names("requestBodies"));
        assert_eq!(names("responses"), ["ok"]);
        let of_ok = &v3["components"]["responses"]["ok"]["content"];
        assert_eq!(
            of_ok,
            &json!({"a/b": {"schema": {"type": "object"}}, "e/f": {"schema": {"type": "object"}}})
        );
        // Every reference has a target.
        let text = v3.to_string();
        let mut count = 0;
        super::super::section::each_reference(Json::part(&text), &mut |target| {
            count += 1;
            assert!(v3.pointer(&target[1..]).is_some(), "{target}");
        });
        assert_eq!(count, 500 * (1 + 2 * 3 + 2));
        let body = |method: &str, path: &str| {
            v3["paths"][path][method]["requestBody"]["$ref"].as_str().unwrap().to_owned()
        };
        let media =
            |reference: &str| v3.pointer(&format!("{}/content", &reference[1..])).unwrap().to_string();
        assert!(media(&body("post", "/apis/x/v1/0")).contains("a/b"));
        assert!(media(&body("patch", "/apis/x/v1/0")).contains("c/d"));
        assert_eq!(v3.pointer(&format!("{}/required", &body("put", "/apis/x/v1/0")[1..])).unwrap(), true);
        assert_ne!(body("put", "/apis/x/v1/0"), body("put", "/apis/x/v1/1"));
        assert!(v3["paths"]["/apis/x/v1/0"]["post"].get("parameters").is_none(), "no form fields");
    }

    /// Takes minutes if the work is quadratic.
    #[test]
    fn many_bodies_and_media_types_become_as_many_components() {
        let path = |n: u32| {
            let own = json!({"in": "body", "name": "b", "schema": {"maxLength": n}});
            let shared = json!({"$ref": "#/parameters/shared"});
            let item = json!({"parameters": [own], "post": {}, "put": {"consumes": [format!("a/{n}")], "parameters": [shared]}});
            (format!("/apis/x/v1/{n}"), item)
        };
        let paths: serde_json::Map<_, _> = (0..10_000).map(path).collect();
        let v2 =
            json!({"swagger": "2.0", "paths": paths, "parameters": {"shared": {"in": "body", "name": "b"}}});
        let v3 = convert_within(&v2, 1 << 26).unwrap();
        assert_eq!(v3["components"]["requestBodies"].as_object().unwrap().len(), 20_000);
    }

    #[test]
    fn the_limit_is_one_of_the_result() {
        // Each operation has every media type of the document, so the result is a hundred times as large as the
        // source.
        let media: Vec<String> = (0..300).map(|n| format!("application/{n}")).collect();
        let schema = json!({"description": "x".repeat(1000)});
        let operation = json!({"parameters": [{"in": "body", "name": "b", "schema": schema}]});
        let v2 = json!({"swagger": "2.0", "consumes": media, "paths": {"/apis/x/v1/a": {"post": operation}}});
        let size = convert(&v2).to_string().len();
        assert!(size > 20 * v2.to_string().len(), "{size}");
        assert!(convert_within(&v2, size).is_ok());
        assert_eq!(convert_within(&v2, size - 1), Err(Overflow));
    }

    #[test]
    fn a_reference_beside_all_of_joins_it() {
        let v2 = json!({"swagger": "2.0", "definitions": {"A": {
            "x-kubernetes-group-version-kind": [{"group": "x", "version": "v1"}],
            "allOf": [{"type": "object"}, {"$ref": "#/definitions/B"}], "$ref": "#/definitions/B"}, "B": {}}});
        let all = &convert(&v2)["components"]["schemas"]["A"]["allOf"];
        let b = json!({"$ref": "#/components/schemas/B"});
        assert_eq!(*all, json!([b, {"type": "object"}, b]));
    }
}
