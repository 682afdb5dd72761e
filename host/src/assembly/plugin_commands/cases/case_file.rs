//! Cases as they lie in files.

use super::expectation::{Expectation, parse_text};
use crate::model::spelling::meant_in_error;
use crate::model::yaml::{self, YamlError};
use crate::plugin::record::{
    Body, HealthState, HealthSubject, Question, ResolveTarget, Tape, VersionedGroup,
};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// One case, with what its file says for all of them.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Case {
    /// The file that it is in.
    pub(in super::super) file: PathBuf,
    pub(in super::super) name: String,
    /// Keys of the manifest's `spec` that it replaces.
    pub(in super::super) spec: Map<String, Value>,
    pub(in super::super) ask: Ask,
    pub(in super::super) world: Tape,
    pub(in super::super) expect: Value,
}

/// What a plugin is asked.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Ask {
    /// To judge its settings.
    Validate,
    /// For a decision.
    Decide(Question),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    spec: Map<String, Value>,
    cases: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    spec: Map<String, Value>,
    ask: AskForm,
    #[serde(default)]
    world: World,
    expect: Expectation,
}

#[derive(Deserialize)]
#[serde(tag = "call", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum AskForm {
    Resolve {
        target: ResolveTarget,
    },
    Check {
        subject: HealthSubject,
        #[serde(default)]
        round: u32,
        #[serde(default)]
        was: HealthState,
        #[serde(default)]
        memory: Body,
    },
    Transform {
        group: Value,
    },
    Order {
        groups: Vec<VersionedGroup>,
    },
    Validate {},
}

/// A tape whose records are checked while file and line are known.
#[derive(Default)]
struct World(Tape);

impl<'de> Deserialize<'de> for World {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let tape = Tape::deserialize(input)?;
        tape.check().map_err(D::Error::custom)?;
        Ok(Self(tape))
    }
}

