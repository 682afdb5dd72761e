//! The settings schema that a plugin returns from `describe`, and the validation of settings against it.
//!
//! A schema comes from a component, so it may be hostile: it must cost little memory, little time and no stack. So
//! its references, its size with every reference expanded, and the size of its patterns are checked before the
//! library reads it. References that form a cycle are rejected for the same reason.

use crate::model::spelling::did_you_mean;
use boon::{Compiler, ErrorKind, SchemaIndex, Schemas, UrlLoader, ValidationError};
use regex::RegexBuilder;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Maximum size of a schema's text in bytes.
const TEXT_MAX: usize = 64 << 10;
/// Maximum number of subschemas, counted with every reference replaced by its target.
const PARTS_MAX: usize = 4_096;
/// Maximum depth of nesting.
const DEPTH_MAX: usize = 64;
/// Maximum number of patterns in a schema, and the memory for each compiled one.
const PATTERNS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 256 << 10;
/// Maximum number of errors that are listed.
const PROBLEMS_MAX: usize = 64;
/// The name under which the library knows the schema.
const ADDRESS: &str = "umbel:///settings.json";
/// Dialects that the library supports without loading another document.
const DIALECTS: [&str; 6] = [
    "json-schema.org/draft/2020-12/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft-06/schema",
    "json-schema.org/draft-04/schema",
    "json-schema.org/schema",
];
/// Keywords whose value holds one schema for each of its names.
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "dependencies"];
/// Keywords whose value is data, or holds schemas that count only as targets of references.
const SKIPPED: [&str; 6] = ["enum", "const", "default", "examples", "$defs", "definitions"];
/// Keywords that could change the target of a reference, so that another place would be checked here.
const REFUSED: [&str; 6] =
    ["$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary"];

/// An error in settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaProblem {
    /// JSON pointer into the settings, `""` for the whole document.
    pub path: String,
    /// The error, with a correct value.
    pub message: String,
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its settings schema {0}")]
pub struct SchemaFault(String);

/// Validates settings against the schema that a plugin provides: all errors, sorted by place. Pure; used by the
/// gateway and by the commands for plugin authors.
///
/// # Errors
/// Why the schema itself cannot be used.
pub fn check_settings(schema: &str, settings: &Value) -> Result<Vec<SchemaProblem>, SchemaFault> {
    // In some languages an empty text is the only way to provide no schema.
    if schema.trim().is_empty() {
        return Ok(Vec::new());
    }
    let document = read(schema)?;
    let (schemas, index) = compile(&document)?;
    let mut problems = BTreeSet::new();
    if let Err(error) = schemas.validate(settings, index) {
        collect(&error, &document, &mut problems);
    }
    Ok(problems.into_iter().take(PROBLEMS_MAX).collect())
}

fn read(text: &str) -> Result<Value, SchemaFault> {
    if text.len() > TEXT_MAX {
        return Err(SchemaFault(format!("has {} bytes; {TEXT_MAX} are the limit", text.len())));
    }
    let document: Value =
        serde_json::from_str(text).map_err(|error| SchemaFault(format!("is not JSON: {error}")))?;
    if let Some(dialect) = document.get("$schema") {
        let name = dialect.as_str().unwrap_or_default().trim_end_matches('#');
        let name = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or_default();
        if !DIALECTS.contains(&name) {
            let usual = format!("https://{}", DIALECTS[0]);
            return Err(SchemaFault(format!("names the unknown dialect {dialect}; write {usual:?}")));
        }
    }
    let mut measure = Measure { document: &document, parts: 0, patterns: BTreeSet::new(), open: Vec::new() };
    measure.schema(&document, "#")?;
    Ok(document)
}

/// Measures the expanded size of a schema.
struct Measure<'a> {
    document: &'a Value,
    parts: usize,
    patterns: BTreeSet<&'a str>,
    /// The references that are being followed.
    open: Vec<&'a str>,
}

