//! Whether a plugin's settings schema and its `validate` agree.
//!
//! A gateway asks both, the schema first. So a `validate` that accepts more than the schema is harmless, and one that
//! rejects more may check what a schema cannot express. Only what no author intends is a disagreement: a value that
//! the schema itself states and `validate` or the schema rejects, an optional setting that `validate` requires, and a
//! setting for which no value suits both.

mod instances;
mod probes;

use super::report::rows;
use crate::plugin::record::Tape;
use crate::plugin::{Candidate, SchemaProblem, SettingsProblem, Tried};
use probes::Probes;
use serde::Serialize;
use serde_json::Value;

/// Longest settings that are printed in full.
const SHOWN_MAX: usize = 400;

/// Settings that an author wrote.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// For example "spec.settings of the manifest".
    pub(super) place: String,
    pub(super) settings: Value,
    /// Whether they are meant to be valid.
    pub(super) is_meant: bool,
}

/// What a plugin's `validate` says to settings.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accepts,
    Rejects(Vec<SettingsProblem>),
    /// No answer that would be the same in every gateway.
    Unclear,
}

/// Settings on which schema and plugin disagree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Disagreement {
    /// Where the settings come from.
    place: String,
    settings: Value,
    /// `accepts`, or what is wrong.
    schema: String,
    /// `accepts`, or what is wrong.
    validate: String,
    hint: String,
}

impl Disagreement {
    /// Settings that only the plugin accepts, although their author means them to be valid.
    pub(super) fn only_accepted_by_plugin(place: &str, settings: Value, problems: &[SchemaProblem]) -> Self {
        Self {
            place: place.to_owned(),
            settings,
            schema: schema_words(problems),
            validate: Verdict::Accepts.words(),
            hint: "a gateway rejects these settings; if they are right, correct the schema".to_owned(),
        }
    }

    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let Self { place, settings, schema, validate, hint } = self;
        let tried = settings.to_string();
        let tried = match tried.len() {
            ..=SHOWN_MAX => tried,
            _ => format!("{}…", &tried[..tried.floor_char_boundary(SHOWN_MAX)]),
        };
        rows(&[
            ("settings", format!("{tried} ({place})")),
            ("schema", schema.clone()),
            ("validate", validate.clone()),
            ("hint", hint.clone()),
        ])
    }
}

/// Asks a component about settings of its author and about settings derived from its schema. Without a usable schema
/// there is nothing to compare.
pub(super) fn disagreements(candidate: &Candidate<'_>, written: &[Written]) -> Vec<Disagreement> {
    let description = candidate.describe().ok();
    let Some(schema) = description.and_then(|description| description.settings_schema) else {
        return Vec::new();
    };
    let validate = |settings: &Value| verdict(candidate.validate(&settings.to_string(), &Tape::default()));
    Probes::new(&schema, validate).map(|mut probes| probes.run(written)).unwrap_or_default()
}

fn verdict(tried: Tried<Vec<SettingsProblem>>) -> Verdict {
    match tried.answer {
        // It may have asked for what only a gateway answers.
        _ if !tried.missed.is_empty() => Verdict::Unclear,
        Ok(problems) if problems.is_empty() => Verdict::Accepts,
        Ok(problems) => Verdict::Rejects(problems),
        Err(failure) if failure.kind == "trap" => {
            Verdict::Rejects(vec![SettingsProblem { path: String::new(), message: failure.message }])
        }
        Err(_) => Verdict::Unclear,
    }
}

impl Verdict {
    fn words(&self) -> String {
        match self {
            Self::Accepts => "accepts".to_owned(),
            Self::Unclear => "gives no clear answer".to_owned(),
            Self::Rejects(problems) => {
                listed(problems.iter().map(|one| (one.path.as_str(), one.message.as_str())))
            }
        }
    }
}

/// A schema's verdict.
fn schema_words(problems: &[SchemaProblem]) -> String {
    if problems.is_empty() {
        return "accepts".to_owned();
    }
    listed(problems.iter().map(|one| (one.path.as_str(), one.message.as_str())))
}

fn listed<'a>(problems: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let listed = problems.map(|(path, message)| match path {
        "" => message.to_owned(),
        path => format!("{path}: {message}"),
    });
    format!("rejects: {}", listed.collect::<Vec<_>>().join("; "))
}
