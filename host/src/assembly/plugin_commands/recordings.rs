//! `umbel plugin record`: calls of a running gateway as cases.

use super::gateway::{Gateway, GatewayFlags};
use crate::assembly::CommandError;
use crate::model::spelling::did_you_mean;
use crate::model::yaml;
use crate::object::names;
use clap::{Args, ValueHint};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
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
    let Some(answer) = gateway.get(&path).map_err(CommandError::Failed)? else {
        return Err(unknown_plugin(&gateway, &flags.name));
    };
    let calls = answer["items"].as_array().cloned().unwrap_or_default();
    crate::assembly::print(&write_all(&calls, &flags.out)?)
}

/// Suggests the plugin name that was perhaps meant.
fn unknown_plugin(gateway: &Gateway, name: &str) -> CommandError {
    // Without the list there are no names to suggest.
    let report = gateway.get("/plugins").ok().flatten().unwrap_or_default();
    let items = report["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let known: Vec<&str> = items.iter().filter_map(|item| item["name"].as_str()).collect();
    let hint = match (did_you_mean(name, known.iter().copied()), known.as_slice()) {
        (Some(similar), _) => format!("did you mean {similar:?}?"),
        (None, []) => "`umbel plugin install` puts it there".to_owned(),
        (None, known) => format!("it has {}; `umbel plugin install` puts others there", known.join(", ")),
    };
    CommandError::failed(format!("the gateway at {} has no plugin {name:?}; {hint}", gateway.server()))
}

/// Writes what can be repeated, and says what came of each call.
fn write_all(calls: &[Value], folder: &Path) -> Result<String, CommandError> {
    let (mut lines, mut written, mut left_out) = (String::new(), 0, 0);
    for call in calls {
        if let Some(gap) = call["gap"].as_str() {
            // Writing to a string cannot fail, here and below.
            writeln!(lines, "left out: {}: {gap}", title(&call["question"])).ok();
            left_out += 1;
            continue;
        }
        let case = case(call).map_err(CommandError::Failed)?;
        let path = write_new(folder, &case)
            .map_err(|cause| CommandError::failed(format!("{}: {cause}", folder.display())))?;
        if let Some(path) = path {
            writeln!(lines, "{}", path.display()).ok();
            written += 1;
        }
    }
    let known = calls.len() - written - left_out;
    writeln!(lines, "{written} calls written, {known} were there already, {left_out} left out").ok();
    Ok(lines)
}

/// A name for people.
fn title(question: &Value) -> String {
    let call = question["call"].as_str().unwrap_or("call");
    format!("recorded {call} {}", subject(question)).trim_end().to_owned()
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
    let ask = Value::Object(ask);
    let mut case = json!({"name": title(&ask), "spec": spec(call), "ask": ask});
    if !call["world"].is_null() {
        case["world"] = call["world"].clone();
    }
    case["expect"] = Value::Object(expect);
    Ok(json!({"cases": [case]}))
}

/// What held for the call, as a manifest says it. Secrets are known by name only, and a case needs no more.
fn spec(call: &Value) -> Value {
    let held = ["settings", "grants", "limits"].into_iter().map(|key| (key.to_owned(), call[key].clone()));
    let mut spec: Map<String, Value> = held.filter(|(_, value)| !value.is_null()).collect();
    let names = call["secrets"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let secrets: Map<String, Value> =
        names.map(|name| (name.to_owned(), json!({"file": "left-out"}))).collect();
    if !secrets.is_empty() {
        spec.insert("secrets".to_owned(), Value::Object(secrets));
    }
    Value::Object(spec)
}

/// What a question is about, in a word.
fn subject(ask: &Value) -> String {
    let at = |path: &[&str]| {
        path.iter().try_fold(ask, |value, key| value.get(key)).and_then(Value::as_str).map(str::to_owned)
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
    let text = yaml::write(case);
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
                "grants": {"dns": ["a"]},
                "secrets": ["token"],
                "answer": {"answer": "resolution", "endpoints": [{"host": "a", "port": 1}]},
            },
            {
                "question": {"call": "transform", "group": "{\"metadata\":{\"name\":\"a.example.com\"}}"},
                "failure": "trapped: unreachable",
            },
            {
                "question": {"call": "order", "groups": []},
                "gap": "the answer to GET http://a/ has 70000 bytes",
                "answer": {"answer": "order"},
            },
        ]);
        let calls = calls.as_array().unwrap();
        let said = write_all(calls, folder.path()).unwrap();
        assert!(said.ends_with("2 calls written, 0 were there already, 1 left out\n"), "{said}");
        assert!(
            said.contains("left out: recorded order: the answer to GET http://a/ has 70000 bytes"),
            "{said}"
        );
        let again = write_all(calls, folder.path()).unwrap();
        assert!(again.ends_with("0 calls written, 2 were there already, 1 left out\n"), "{again}");
        let cases = read_folder(folder.path()).unwrap();
        let spec = json!({"settings": {"zone": "a"}, "grants": {"dns": ["a"]}, "secrets": {"token": {"file": "left-out"}}});
        assert!(cases.iter().any(|case| Value::Object(case.spec.clone()) == spec), "{cases:?}");
        let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["recorded resolve prod/shop", "recorded transform a.example.com"]);
        assert!(case(&json!({"question": {}})).unwrap_err().contains("neither answer nor failure"));
    }
}
