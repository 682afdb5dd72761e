//! `umbel plugin record`: calls of a running gateway as cases.

use super::gateway::{Gateway, GatewayFlags};
use crate::assembly::CommandError;
use crate::object::names;
use clap::{Args, ValueHint};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `umbel plugin record`.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct RecordFlags {
    /// The plugin's name in the gateway
    name: String,
    /// Folder to write, mostly `cases` of the plugin; files that are there stay
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    #[command(flatten)]
    gateway: GatewayFlags,
}

/// Fetches the calls and writes one file for each that is new.
///
/// # Errors
/// `Failed` when the gateway keeps no calls of that plugin, or a file cannot be written.
pub(super) fn run(flags: &RecordFlags) -> Result<(), CommandError> {
    if !names::dns1123_label(&flags.name).is_empty() {
        return Err(CommandError::Usage(format!("{:?} cannot name a plugin", flags.name)));
    }
    let gateway = Gateway::open(&flags.gateway).map_err(CommandError::Failed)?;
    let path = format!("/plugins/{}/calls", flags.name);
    let answer = gateway.get(&path).map_err(CommandError::Failed)?.ok_or_else(|| {
        CommandError::failed(format!(
            "the gateway has no calls of a plugin {:?}; `umbel plugin install` puts it there",
            flags.name
        ))
    })?;
    let calls = answer["items"].as_array().or(answer.as_array()).cloned().unwrap_or_default();
    let mut written = Vec::new();
    for call in &calls {
        let case = case(call).map_err(|cause| CommandError::failed(format!("{path}: {cause}")))?;
        written.extend(
            write_new(&flags.out, &case)
                .map_err(|cause| CommandError::failed(format!("{}: {cause}", flags.out.display())))?,
        );
    }
    let (known, lines) =
        (calls.len() - written.len(), written.iter().map(|path| format!("{}\n", path.display())));
    let lines: String = lines.collect();
    crate::assembly::print(&format!("{lines}{} calls written, {known} were there already\n", written.len()))
}

/// One recorded call as a file of one case: what was asked, what the world said, and what was answered.
fn case(call: &Value) -> Result<Value, String> {
    let mut ask = call["question"].as_object().cloned().ok_or("a call has no question")?;
    let mut expect = match (&call["answer"], &call["failure"]) {
        (Value::Object(answer), _) => answer.clone(),
        (_, Value::String(message)) => {
            Map::from_iter([("answer".to_owned(), json!("failure")), ("message".to_owned(), json!(message))])
        }
        _ => return Err("a call has neither answer nor failure".to_owned()),
    };
    for map in [&mut ask, &mut expect] {
        // Documents are easier to read as YAML than as text within YAML.
        let document =
            map.get("group").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
        map.extend(document.map(|document: Value| ("group".to_owned(), document)));
    }
    let name =
        format!("recorded {} {}", ask.get("call").and_then(Value::as_str).unwrap_or("call"), subject(&ask));
    let mut case = json!({"name": name.trim_end(), "ask": ask});
    for key in ["world", "settings"] {
        match (key, &call[key]) {
            (_, Value::Null) => {}
            ("settings", settings) => case["spec"] = json!({"settings": settings}),
            (_, world) => case[key] = world.clone(),
        }
    }
    case["expect"] = Value::Object(expect);
    Ok(json!({"cases": [case]}))
}

/// What a question is about, in a word.
fn subject(ask: &Map<String, Value>) -> String {
    let at = |path: &[&str]| {
        path.iter()
            .try_fold(&Value::Object(ask.clone()), |value, key| value.get(key))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let target = at(&["target", "namespace"])
        .zip(at(&["target", "name"]))
        .map(|(namespace, name)| format!("{namespace}/{name}"));
    target
        .or_else(|| at(&["subject", "apiService"]))
        .or_else(|| at(&["group", "metadata", "name"]))
        .unwrap_or_default()
}

/// Writes a case under a name made of its content, so that fetching again adds only what is new.
fn write_new(folder: &Path, case: &Value) -> std::io::Result<Option<PathBuf>> {
    let text = serde_yaml_ng::to_string(case).map_err(std::io::Error::other)?;
    let digest = super::given::pin(text.as_bytes());
    let short: String = digest.trim_start_matches("sha256:").chars().take(12).collect();
    let path = folder.join(format!("recorded-{short}.yaml"));
    fs::create_dir_all(folder)?;
    match fs::File::create_new(&path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| Some(path)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::plugin_commands::cases::read_folder;

    #[test]
    fn recorded_calls_are_cases_that_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let calls = json!([
            {
                "question": {"call": "resolve", "target": {"namespace": "prod", "name": "shop", "port": 1, "annotations": [["a", "b"]]}},
                "world": {"dns": [{"name": "a", "addresses": ["10.0.0.1"], "ttlMs": 5}]},
                "settings": {"zone": "a"},
                "answer": {"answer": "resolution", "endpoints": [{"host": "a", "port": 1}]},
            },
            {
                "question": {"call": "transform", "group": "{\"metadata\":{\"name\":\"a.example.com\"}}"},
                "failure": "trapped: unreachable",
            },
        ]);
        for call in calls.as_array().unwrap() {
            let case = case(call).unwrap();
            assert!(write_new(folder.path(), &case).unwrap().is_some());
            assert!(write_new(folder.path(), &case).unwrap().is_none(), "the same call is written once");
        }
        let cases = read_folder(folder.path()).unwrap();
        let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["recorded resolve prod/shop", "recorded transform a.example.com"]);
        assert!(case(&json!({"question": {}})).unwrap_err().contains("neither answer nor failure"));
    }
}