impl<'a> Measure<'a> {
    fn schema(&mut self, schema: &'a Value, place: &str) -> Result<(), SchemaFault> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(SchemaFault(format!("amounts to more than {PARTS_MAX} schemas")));
        }
        if place.bytes().filter(|byte| *byte == b'/').count() > DEPTH_MAX {
            return Err(SchemaFault(format!("is nested deeper than {DEPTH_MAX} levels")));
        }
        let Value::Object(keywords) = schema else { return Ok(()) };
        for (keyword, value) in keywords {
            self.keyword(keyword, value, place)?;
        }
        Ok(())
    }

    fn keyword(&mut self, keyword: &str, value: &'a Value, place: &str) -> Result<(), SchemaFault> {
        let below = |name: &str| format!("{place}/{}", name.replace('/', "~1"));
        if REFUSED.contains(&keyword) || (["$id", "id"].contains(&keyword) && place != "#") {
            return Err(SchemaFault(format!("uses {keyword} at {place}, which gateways do not support")));
        }
        match (keyword, value) {
            ("$ref", Value::String(reference)) => self.follow(reference, place),
            ("pattern", Value::String(pattern)) => self.pattern(pattern, place),
            (_, Value::Object(named)) if NAMED.contains(&keyword) => {
                self.named(keyword, named, &below(keyword))
            }
            (_, Value::Object(_)) if !SKIPPED.contains(&keyword) => self.schema(value, &below(keyword)),
            (_, Value::Array(list)) if !SKIPPED.contains(&keyword) => list
                .iter()
                .filter(|part| part.is_object())
                .try_for_each(|part| self.schema(part, &below(keyword))),
            _ => Ok(()),
        }
    }

    fn named(
        &mut self,
        keyword: &str,
        named: &'a Map<String, Value>,
        place: &str,
    ) -> Result<(), SchemaFault> {
        for (name, schema) in named {
            if keyword == "patternProperties" {
                self.pattern(name, place)?;
            }
            self.schema(schema, &format!("{place}/-"))?;
        }
        Ok(())
    }

    fn follow(&mut self, reference: &'a str, place: &str) -> Result<(), SchemaFault> {
        let pointer =
            reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let Some(target) = pointer.and_then(|pointer| self.document.pointer(pointer)) else {
            return Err(SchemaFault(format!(
                "refers to {reference:?} at {place}; write a reference within the schema, such as #/$defs/name"
            )));
        };
        if self.open.contains(&reference) {
            return Err(SchemaFault(format!(
                "refers to itself through {reference:?}, which gateways do not support"
            )));
        }
        self.open.push(reference);
        self.schema(target, &format!("{place}/$ref"))?;
        self.open.pop();
        Ok(())
    }

    fn pattern(&mut self, pattern: &'a str, place: &str) -> Result<(), SchemaFault> {
        if !self.patterns.insert(pattern) {
            return Ok(());
        }
        if self.patterns.len() > PATTERNS_MAX {
            return Err(SchemaFault(format!("has more than {PATTERNS_MAX} patterns")));
        }
        match RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build() {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = format!("has a pattern at {place} that gateways do not support: {error}");
                Err(SchemaFault(text))
            }
        }
    }
}

/// Rejects references to other documents: a schema must not make the gateway read its files.
struct NoLoader;

impl UrlLoader for NoLoader {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("{url} is not loaded").into())
    }
}

fn compile(document: &Value) -> Result<(Schemas, SchemaIndex), SchemaFault> {
    // The address is set here; an identifier in the schema would change the targets of references.
    let mut document = document.clone();
    if let Value::Object(keywords) = &mut document {
        keywords.remove("$id");
        keywords.remove("id");
    }
    let unusable = |error: &dyn std::fmt::Display| {
        let text = error.to_string().replace(ADDRESS, "");
        SchemaFault(format!(
            "is not a JSON Schema: {}",
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        ))
    };
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.use_loader(Box::new(NoLoader));
    compiler.add_resource(ADDRESS, document).map_err(|error| unusable(&error))?;
    let index = compiler.compile(ADDRESS, &mut schemas).map_err(|error| match &error {
        boon::CompileError::ValidationError { src, .. } => unusable(src),
        other => unusable(other),
    })?;
    Ok((schemas, index))
}

