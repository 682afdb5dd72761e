//! Running cases against a component.

use super::case_file::{Ask, Case};
use super::compare::{Difference, differences};
use super::expectation::parse_text;
use super::validation::validate;
use crate::assembly::plugin_commands::agreement::{Disagreement, Written, disagreements};
use crate::assembly::plugin_commands::given::Given;
use crate::model::yaml;
use crate::plugin::{CallFailure, Compiled, Metering, Refusal, Tried, Workbench};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// What came of a case.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) passed: bool,
    /// Why the case could not even be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<Refusal>,
    pub(super) differences: Vec<Difference>,
    /// A fault that the case does not expect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<UnexpectedFault>,
    /// Host calls that its world does not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unanswered: Vec<String>,
    /// What the plugin logged, shown where the case fails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) log: Vec<String>,
    /// Settings on which schema and `validate` disagree.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) disagreements: Vec<Disagreement>,
    pub(super) microseconds: u64,
}

impl Outcome {
    fn failed(file: &Path, name: &str) -> Self {
        Self {
            file: file.display().to_string(),
            name: name.to_owned(),
            passed: false,
            refusal: None,
            differences: Vec::new(),
            fault: None,
            unanswered: Vec::new(),
            log: Vec::new(),
            disagreements: Vec::new(),
            microseconds: 0,
        }
    }
}

/// A fault where the case expects something else: a fault that the plugin declared, or a failed call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct UnexpectedFault {
    /// Such as `trap`, `timeout-cpu`, `notFound` or `invalid`.
    pub(super) kind: String,
    pub(super) message: String,
}

/// Loads the component once and runs every case. If its schema and its `validate` disagree, that is one failure more.
///
/// # Errors
/// When the component itself cannot be loaded, or the manifest beside it cannot be read.
pub(super) fn run_all(given: &Given, cases: &[Case]) -> Result<Vec<Outcome>, Refusal> {
    let bench = Workbench::open(Metering::Off)?;
    let compiled = bench.compile(&given.name, &given.component)?;
    let mut outcomes: Vec<Outcome> = cases.iter().map(|case| run(given, &compiled, case)).collect();
    outcomes.extend(compare(given, &compiled, cases));
    Ok(outcomes)
}

/// Compares schema and `validate`, with the settings of every case and others.
fn compare(given: &Given, compiled: &Compiled<'_>, cases: &[Case]) -> Option<Outcome> {
    let first = manifest(given, cases.first()?).ok()?;
    let candidate = compiled.unasked(Some(&first)).ok()?;
    let written = |case: &Case| {
        let document: Value = serde_json::from_str(&manifest(given, case).ok()?).ok()?;
        let settings = document["spec"].get("settings").filter(|settings| settings.is_object());
        let settings = settings.cloned().unwrap_or_else(|| json!({}));
        let place = format!("settings of the case {:?}", case.name);
        // A case that asks `validate` says itself what it expects.
        Some(Written { place, settings, is_meant: case.ask != Ask::Validate })
    };
    let written: Vec<Written> = cases.iter().filter_map(written).collect();
    let disagreements = disagreements(&candidate, &written);
    let name = "its settings schema and its validate agree";
    (!disagreements.is_empty()).then(|| Outcome { disagreements, ..Outcome::failed(&given.file, name) })
}

fn run(given: &Given, compiled: &Compiled<'_>, case: &Case) -> Outcome {
    let mut disagreement = None;
    let answered = manifest(given, case).and_then(|manifest| match &case.ask {
        Ask::Decide(question) => {
            let candidate = compiled.candidate(Some(&manifest))?;
            let tried = candidate.ask(question, &case.world);
            Ok(shown(tried, |answer| serde_json::to_value(answer).unwrap_or_default()))
        }
        Ask::Validate => {
            let validated = validate(compiled, &manifest, &case.world)?;
            disagreement = validated.disagreement;
            Ok(shown(validated.tried, |answer| answer))
        }
    });
    let mut outcome = Outcome::failed(&case.file, &case.name);
    match answered {
        Err(refusal) => outcome.refusal = Some(refusal),
        Ok(tried) => {
            outcome.differences = differences(&case.expect, &tried.got);
            outcome.unanswered = tried.missed;
            outcome.log = tried.lines;
            outcome.microseconds = u64::try_from(tried.took.as_micros()).unwrap_or(u64::MAX);
            outcome.passed = outcome.differences.is_empty() && outcome.unanswered.is_empty();
            outcome.fault = tried.fault.filter(|_| !outcome.passed);
            outcome.disagreements.extend(disagreement.filter(|_| !outcome.passed));
            // An answer of another kind lacks every other key that the case expects.
            if outcome.fault.is_some() && outcome.differences.iter().any(|one| one.path == "answer") {
                outcome.differences.retain(|one| one.path == "answer");
            }
        }
    }
    outcome
}

