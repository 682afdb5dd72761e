//! The settings on which schema and plugin are compared.

use super::instances::{Property, Role, fullest, properties, required_part, smallest, stated, with};
use super::{Disagreement, Verdict, Written, schema_words};
use crate::plugin::{SchemaFault, SchemaProblem, SettingsProblem, check_settings};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Maximum number of calls: each makes an instance.
const CALLS_MAX: usize = 128;
/// Maximum number of settings in which a value is tried.
const BASES_MAX: usize = 4;
/// Maximum number of disagreements that are reported.
const FOUND_MAX: usize = 16;

/// A schema and a plugin that are compared.
pub(super) struct Probes<'a, F> {
    schema: &'a str,
    document: Value,
    validate: F,
    answers: BTreeMap<String, Verdict>,
    /// Settings that both accept.
    bases: Vec<Value>,
    found: Vec<Disagreement>,
}

impl<'a, F: FnMut(&Value) -> Verdict> Probes<'a, F> {
    /// # Errors
    /// Why the schema cannot be used. A gateway reports the same.
    pub(super) fn new(schema: &'a str, validate: F) -> Result<Self, SchemaFault> {
        check_settings(schema, &json!({}))?;
        // A blank text is no schema: it accepts everything.
        let document = serde_json::from_str(schema).unwrap_or_default();
        Ok(Self {
            schema,
            document,
            validate,
            answers: BTreeMap::new(),
            bases: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Everything on which they disagree.
    pub(super) fn run(&mut self, written: &[Written]) -> Vec<Disagreement> {
        let document = self.document.clone();
        written.iter().filter(|one| one.is_meant).for_each(|one| self.try_written(one));
        for (role, settings) in stated(&document) {
            self.try_whole(role, settings);
        }
        self.choose_bases(written);
        self.try_required();
        for property in properties(&document) {
            for (role, value) in property.stated() {
                self.try_stated(&property, role, &value);
            }
            self.try_types(&property);
        }
        self.found.truncate(FOUND_MAX);
        std::mem::take(&mut self.found)
    }

    fn problems(&self, settings: &Value) -> Vec<SchemaProblem> {
        check_settings(self.schema, settings).unwrap_or_default()
    }

    fn ask(&mut self, settings: &Value) -> Verdict {
        let key = settings.to_string();
        if let Some(known) = self.answers.get(&key) {
            return known.clone();
        }
        if self.answers.len() >= CALLS_MAX {
            return Verdict::Unclear;
        }
        let verdict = (self.validate)(settings);
        self.answers.insert(key, verdict.clone());
        verdict
    }

    fn add(&mut self, place: String, settings: Value, verdict: &Verdict, hint: String) {
        let schema = schema_words(&self.problems(&settings));
        self.push(Disagreement { place, settings, schema, validate: verdict.words(), hint });
    }

    fn push(&mut self, disagreement: Disagreement) {
        if self.found.iter().all(|known| known.settings != disagreement.settings) {
            self.found.push(disagreement);
        }
    }

    /// Settings that the author uses. If `validate` rejects them, they are wrong, not the schema.
    fn try_written(&mut self, written: &Written) {
        let Written { place, settings, .. } = written;
        let problems = self.problems(settings);
        if !problems.is_empty() && self.ask(settings) == Verdict::Accepts {
            self.push(Disagreement::only_accepted_by_plugin(place, settings.clone(), &problems));
        }
    }

    /// Complete settings that the schema states.
    fn try_whole(&mut self, role: Role, settings: Value) {
        let noun = role.noun();
        let verdict = self.ask(&settings);
        let hint = if !self.problems(&settings).is_empty() {
            format!("correct the {noun} in the schema, or the rule that rejects it")
        } else if matches!(verdict, Verdict::Rejects(_)) {
            format!("let validate accept the {noun}, or change it in the schema")
        } else {
            return;
        };
        self.add(format!("{noun} of the schema"), settings, &verdict, hint);
    }

    /// Collects settings that both accept, the author's first.
    fn choose_bases(&mut self, written: &[Written]) {
        let document = &self.document;
        let whole = stated(document).into_iter().map(|(_, settings)| settings);
        let derived = [json!({}), smallest(document), fullest(document)];
        let mut known: Vec<Value> = written.iter().map(|one| one.settings.clone()).chain(whole).collect();
        known.truncate(2 * BASES_MAX);
        for settings in known.into_iter().chain(derived) {
            if self.bases.len() < BASES_MAX
                && !self.bases.contains(&settings)
                && self.problems(&settings).is_empty()
                && self.ask(&settings) == Verdict::Accepts
            {
                self.bases.push(settings);
            }
        }
    }

    /// Whether the plugin requires a setting that is optional in the schema.
    fn try_required(&mut self) {
        for base in self.bases.clone() {
            let rest = required_part(&self.document, &base);
            let verdict = self.ask(&rest);
            if rest == base || !self.problems(&rest).is_empty() || !matches!(verdict, Verdict::Rejects(_)) {
                continue;
            }
            let keys = base.as_object().into_iter().flatten().map(|(key, _)| key);
            let optional: Vec<String> = keys.filter(|key| rest.get(*key).is_none()).cloned().collect();
            let needed: Vec<String> = optional
                .into_iter()
                .filter(|key| matches!(self.ask(&without(&base, key)), Verdict::Rejects(_)))
                .collect();
            let hint = match needed.is_empty() {
                false => format!(
                    "add {} to \"required\" in the schema, or give a default in the plugin",
                    json!(needed)
                ),
                true => "say in the schema which settings are needed, for example with \"anyOf\"".to_owned(),
            };
            let place = "only what the schema requires".to_owned();
            return self.add(place, rest, &verdict, hint);
        }
    }

    /// A value that the schema states for one setting.
    fn try_stated(&mut self, property: &Property<'_>, role: Role, value: &Value) {
        let (noun, pointer) = (role.noun(), property.pointer());
        let place = format!("{noun} of {pointer} in the schema");
        let tried = self.in_bases(property, value);
        let (fitting, unfit): (Vec<Value>, Vec<Value>) =
            tried.into_iter().partition(|settings| self.problems(settings).is_empty());
        if let (None, Some(settings)) = (fitting.first(), unfit.first()) {
            let is_here = self.problems(settings).iter().any(|one| is_at(&one.path, &pointer));
            if is_here {
                let verdict = self.ask(settings);
                let hint = format!("correct the {noun} in the schema, or the rule that rejects it");
                self.add(place, settings.clone(), &verdict, hint);
            }
            return;
        }
        let Some((settings, problems)) = self.rejected_everywhere(fitting) else { return };
        // Some choices need other settings beside them, and the plugin says which.
        if role == Role::Choice && !problems.iter().all(|one| is_at(&one.path, &pointer)) {
            return;
        }
        let hint = format!("let validate accept the {noun}, or change it in the schema");
        self.add(place, settings, &Verdict::Rejects(problems), hint);
    }

    /// Whether the plugin expects another type than the schema: it rejects every plain value that the schema accepts,
    /// and accepts one that the schema rejects.
    fn try_types(&mut self, property: &Property<'_>) {
        let pointer = property.pointer();
        if self.bases.iter().any(|base| base.pointer(&pointer).is_some()) {
            return;
        }
        let plain = self.all_in_bases(property, &property.plain());
        let fitting = plain.into_iter().filter(|settings| self.problems(settings).is_empty()).collect();
        let Some((settings, problems)) = self.rejected_everywhere(fitting) else { return };
        let others =
            [json!("example"), json!(7), json!(true), json!(["example"]), json!({"example": "example"})];
        for other in self.all_in_bases(property, &others) {
            let mistakes = self.problems(&other);
            let is_foreign = !mistakes.is_empty() && mistakes.iter().all(|one| is_at(&one.path, &pointer));
            if is_foreign && self.ask(&other) == Verdict::Accepts {
                let place = format!("a value of {pointer} that suits the schema");
                let hint = format!(
                    "validate accepts {other}, which the schema rejects: correct the type of {pointer} in one of them"
                );
                return self.add(place, settings, &Verdict::Rejects(problems), hint);
            }
        }
    }

    /// The first settings and their problems, if the plugin rejects all.
    fn rejected_everywhere(&mut self, all: Vec<Value>) -> Option<(Value, Vec<SettingsProblem>)> {
        let mut first = None;
        for settings in all {
            let Verdict::Rejects(problems) = self.ask(&settings) else { return None };
            first = first.or(Some((settings, problems)));
        }
        first
    }

    fn all_in_bases(&self, property: &Property<'_>, values: &[Value]) -> Vec<Value> {
        values.iter().flat_map(|value| self.in_bases(property, value)).collect()
    }

    fn in_bases(&self, property: &Property<'_>, value: &Value) -> Vec<Value> {
        self.bases.iter().filter_map(|base| with(base, &property.path, value.clone())).collect()
    }
}

fn without(settings: &Value, key: &str) -> Value {
    let mut rest = settings.clone();
    if let Value::Object(map) = &mut rest {
        map.remove(key);
    }
    rest
}

fn is_at(path: &str, pointer: &str) -> bool {
    path.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejects(path: &str) -> Verdict {
        Verdict::Rejects(vec![SettingsProblem { path: path.to_owned(), message: "no".to_owned() }])
    }

    /// Place, settings, and the verdicts of schema and plugin.
    fn told(schema: &Value, manifest: Option<Value>, validate: fn(&Value) -> Verdict) -> Vec<[String; 4]> {
        let place = "the manifest".to_owned();
        let written = manifest.map(|settings| Written { place, settings, is_meant: true });
        let written: Vec<Written> = written.into_iter().collect();
        let found = Probes::new(&schema.to_string(), validate).unwrap().run(&written);
        let told = |one: Disagreement| [one.place, one.settings.to_string(), one.schema, one.validate];
        found.into_iter().map(told).collect()
    }

    /// What many plugins do: one text that must not be empty.
    fn needs_zone(settings: &Value) -> Verdict {
        match settings["zone"].as_str() {
            Some(zone) if !zone.is_empty() => Verdict::Accepts,
            _ => rejects("/zone"),
        }
    }

    const NONE: [[&str; 4]; 0] = [];

    #[test]
    fn a_schema_that_says_the_same_or_more_than_the_plugin_agrees() {
        let strict = json!({"required": ["zone"], "additionalProperties": false,
            "properties": {"zone": {"type": "string", "minLength": 1}}});
        for manifest in [None, Some(json!({"zone": "a.test"})), Some(json!({"zone": 1})), Some(json!({}))] {
            assert_eq!(told(&strict, manifest, needs_zone), NONE);
        }
        assert_eq!(
            told(&strict, Some(json!({"zone": "a"})), |_| Verdict::Accepts),
            NONE,
            "the schema is enough"
        );
        // What a schema cannot express well is left to the plugin.
        let loose = json!({"required": ["zone"], "properties": {"zone": {"type": "string"}, "port": {"type": "integer"}}});
        assert_eq!(told(&loose, None, needs_zone), NONE);
        let odd = |settings: &Value| {
            if settings.get("port").is_some() { rejects("/port") } else { needs_zone(settings) }
        };
        assert_eq!(told(&loose, None, odd), NONE);
    }

    #[test]
    fn settings_of_the_author_that_only_the_plugin_accepts_are_told() {
        let schema = json!({"properties": {"zone": {"type": "integer"}}});
        let found = told(&schema, Some(json!({"zone": "a"})), needs_zone);
        let wanted =
            ["the manifest", r#"{"zone":"a"}"#, "rejects: /zone: want integer, but got string", "accepts"];
        assert_eq!(found, [wanted]);
    }

    #[test]
    fn a_setting_that_only_the_plugin_requires_is_told() {
        let schema = json!({"properties": {"zone": {"type": "string"}, "more": {"type": "string"}}});
        let manifest = json!({"zone": "a", "more": "b"});
        let probes = Probes::new(&schema.to_string(), needs_zone).unwrap().run(&[Written {
            place: String::new(),
            settings: manifest,
            is_meant: true,
        }]);
        assert_eq!(probes.len(), 1, "{probes:?}");
        assert_eq!((&probes[0].settings, probes[0].validate.as_str()), (&json!({}), "rejects: /zone: no"));
        assert!(probes[0].hint.starts_with(r#"add ["zone"] to "required""#), "{}", probes[0].hint);
    }

    #[test]
    fn values_that_the_schema_states_must_be_accepted() {
        let positive = |settings: &Value| match settings.get("n").map(Value::as_i64) {
            None | Some(Some(1..)) => Verdict::Accepts,
            _ => rejects("/n"),
        };
        for (property, place) in [
            (json!({"type": "integer", "default": 0}), "default of /n in the schema"),
            (json!({"type": "integer", "examples": [3, 0]}), "example of /n in the schema"),
            (json!({"enum": [1, 0]}), "enum value of /n in the schema"),
        ] {
            let found = told(&json!({"properties": {"n": property}}), None, positive);
            assert_eq!(found, [[place, r#"{"n":0}"#, "accepts", "rejects: /n: no"]]);
        }
        let own = json!({"properties": {"n": {"type": "integer", "minimum": 1, "default": 0}}});
        let found = told(&own, None, positive);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0][2].contains("must be >=1") && found[0][3] == "rejects: /n: no", "{found:?}");
        let whole = json!({"examples": [{"n": 0}]});
        assert_eq!(told(&whole, None, positive)[0][0], "example of the schema");
        // A choice that needs another setting beside it, as the plugin says.
        let needs_other = |settings: &Value| match settings["n"].as_i64() {
            Some(2) if settings.get("other").is_none() => rejects("/other"),
            _ => Verdict::Accepts,
        };
        assert_eq!(told(&json!({"properties": {"n": {"enum": [1, 2]}}}), None, needs_other), NONE);
    }

    #[test]
    fn a_type_that_suits_only_one_of_them_is_told() {
        let schema = json!({"properties": {"zone": {"type": "integer"}}});
        let text = |settings: &Value| match settings.get("zone") {
            None | Some(Value::String(_)) => Verdict::Accepts,
            _ => rejects("/zone"),
        };
        let found = told(&schema, None, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0][..2], ["a value of /zone that suits the schema", r#"{"zone":1}"#]);
    }

    #[test]
    fn an_unclear_answer_and_an_unusable_schema_are_not_told() {
        let schema = json!({"examples": [{}], "properties": {"n": {"default": 1}}});
        assert_eq!(told(&schema, Some(json!({})), |_| Verdict::Unclear), NONE);
        assert!(Probes::new("{", |_| Verdict::Accepts).is_err());
        assert_eq!(Probes::new(" ", |_| Verdict::Accepts).unwrap().run(&[]), []);
    }

    #[test]
    fn calls_are_limited() {
        let many: serde_json::Map<String, Value> =
            (0..64).map(|n| (format!("k{n}"), json!({"enum": (0..16).collect::<Vec<_>>()}))).collect();
        let (schema, mut calls) = (json!({"properties": many}).to_string(), 0);
        Probes::new(&schema, |_| {
            calls += 1;
            Verdict::Accepts
        })
        .unwrap()
        .run(&[]);
        assert_eq!(calls, CALLS_MAX);
    }
}
