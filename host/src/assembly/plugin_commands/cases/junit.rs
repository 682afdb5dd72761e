//! Results in the XML that build servers read.

use super::complaints;
use super::trial::Outcome;
use std::fmt::Write;

/// One test suite of one plugin.
pub(super) fn document(name: &str, outcomes: &[Outcome]) -> String {
    let failures = outcomes.iter().filter(|outcome| !outcome.passed).count();
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let tests = outcomes.len();
    // Writing to a string cannot fail, here and below.
    writeln!(xml, "<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\">", escape(name)).ok();
    for outcome in outcomes {
        let (file, case) = (escape(&outcome.file), escape(&outcome.name));
        let (seconds, fraction) = (outcome.microseconds / 1_000_000, outcome.microseconds % 1_000_000);
        write!(xml, "  <testcase classname=\"{file}\" name=\"{case}\" time=\"{seconds}.{fraction:06}\"").ok();
        if outcome.passed {
            xml.push_str("/>\n");
            continue;
        }
        let text = complaints(outcome);
        let head = text.trim_start().lines().next().unwrap_or_default();
        let kind = outcome.fault.as_ref().map(|fault| format!(" type=\"{}\"", escape(&fault.kind)));
        writeln!(
            xml,
            ">\n    <failure{} message=\"{}\">{}</failure>\n  </testcase>",
            kind.unwrap_or_default(),
            escape(head),
            escape(&text)
        )
        .ok();
    }
    xml.push_str("</testsuite>\n");
    xml
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            // XML 1.0 has no way to write other control characters.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
