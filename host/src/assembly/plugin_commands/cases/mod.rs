//! `umbel plugin test`: cases as data, run by the code that runs plugins in a gateway.

mod case_file;
mod compare;
mod expectation;
mod junit;
mod trial;
mod validation;

pub(super) use case_file::{Ask, Case, read_folder};
pub(super) use trial::manifest as manifest_of;

use super::given::{Given, GivenFlags};
use super::report::visible;
use crate::assembly::CommandError;
use clap::{Args, ValueEnum, ValueHint};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use trial::{Outcome, UnexpectedFault};

/// Flags of `umbel plugin test`.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct TestFlags {
    #[command(flatten)]
    pub(super) given: GivenFlags,
    #[command(flatten)]
    pub(super) cases: CasesFlags,
    /// Form of the answer [default: text for people]
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

/// Which cases are run.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct CasesFlags {
    /// Folder of the cases [default: cases beside the component]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    cases: Option<PathBuf>,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// JSON for programs
    Json,
    /// JUnit XML for build servers
    Junit,
}

/// Hints for calls that exceeded a budget.
const HINTS: [(&str, &str); 4] = [
    ("timeout-cpu", "look for an endless loop; spec.limits.cpu of the manifest allows up to 10s"),
    ("timeout-wall", "it waited too long; spec.limits.wall of the manifest allows up to 60s"),
    ("memory", "look for a list that grows; spec.limits.memory of the manifest allows up to 64MiB"),
    ("host-bytes", "pass less at once, for example only the part of a document that is needed"),
];

impl CasesFlags {
    /// The folder with the cases of a component.
    pub(super) fn folder(&self, given: &GivenFlags) -> PathBuf {
        let beside = || given.file.parent().unwrap_or(Path::new("")).join("cases");
        self.cases.clone().unwrap_or_else(beside)
    }

    /// Reads the cases that are meant.
    ///
    /// # Errors
    /// File, line and what is wrong there; or that none is meant.
    pub(super) fn read(&self, given: &GivenFlags) -> Result<Vec<Case>, String> {
        let folder = self.folder(given);
        self.select(&folder, read_folder(&folder)?)
    }

    /// Reads the cases of one file that are meant.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_file(&self, file: &Path) -> Result<Vec<Case>, String> {
        self.select(file, case_file::read_file(file)?)
    }

    fn select(&self, place: &Path, mut cases: Vec<Case>) -> Result<Vec<Case>, String> {
        if let Some(part) = &self.filter {
            cases.retain(|case| case.name.contains(part));
            if cases.is_empty() {
                return Err(format!("{}: the name of no case contains {part:?}", place.display()));
            }
        }
        Ok(cases)
    }
}

/// Runs the cases and prints what differs.
///
/// # Errors
/// `Failed` when a case fails, cannot be read, or the component cannot be loaded.
pub(super) fn run(flags: &TestFlags) -> Result<(), CommandError> {
    let given = flags.given.read()?;
    let cases = flags.cases.read(&flags.given).map_err(CommandError::Failed)?;
    let outcomes = run_cases(&given, &cases)?;
    let text = match flags.output {
        None => text(&outcomes),
        Some(Output::Json) => format!("{:#}\n", json!({"file": given.file, "cases": outcomes})),
        Some(Output::Junit) => junit::document(&given.name, &outcomes),
    };
    crate::assembly::print(&text)?;
    match failures(&outcomes) {
        0 => Ok(()),
        count => Err(CommandError::failed(format!("{count} of {} cases failed", outcomes.len()))),
    }
}

/// Runs cases and gives a report for people, and how many failed.
///
/// # Errors
/// When the component cannot be loaded.
pub(super) fn report(given: &Given, cases: &[Case]) -> Result<(String, usize), CommandError> {
    let outcomes = run_cases(given, cases)?;
    Ok((text(&outcomes), failures(&outcomes)))
}

fn run_cases(given: &Given, cases: &[Case]) -> Result<Vec<Outcome>, CommandError> {
    trial::run_all(given, cases).map_err(|refusal| {
        let cure = refusal.reason.cure();
        CommandError::failed(format!("{}: {refusal}\n  fix: {cure}", given.file.display()))
    })
}

fn failures(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| !outcome.passed).count()
}

