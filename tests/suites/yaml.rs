//! YAML of a running Umbel, read and written by other programs.

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use umbel_tests::{Missing, Umbel, need};

const NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";

/// Reads YAML from standard input as PyYAML does, and prints it as JSON. Values that JSON does not have, such as dates,
/// are errors.
const READER: &str =
    "import json, sys, yaml\njson.dump(yaml.safe_load(sys.stdin.buffer.read().decode()), sys.stdout)";

/// Text that some YAML parser misreads, or that cannot be written in YAML unchanged.
const TRAPS: [&str; 90] = [
    "on",
    "On",
    "off",
    "yes",
    "Yes",
    "no",
    "NO",
    "y",
    "n",
    "true",
    "False",
    "null",
    "~",
    "",
    "1e3",
    "1E3",
    "1.5e3",
    "1e+3",
    "012",
    "08",
    "0o14",
    "0x1f",
    "0X1F",
    "0b11",
    "-0x1f",
    "+12",
    "-12",
    "1_000",
    "1__0",
    "0_1",
    "1,000",
    "12:30",
    "12:30:45",
    "-1:20",
    "190:20:30.15",
    "2026-11-28",
    "2026-1-2",
    "2026-13-45",
    "2026-11-28T20:00:00Z",
    "2026-11-28t20:00:00+01:00",
    "2026-11-28 20:00:00",
    ".inf",
    "-.Inf",
    ".nan",
    "NaN",
    "=",
    "<<",
    " ",
    " a",
    "a ",
    "\ta",
    "- a",
    "-",
    "---",
    "--- a",
    "...",
    "? a",
    "?",
    ": a",
    ":",
    ":a",
    "a: b",
    "a:",
    "a #b",
    "#a",
    "&a",
    "*a",
    "!a",
    "!!str a",
    "|",
    ">",
    "%a",
    "@a",
    "`a",
    "'a'",
    "\"a\"",
    "[a]",
    "{a}",
    ",",
    "a\nb",
    "a\n\nb\n\n",
    "\na",
    " a\nb",
    "a \nb",
    "a\rb",
    "a\u{1}b",
    "a\u{85}b",
    "a\u{2028}b",
    "\u{feff}a",
    "\u{1f600}\\n",
];

/// Where Python may be. The first one on the PATH need not be the one for which the system installs PyYAML.
const INTERPRETERS: [&str; 2] = ["python3", "/usr/bin/python3"];

fn run_reader(python: &str, text: &str) -> Result<Result<Value, String>> {
    let mut command = Command::new(python);
    command.args(["-c", READER]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reader = command.spawn()?;
    reader.stdin.take().context("no standard input")?.write_all(text.as_bytes())?;
    let output = reader.wait_with_output()?;
    if output.status.success() {
        return Ok(Ok(serde_json::from_slice(&output.stdout)?));
    }
    Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// A Python with PyYAML. Debian has it as `python3-yaml`.
fn python_with_yaml() -> Result<&'static str, Missing> {
    let has_yaml = |python: &&str| matches!(run_reader(python, "a: 1"), Ok(Ok(_)));
    INTERPRETERS.into_iter().find(has_yaml).ok_or_else(|| {
        Missing(format!(
            "PyYAML is in none of {INTERPRETERS:?}: install python3-yaml or run pip install pyyaml"
        ))
    })
}

#[tokio::test]
async fn a_reader_of_yaml_1_1_reads_what_was_meant() -> Result<()> {
    let Some(python) = need(python_with_yaml())? else { return Ok(()) };
    // As keys and as values, all at once.
    let keys: Map<String, Value> = TRAPS.iter().map(|text| ((*text).to_owned(), json!(text))).collect();
    let numbers = json!([1.5, 1e21, 1e-7, 1.5e300, 18_446_744_073_709_551_615_u64, -1, true, null, [], {}]);
    let document = json!({"keys": keys, "list": TRAPS.as_slice(), "numbers": numbers});
    let written = umbel::model::yaml::write(&document);
    let read = run_reader(python, &written)?.map_err(anyhow::Error::msg)?;
    assert_eq!(read, document);

    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let annotations: Map<String, Value> =
        TRAPS.iter().enumerate().map(|(index, text)| (format!("example.com/{index}"), json!(text))).collect();
    let labels = json!({"on": "no", "y": "012", "2026": "1e3"});
    let object = json!({
        "metadata": {"name": "x", "annotations": annotations, "labels": labels}, "spec": {"host": "a.example.com"},
    });
    admin.post(NAMES, &object).await?.expect(201)?;
    let wanted = admin.get(&format!("{NAMES}/x")).await?.expect(200)?;
    let reader = umbel.admin()?.header("accept", "application/yaml")?;
    for path in [format!("{NAMES}/x"), NAMES.to_owned()] {
        let answer = reader.get(&path).await?;
        ensure!(answer.status == 200, "{}", answer.text());
        let read = run_reader(python, &answer.text())?.map_err(anyhow::Error::msg)?;
        let read = if read["items"].is_null() { read } else { read["items"][0].clone() };
        assert_eq!(read["metadata"], wanted["metadata"], "{path}");
        assert_eq!(read["spec"], wanted["spec"], "{path}");
    }
    Ok(())
}

/// Without budgets the first of these burns 13 s of a core.
#[tokio::test]
async fn bodies_that_unfold_are_refused_fast() -> Result<()> {
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let mut laughs = "a0: &a0 ha\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 9].join(",");
        laughs.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let bombs = [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
        laughs,
    ];
    for bomb in bombs {
        let began = Instant::now();
        let answer = admin.send(Method::POST, NAMES, "application/yaml", bomb.clone()).await?;
        let status = answer.expect(400)?;
        let message = status["message"].as_str().unwrap_or_default();
        ensure!(message.contains("yaml: line "), "{message}");
        ensure!(message.len() < 2_000, "{} bytes of message", message.len());
        ensure!(began.elapsed() < Duration::from_secs(8), "{:?}: {message}", began.elapsed());
    }
    Ok(())
}
