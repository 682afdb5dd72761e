//! A case that asks whether settings are valid: the schema and the plugin answer, as in a gateway.

use crate::assembly::plugin_commands::agreement::Disagreement;
use crate::plugin::record::Tape;
use crate::plugin::{Compiled, Reason, Refusal, SchemaProblem, SettingsProblem, Tried, check_settings};
use serde_json::{Value, json};

/// The answer in the form of cases, and what the schema says beside a plugin that accepts.
pub(super) struct Validated {
    pub(super) tried: Tried<Value>,
    pub(super) disagreement: Option<Disagreement>,
}

/// Validates the settings of a manifest.
///
/// # Errors
/// When the component cannot be asked, or its schema cannot be used.
pub(super) fn validate(compiled: &Compiled<'_>, manifest: &str, world: &Tape) -> Result<Validated, Refusal> {
    let refuse = |message: String| Refusal { reason: Reason::DescribeFailed, message };
    let candidate = compiled.unasked(Some(manifest))?;
    let described = candidate.describe().map_err(|failure| refuse(format!("its first call {failure}")))?;
    let settings = candidate.settings();
    let document: Value = serde_json::from_str(&settings).map_err(|error| refuse(error.to_string()))?;
    let schema = described.settings_schema.unwrap_or_default();
    let problems = check_settings(&schema, &document).map_err(|fault| refuse(fault.to_string()))?;
    let Tried { answer, missed, lines, host_calls, took, memory, fuel } =
        candidate.validate(&settings, world);
    let is_accepted = matches!(&answer, Ok(found) if found.is_empty());
    let disagreement = (is_accepted && !problems.is_empty())
        .then(|| Disagreement::only_accepted_by_plugin("settings of the case", document, &problems));
    let answer = match answer {
        // The author's own words come first where both reject.
        Ok(found) if !found.is_empty() => Ok(invalid(found.iter().map(of_plugin))),
        // A gateway rejects these settings without asking the plugin.
        _ if !problems.is_empty() => Ok(invalid(problems.iter().map(of_schema))),
        other => other.map(|_| json!({"answer": "valid"})),
    };
    Ok(Validated { tried: Tried { answer, missed, lines, host_calls, took, memory, fuel }, disagreement })
}

fn invalid<'a>(problems: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let listed: Vec<Value> =
        problems.map(|(path, message)| json!({"path": path, "message": message})).collect();
    json!({"answer": "invalid", "problems": listed})
}

fn of_plugin(problem: &SettingsProblem) -> (&str, &str) {
    (&problem.path, &problem.message)
}

fn of_schema(problem: &SchemaProblem) -> (&str, &str) {
    (&problem.path, &problem.message)
}