struct Shown {
    got: Value,
    fault: Option<UnexpectedFault>,
    missed: Vec<String>,
    lines: Vec<String>,
    took: Duration,
}

fn shown<R>(tried: Tried<R>, form: impl FnOnce(R) -> Value) -> Shown {
    let (mut got, fault) = match tried.answer {
        Ok(answer) => {
            let got = form(answer);
            let fault = declared_fault(&got);
            (got, fault)
        }
        Err(CallFailure { kind, message }) => {
            let got = json!({"answer": "failure", "message": message});
            (got, Some(UnexpectedFault { kind: kind.to_owned(), message }))
        }
    };
    if let Some(group) = got.get_mut("group") {
        // A document that is not JSON stays text, so it differs from every JSON document.
        parse_text(group).ok();
    }
    let line = |(level, text): (&str, String)| format!("{level}: {text}");
    let lines = tried.lines.into_iter().map(line).collect();
    Shown { got, fault, missed: tried.missed, lines, took: tried.took }
}

/// The fault that an answer declares, if it declares one.
fn declared_fault(got: &Value) -> Option<UnexpectedFault> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match got["answer"].as_str()? {
        "fault" => Some(UnexpectedFault { kind: text(&got["fault"]), message: text(&got["message"]) }),
        "invalid" => {
            let problems = got["problems"].as_array().into_iter().flatten();
            let listed: Vec<String> =
                problems.map(|one| format!("{}: {}", text(&one["path"]), text(&one["message"]))).collect();
            Some(UnexpectedFault { kind: "invalid".to_owned(), message: listed.join("; ") })
        }
        _ => None,
    }
}

/// The manifest beside the component, with what the case replaces of its `spec`.
pub(in super::super) fn manifest(given: &Given, case: &Case) -> Result<String, Refusal> {
    let mut document: Map<String, Value> = match &given.manifest {
        None => Map::new(),
        Some((path, text)) => yaml::read(text).map_err(|error| Refusal {
            reason: crate::plugin::Reason::ManifestInvalid,
            message: format!("{}: {error}", path.display()),
        })?,
    };
    document.entry("apiVersion").or_insert_with(|| json!("plugins.umbel.dev/v1alpha1"));
    document.entry("kind").or_insert_with(|| json!("Plugin"));
    let mut spec = match document.remove("spec") {
        Some(Value::Object(spec)) => spec,
        _ => Map::new(),
    };
    spec.extend(case.spec.clone());
    // Whoever changes the plugin tests it before its new digest is pinned.
    spec.remove("digest");
    document.insert("spec".to_owned(), Value::Object(spec));
    Ok(Value::Object(document).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::plugin_commands::cases::case_file::parse;
    use std::path::Path;

    #[test]
    fn a_case_replaces_whole_keys_of_the_manifest() {
        let text =
            "cases: [{name: a, spec: {settings: {b: 2}}, ask: {call: validate}, expect: {answer: valid}}]";
        let case = parse(Path::new("a.yaml"), text).unwrap().remove(0);
        let beside = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec:\n  digest: sha256:1\n  \
                      settings: {a: 1}\n  grants: {dns: [x]}\n";
        let given = Given {
            file: "a.wasm".into(),
            name: "a".into(),
            component: Vec::new(),
            manifest: Some(("a.yaml".into(), beside.to_owned())),
        };
        let merged: Value = serde_json::from_str(&manifest(&given, &case).unwrap()).unwrap();
        assert_eq!(merged["spec"], json!({"settings": {"b": 2}, "grants": {"dns": ["x"]}}));
    }
}