fn text(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let word = if outcome.passed { "ok    " } else { "FAILED" };
        // Writing to a string cannot fail, here and below.
        writeln!(text, "{word}  {}: {}", outcome.file, outcome.name).ok();
        if !outcome.passed {
            text.push_str(&complaints(outcome));
        }
    }
    let failed = failures(outcomes);
    writeln!(text, "{} passed, {failed} failed", outcomes.len() - failed).ok();
    text
}

/// What is wrong, indented.
fn complaints(outcome: &Outcome) -> String {
    let mut text = String::new();
    if let Some(refusal) = &outcome.refusal {
        writeln!(text, "        a gateway refuses the plugin with the spec of this case: {refusal}").ok();
    }
    if let Some(UnexpectedFault { kind, message }) = &outcome.fault {
        writeln!(text, "        unexpected fault: {}: {}", visible(kind), visible(message)).ok();
        if let Some((_, hint)) = HINTS.iter().find(|(class, _)| class == kind) {
            writeln!(text, "        hint: {hint}").ok();
        }
    }
    for one in &outcome.differences {
        let path = if one.path.is_empty() { "the answer" } else { &one.path };
        writeln!(
            text,
            "        {path}\n          expected  {}\n          got       {}",
            one.expected, one.got
        )
        .ok();
    }
    for request in &outcome.unanswered {
        writeln!(text, "        the plugin asked for {request}; the case's world has no answer, add one")
            .ok();
    }
    for one in &outcome.disagreements {
        for line in one.text().lines() {
            writeln!(text, "      {line}").ok();
        }
    }
    for line in &outcome.log {
        writeln!(text, "        log  {line}").ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use compare::Difference;

    fn outcome(passed: bool) -> Outcome {
        let differences = match passed {
            true => Vec::new(),
            false => vec![Difference { path: "endpoints[0].port".into(), expected: json!(1), got: json!(2) }],
        };
        Outcome {
            file: "cases/a.yaml".into(),
            name: "one <two>".into(),
            passed,
            refusal: None,
            differences,
            fault: None,
            unanswered: if passed { Vec::new() } else { vec!["dns addresses of a".into()] },
            log: vec!["warn: hm".into()],
            disagreements: Vec::new(),
            microseconds: 1_500,
        }
    }

    #[test]
    fn a_failure_says_path_expected_and_got() {
        let text = text(&[outcome(true), outcome(false)]);
        assert!(text.starts_with("ok      cases/a.yaml: one <two>\nFAILED  cases/a.yaml"), "{text}");
        assert!(text.contains("endpoints[0].port\n          expected  1\n          got       2\n"), "{text}");
        assert!(text.contains("the plugin asked for dns addresses of a; "), "{text}");
        assert!(text.ends_with("log  warn: hm\n1 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn an_unexpected_fault_is_shown_in_every_form() {
        let differences =
            vec![Difference { path: "answer".into(), expected: json!("resolution"), got: json!("failure") }];
        let fault = UnexpectedFault { kind: "trap".into(), message: "trapped: boom\u{1b}[2J <here>".into() };
        let failed = Outcome { differences, fault: Some(fault), unanswered: Vec::new(), ..outcome(false) };
        let shown = text(std::slice::from_ref(&failed));
        assert!(shown.contains("unexpected fault: trap: trapped: boom\\u{1b}[2J <here>\n"), "{shown}");
        let json = serde_json::to_value(&failed).unwrap();
        assert_eq!(json["fault"], json!({"kind": "trap", "message": "trapped: boom\u{1b}[2J <here>"}));
        let xml = junit::document("a", &[failed]);
        assert!(
            xml.contains("<failure type=\"trap\" message=\"unexpected fault: trap: trapped: boom"),
            "{xml}"
        );
        assert!(xml.contains("[2J &lt;here&gt;"), "{xml}");
    }

    #[test]
    fn build_servers_get_the_same() {
        let xml = junit::document("a", &[outcome(true), outcome(false)]);
        assert!(xml.contains("<testsuite name=\"a\" tests=\"2\" failures=\"1\""), "{xml}");
        assert!(xml.contains("name=\"one &lt;two&gt;\" time=\"0.001500\""), "{xml}");
        assert!(xml.contains("<failure message=\"endpoints[0].port"), "{xml}");
    }
}
