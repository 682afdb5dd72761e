//! Taking out of an answer what differs from run to run.

use anyhow::Result;
use regex::Regex;
use serde_json::{Map, Value, json};

const TIMES: [&str; 5] =
    ["creationTimestamp", "deletionTimestamp", "time", "lastTransitionTime", "lastHeartbeatTime"];
/// How much of a text body is compared, in characters.
const TEXT_MAX: usize = 2000;

/// Normalises answers.
#[derive(Debug)]
pub struct Normaliser {
    rules: Vec<(Regex, &'static str)>,
    hash: Regex,
}

impl Normaliser {
    /// The rules of the recordings.
    ///
    /// # Errors
    /// Never, unless a pattern here is broken.
    pub fn new() -> Result<Self> {
        let rules = [
            (r"\b(x-|v1\.q\.example\.org)[bcdfghjklmnpqrstvwxz2456789]{5}\b", "${1}<random>"),
            (r"current: \d+", "current: <rv>"),
            (r#"(\\*"resourceVersion\\*":\\*")\d+"#, "${1}<rv>"),
            (r"record \(\d+\)", "record (<rv>)"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        ];
        let compiled = rules.into_iter().map(|(pattern, with)| Ok((Regex::new(pattern)?, with)));
        Ok(Self { rules: compiled.collect::<Result<_>>()?, hash: Regex::new(r"hash=\w+")? })
    }

    /// A body of that `Content-Type`: JSON, watch events, YAML or text.
    pub fn body(&self, content_type: &str, body: &[u8]) -> Value {
        let text = String::from_utf8_lossy(body);
        if content_type.contains("protobuf") {
            let magic: String = body.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            return json!({ "protobuf-magic": magic });
        }
        let is_stream = text.contains("\n{") && content_type.contains("json") && text.starts_with(r#"{"#);
        if is_stream || content_type.contains("stream=watch") {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let events: Result<Vec<Value>, _> = lines.map(serde_json::from_str).collect();
            if let Ok(events) = events {
                return events.into_iter().map(|event| self.value(without_ages(event), "")).collect();
            }
        }
        if let Ok(value) = serde_json::from_slice(body) {
            return self.value(without_ages(value), "");
        }
        if content_type.contains("yaml")
            && let Ok(value) = umbel::model::yaml::read(&text)
        {
            return json!({ "yaml": self.value(without_ages(value), "") });
        }
        let cut: String = text.chars().take(TEXT_MAX).collect();
        json!({ "text": self.text(&cut, "") })
    }

    /// A value under `key`.
    pub fn value(&self, value: Value, key: &str) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
                kept.map(|(key, value)| (key.clone(), self.value(value, &key))).collect::<Map<_, _>>().into()
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items.into_iter().map(|item| self.value(item, key)).collect();
                if matches!(key, "causes" | "managedFields") {
                    items.sort_by_key(Value::to_string);
                }
                items.into()
            }
            Value::Number(number) if key == "port" && number.as_i64().is_some_and(|port| port > 1024) => {
                "<port>".into()
            }
            Value::String(text) => self.text(&text, key).into(),
            other => other,
        }
    }

    fn text(&self, text: &str, key: &str) -> String {
        match key {
            key if TIMES.contains(&key) => "<time>".to_owned(),
            "uid" => "<uid>".to_owned(),
            "caBundle" if text.len() > 100 => "<ca>".to_owned(),
            "resourceVersion" if !matches!(text, "" | "0") => "<rv>".to_owned(),
            "continue" => "<continue>".to_owned(),
            "responseDownloadURL" | "serverRelativeURL" => {
                self.hash.replace_all(text, "hash=<hash>").into_owned()
            }
            _ => self.rules.iter().fold(text.to_owned(), |text, (pattern, with)| {
                pattern.replace_all(&text, *with).into_owned()
            }),
        }
    }
}

/// The cells of an `Age` column depend on the clock.
fn without_ages(mut value: Value) -> Value {
    let is_event = value.get("type").is_some() && value.get("object").is_some();
    let table = if is_event { &mut value["object"] } else { &mut value };
    if table["kind"] != "Table" {
        return value;
    }
    let columns = table["columnDefinitions"].as_array().cloned().unwrap_or_default();
    if let Some(at) = columns.iter().position(|column| column["name"] == "Age")
        && let Some(rows) = table["rows"].as_array_mut()
    {
        for row in rows {
            row["cells"][at] = "<age>".into();
        }
    }
    value
}

/// Where two values differ, as `path: expected …, got …`.
pub fn differences(wanted: &Value, got: &Value) -> Vec<String> {
    // The recorded side has been through another implementation's lists: sort them the same way.
    let mut found = Vec::new();
    compare(&sorted(wanted, ""), &sorted(got, ""), "", &mut found);
    found
}

fn sorted(value: &Value, key: &str) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), sorted(value, key))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| sorted(item, key)).collect();
            if matches!(key, "causes" | "managedFields") {
                items.sort_by_key(Value::to_string);
            }
            items.into()
        }
        other => other.clone(),
    }
}

fn compare(wanted: &Value, got: &Value, at: &str, found: &mut Vec<String>) {
    let cut = |value: &Value| value.to_string().chars().take(300).collect::<String>();
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            for (key, value) in wanted {
                match got.get(key) {
                    Some(other) => compare(value, other, &format!("{at}.{key}"), found),
                    None => found.push(format!("{at}.{key}: missing, expected {}", cut(value))),
                }
            }
            for (key, value) in got.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
                found.push(format!("{at}.{key}: unexpected {}", cut(value)));
            }
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            for (index, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                compare(wanted, got, &format!("{at}[{index}]"), found);
            }
        }
        (wanted, got) if wanted != got => {
            found.push(format!("{at}: expected {}, got {}", cut(wanted), cut(got)));
        }
        _ => {}
    }
}