/// Collects the innermost errors. If all alternatives fail, only the choice itself is reported: the errors of each
/// alternative say little about the intended one.
fn collect(error: &ValidationError<'_, '_>, document: &Value, problems: &mut BTreeSet<SchemaProblem>) {
    if problems.len() >= PROBLEMS_MAX {
        return;
    }
    let path = error.instance_location.to_string();
    let mut add = |path: String, message: String| {
        problems.insert(SchemaProblem { path, message });
    };
    match &error.kind {
        ErrorKind::AdditionalProperties { got } => {
            let known = known_properties(error.schema_url, document);
            for name in got {
                let hint = match did_you_mean(name, known.iter().copied()) {
                    Some(near) => format!("; did you mean {near:?}?"),
                    None if known.is_empty() => String::new(),
                    None => format!("; known are {}", known.join(", ")),
                };
                add(format!("{path}/{}", escape(name)), format!("unknown{hint}"));
            }
        }
        ErrorKind::Required { want } => {
            want.iter().for_each(|name| add(path.clone(), format!("{name:?} is missing")));
        }
        ErrorKind::AnyOf | ErrorKind::OneOf(None) => {
            let expected = alternatives(error);
            let expected = if expected.is_empty() { String::new() } else { format!(": {expected}") };
            add(path, format!("fits none of the alternatives{expected}"));
        }
        ErrorKind::OneOf(Some(_)) => add(path, "fits more than one of the alternatives".to_owned()),
        ErrorKind::Not => add(path, "is what the schema excludes".to_owned()),
        ErrorKind::FalseSchema => add(path, "must not be there".to_owned()),
        _ if !error.causes.is_empty() => {
            error.causes.iter().for_each(|cause| collect(cause, document, problems));
        }
        kind => add(path, kind.to_string()),
    }
}

/// The requirements of the alternatives, if they concern the same place.
fn alternatives(error: &ValidationError<'_, '_>) -> String {
    fn leaf<'a>(error: &'a ValidationError<'a, 'a>) -> &'a ValidationError<'a, 'a> {
        error.causes.first().map_or(error, leaf)
    }
    let place = error.instance_location.to_string();
    let wanted = error.causes.iter().map(leaf).filter(|leaf| leaf.instance_location.to_string() == place);
    let wanted: BTreeSet<String> = wanted.map(|leaf| leaf.kind.to_string()).collect();
    wanted.into_iter().collect::<Vec<_>>().join(", or ")
}

