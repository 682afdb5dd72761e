//! The file of `--config`.

use super::merge::{Given, KEYS, LIST_KEYS, Settings};
use super::problem::{Origin, Problem};
use crate::model::yaml;
use serde_json::{Map, Value};
use std::path::Path;

/// Reads the settings of a file; what is wrong goes to `problems`.
pub(super) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Settings {
    let mut settings = Settings::default();
    let mapping = match yaml::read_settings::<Option<Map<String, Value>>>(text) {
        Ok(mapping) => mapping.unwrap_or_default(),
        Err(error) => {
            let text = format!("not a YAML mapping of settings: {error}");
            problems.push(Problem {
                origin: Origin::File(path.into(), error.line),
                key: String::new(),
                value: None,
                text,
            });
            return settings;
        }
    };
    let mut entries: Vec<_> =
        mapping.iter().map(|(name, value)| (line_of(text, name), name, value)).collect();
    // Problems are listed in the order in which the operator finds them.
    entries.sort_by_key(|(line, ..)| *line);
    for (line, name, value) in entries {
        let origin = Origin::File(path.into(), line);
        let mut refuse = |text: String| {
            problems.push(Problem { origin: origin.clone(), key: name.clone(), value: None, text });
        };
        let Some(known) = KEYS.iter().find(|k| *k == name) else {
            refuse(format!("no such setting; there are {}", KEYS.join(", ")));
            continue;
        };
        match values(known, value) {
            Ok(values) => {
                settings.insert(known, Given { values, origin });
            }
            Err(text) => refuse(text),
        }
    }
    settings
}

fn values(key: &str, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Null => Err("has no value; give one or remove the line".to_owned()),
        Value::Array(items) if LIST_KEYS.contains(&key) => items
            .iter()
            .map(|item| scalar(item).ok_or_else(|| "every item of the list must be a string".to_owned()))
            .collect(),
        Value::Array(_) => Err("takes one value, not a list".to_owned()),
        Value::Object(_) => Err("takes a plain value, not a mapping".to_owned()),
        other => scalar(other).map(|v| vec![v]).ok_or_else(|| "takes a plain value".to_owned()),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// The line (from 1) on which a top-level key stands; 1 when it cannot be told.
fn line_of(text: &str, key: &str) -> usize {
    let is_key = |line: &str| {
        let line = line.trim_start_matches(['{', ',', ' ']);
        let line = line.strip_prefix(['"', '\'']).unwrap_or(line);
        let rest = line.strip_prefix(key).map(|rest| rest.trim_start_matches(['"', '\'', ' ']));
        rest.is_some_and(|rest| rest.starts_with(':'))
    };
    let position = text.lines().position(|line| !line.starts_with([' ', '#']) && is_key(line));
    position.or_else(|| text.lines().position(|line| line.contains(key))).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        parse(Path::new("umbel.yaml"), text, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_unknown_key_is_named_with_its_line() {
        let told = problems_of("# my settings\nlisten: 127.0.0.1:1\nlissen: x\n\ndataDir: y\n");
        assert_eq!(told.len(), 2);
        assert!(
            told[0].starts_with("umbel.yaml:3: lissen: no such setting; there are advertise-host,"),
            "{told:?}"
        );
        assert!(told[1].starts_with("umbel.yaml:5: dataDir: no such setting"), "{told:?}");
    }

    #[test]
    fn broken_yaml_names_the_line() {
        let told = problems_of("listen: 127.0.0.1:1\n  data-dir: [\n");
        assert!(
            told[0].starts_with("umbel.yaml:") && told[0].contains(": not a YAML mapping of settings"),
            "{told:?}"
        );
        let told = problems_of("- a\n- b\n");
        assert!(told[0].contains("not a YAML mapping of settings"), "{told:?}");
    }

    #[test]
    fn a_key_that_stands_twice_is_told_on_its_second_line() {
        let told = problems_of("# mine\nlisten: 127.0.0.1:1\ndata-dir: a\n\n'listen': 127.0.0.1:2\n");
        assert!(told[0].starts_with("umbel.yaml:5: ") && told[0].contains("listen"), "{told:?}");
    }

    #[test]
    fn shapes_that_do_not_fit_are_told() {
        let told = problems_of("listen: [a]\ndata-dir:\nlog-format: {a: b}\n");
        assert_eq!(
            told,
            [
                "umbel.yaml:1: listen: takes one value, not a list",
                "umbel.yaml:2: data-dir: has no value; give one or remove the line",
                "umbel.yaml:3: log-format: takes a plain value, not a mapping",
            ]
        );
    }

    #[test]
    fn an_empty_file_is_no_problem() {
        assert_eq!(problems_of("# nothing yet\n"), [""; 0]);
    }
}