/// Reads every case of a folder, by file name and in the order of each file.
///
/// # Errors
/// File, line and what is wrong there.
pub(in super::super) fn read_folder(folder: &Path) -> Result<Vec<Case>, String> {
    let entries = fs::read_dir(folder).map_err(|cause| {
        format!("{}: {cause}; cases lie beside the component, or where --cases says", folder.display())
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| format!("{}: {cause}", folder.display()))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    files.sort();
    let mut cases = Vec::new();
    for file in &files {
        cases.extend(read_file(file)?);
    }
    if cases.is_empty() {
        return Err(format!("{} holds no cases: write them into files that end in .yaml", folder.display()));
    }
    Ok(cases)
}

/// Reads every case of one file.
///
/// # Errors
/// File, line and what is wrong there.
pub(in super::super) fn read_file(file: &Path) -> Result<Vec<Case>, String> {
    let text = fs::read_to_string(file).map_err(|cause| format!("{}: {cause}", file.display()))?;
    parse(file, &text)
}

/// Reads cases from text.
///
/// # Errors
/// File, line and what is wrong there.
pub(in super::super) fn parse(file: &Path, text: &str) -> Result<Vec<Case>, String> {
    let File { spec, cases } = yaml::read(text).map_err(|error| explain(file, text, &error))?;
    let mut found: Vec<Case> = Vec::new();
    for entry in cases {
        if found.iter().any(|case| case.name == entry.name) {
            return Err(format!(
                "{}: two cases are named {:?}; give each its own name",
                file.display(),
                entry.name
            ));
        }
        let mut merged = spec.clone();
        merged.extend(entry.spec);
        found.push(Case {
            file: file.to_owned(),
            name: entry.name,
            spec: merged,
            ask: entry.ask.into(),
            world: entry.world.0,
            expect: entry.expect.0,
        });
    }
    Ok(found)
}

/// The error after its place, in the form that editors recognize, and its path in the document.
fn explain(file: &Path, text: &str, error: &YamlError) -> String {
    let YamlError { line, column, cause } = error;
    let path = path_of_error(text).map(|path| format!("{path}: ")).unwrap_or_default();
    let meant = meant_in_error(cause).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    format!("{}:{line}:{column}: {path}{cause}{meant}", file.display())
}

/// The path of the value that has the wrong form, such as `cases[0].ask`. The YAML parser knows only line and column.
fn path_of_error(text: &str) -> Option<String> {
    let document: Value = yaml::read(text).ok()?;
    let error = serde_path_to_error::deserialize::<_, File>(&document).err()?;
    let (path, cause) = (error.path().to_string(), error.inner().to_string());
    // Where a key is unknown, the path is that of its mapping: the cause names the key.
    let unknown = cause.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let parent = unknown.map_or(path.as_str(), |key| path.strip_suffix(key).unwrap_or(&path));
    let parent = parent.trim_end_matches('.');
    (!parent.is_empty()).then(|| parent.to_owned())
}

impl From<AskForm> for Ask {
    fn from(form: AskForm) -> Self {
        Self::Decide(match form {
            AskForm::Validate {} => return Self::Validate,
            AskForm::Resolve { target } => Question::Resolve { target },
            AskForm::Check { subject, round, was, memory } => Question::Check { subject, round, was, memory },
            AskForm::Order { groups } => Question::Order { groups },
            AskForm::Transform { mut group } => {
                // Text that is no JSON goes to the plugin as it is: a case may be about just that.
                let text = group.as_str().map(str::to_owned);
                parse_text(&mut group).ok();
                Question::Transform { group: text.unwrap_or_else(|| group.to_string()) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TWO: &str = "
spec: {grants: {dns: ['*']}, settings: {zone: a}}
cases:
- name: one
  ask: {call: resolve, target: {namespace: prod, name: shop, port: 443}}
  expect: {answer: fault}
- name: two
  spec: {settings: {}}
  ask: {call: validate}
  expect: {answer: invalid}
";

    #[test]
    fn a_case_takes_from_its_file_what_it_does_not_say() {
        let cases = parse(Path::new("a.yaml"), TWO).unwrap();
        assert_eq!(cases[0].spec["settings"], json!({"zone": "a"}));
        assert_eq!(cases[1].spec["settings"], json!({}));
        assert_eq!(cases[1].spec["grants"], json!({"dns": ["*"]}));
        assert_eq!(cases[1].ask, Ask::Validate);
    }

    #[test]
    fn a_group_is_written_as_yaml_or_as_text() {
        for group in ["{metadata: {name: a}}", "'{\"metadata\":{\"name\":\"a\"}}'"] {
            let text = format!(
                "cases: [{{name: a, ask: {{call: transform, group: {group}}}, expect: {{answer: keep}}}}]"
            );
            let cases = parse(Path::new("a.yaml"), &text).unwrap();
            let Ask::Decide(Question::Transform { group }) = &cases[0].ask else { unreachable!() };
            assert_eq!(group, r#"{"metadata":{"name":"a"}}"#);
        }
    }

    #[test]
    fn every_mistake_has_a_file_and_a_line() {
        for (text, says) in [
            ("cases:\n- nam: a", ": cases[0]: unknown field `nam`"),
            ("cases: []\nmore: 1", ": unknown field `more`"),
            ("cases:\n- name: a\n  ask: {call: guess}", ": cases[0].ask.call: unknown variant `guess`"),
            ("cases:\n- name: a\n  ask: {call: chek}", "; did you mean `check`?"),
            ("cases:\n- {name: a, aks: {}}", "; did you mean `ask`?"),
            ("cases: {", ""),
            (
                "cases:\n- name: a\n  ask:\n    call: resolve\n    target: {namespace: a, name: b, prot: 1}",
                "unknown field `prot`",
            ),
            ("cases:\n- name: a\n  ask: {call: validate, x: 1}", "unknown field `x`"),
            (
                "cases:\n- name: a\n  ask: {call: validate}\n  world:\n    dns: [{name: a}]",
                "dns[0] (a): needs one",
            ),
            ("cases:\n- name: a\n  ask: {call: validate}\n  expect: {answer: keep, x: 1}", "unknown key `x`"),
        ] {
            let error = parse(Path::new("a.yaml"), text).unwrap_err();
            let place: Vec<_> = error.splitn(4, ':').take(3).collect();
            assert!(place[0] == "a.yaml" && place[1..].iter().all(|n| n.parse::<u32>().is_ok()), "{error}");
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn two_cases_of_one_name_cannot_be_told_apart() {
        let error = parse(Path::new("a.yaml"), &TWO.replace("two", "one")).unwrap_err();
        assert!(error.contains("two cases are named \"one\""), "{error}");
    }
}