fn known_properties<'a>(schema_url: &str, document: &'a Value) -> Vec<&'a str> {
    let pointer = schema_url.split_once('#').map_or("", |(_, pointer)| pointer);
    let properties = document.pointer(pointer).and_then(|schema| schema.get("properties")?.as_object());
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SCHEMA: &str = r##"{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/settings",
        "type": "object",
        "additionalProperties": false,
        "required": ["zone"],
        "properties": {
            "zone": {"type": "string", "minLength": 1, "pattern": "^[a-z.]+$"},
            "ports": {"type": "array", "items": {"$ref": "#/$defs/port"}},
            "default": {"anyOf": [{"type": "integer"}, {"enum": ["none"]}]},
            "tls": {"type": "object", "additionalProperties": false, "properties": {"serverName": {"type": "string"}}}
        },
        "$defs": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}}
    }"##;

    fn told(schema: &str, settings: &Value) -> Vec<String> {
        let problems = check_settings(schema, settings).unwrap();
        problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn settings_that_fit_have_no_problems() {
        for settings in [
            json!({"zone": "a.b"}),
            json!({"zone": "a", "ports": [1, 65535], "default": "none", "tls": {"serverName": "x"}}),
        ] {
            assert_eq!(told(SCHEMA, &settings), Vec::<String>::new());
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let settings =
            json!({"zon": "x", "ports": [0, "80", 70000], "default": true, "tls": {"servername": 1}});
        assert_eq!(
            told(SCHEMA, &settings),
            [
                ": \"zone\" is missing",
                "/default: fits none of the alternatives: value must be 'none', or want integer, but got boolean",
                "/ports/0: must be >=1, but got 0",
                "/ports/1: want integer, but got string",
                "/ports/2: must be <=65535, but got 70000",
                "/tls/servername: unknown; did you mean \"serverName\"?",
                "/zon: unknown; did you mean \"zone\"?",
            ]
        );
        assert_eq!(told(SCHEMA, &json!({"zone": "A"})).len(), 1);
        assert_eq!(told("false", &json!({})), [": must not be there"]);
        assert_eq!(told(" ", &json!({"a": 1})), [""; 0], "no schema");
    }

    #[test]
    fn a_schema_that_cannot_be_used_says_why() {
        let nested = format!("{}true{}", "{\"not\":".repeat(70), "}".repeat(70));
        let wide =
            json!({"properties": (0..5_000).map(|n| (n.to_string(), json!(true))).collect::<Map<_, _>>()});
        let patterns = (0..70).map(|n| (format!("^{n}$"), json!(true))).collect::<Map<_, _>>();
        let doubling: Map<String, Value> = (0..13)
            .map(|n| {
                let next = json!({"$ref": format!("#/$defs/a{}", n + 1)});
                (format!("a{n}"), json!({"allOf": [next, next]}))
            })
            .chain([("a13".to_owned(), json!(true))])
            .collect();
        for (schema, says) in [
            ("{".to_owned(), "is not JSON"),
            (json!({"type": "strin"}).to_string(), "is not a JSON Schema"),
            (json!({"$schema": "https://example.com/own"}).to_string(), "unknown dialect"),
            (json!({"$ref": "#"}).to_string(), "refers to itself"),
            (
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}).to_string(),
                "itself",
            ),
            (json!({"$ref": "file:///etc/passwd"}).to_string(), "a reference within the schema"),
            (json!({"$ref": "#/$defs/none"}).to_string(), "a reference within the schema"),
            (json!({"$dynamicRef": "#a"}).to_string(), "$dynamicRef"),
            (json!({"items": {"$id": "https://x.test/"}}).to_string(), "$id"),
            (json!({"pattern": "(a"}).to_string(), "a pattern"),
            (json!({"pattern": "\\w{1000}\\w{1000}"}).to_string(), "a pattern"),
            (json!({"patternProperties": patterns}).to_string(), "more than 64 patterns"),
            (wide.to_string(), "more than 4096 schemas"),
            (json!({"$ref": "#/$defs/a0", "$defs": doubling}).to_string(), "more than 4096 schemas"),
            (nested, "deeper than"),
            ("[".repeat(TEXT_MAX + 1), "65536 are the limit"),
        ] {
            let fault = check_settings(&schema, &json!({})).unwrap_err().to_string();
            assert!(fault.contains(says), "{schema:.200}: {fault}");
        }
    }

    #[test]
    fn a_property_may_have_the_name_of_a_keyword() {
        let schema = json!({"properties": {"$ref": {"type": "string"}, "pattern": {"type": "integer"},
            "const": {"type": "string"}}, "const": {"$ref": "x", "pattern": 1, "const": "y"}});
        let settings = json!({"$ref": "x", "pattern": 1, "const": "y"});
        assert_eq!(told(&schema.to_string(), &settings), Vec::<String>::new());
        assert!(!told(&schema.to_string(), &json!({"$ref": 1})).is_empty());
    }

    #[test]
    fn only_so_many_problems_are_listed() {
        let schema = json!({"items": {"type": "string"}}).to_string();
        let settings = Value::Array(vec![json!(1); 1_000]);
        assert_eq!(check_settings(&schema, &settings).unwrap().len(), PROBLEMS_MAX);
    }
}
