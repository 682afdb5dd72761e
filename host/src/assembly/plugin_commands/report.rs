//! How commands of this family answer: a table for people, JSON for programs.

use crate::assembly::CommandError;
use clap::{Args, ValueEnum};
use serde_json::Value;

/// The form of an answer.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::assembly) struct Form {
    /// Form of the answer [default: text for people]
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// JSON for programs
    Json,
}

impl Form {
    /// Prints one of the two.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(super) fn print(self, text: &str, value: &Value) -> Result<(), CommandError> {
        match self.output {
            None => crate::assembly::print(text),
            Some(Output::Json) => crate::assembly::print(&format!("{value:#}\n")),
        }
    }
}

/// Lines of a name and a value; what is empty is left out. Values may be what a component says, and a terminal must
/// not obey that.
pub(super) fn rows(rows: &[(&str, String)]) -> String {
    let lines = rows.iter().filter(|(_, value)| !value.is_empty());
    lines.map(|(name, value)| format!("  {name:9} {}\n", visible(value))).collect()
}

/// Text of a component, without sequences that control a terminal.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Besides control characters, those that end lines or change the direction of text.
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A number of bytes as people read it.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_what_a_component_says_and_does_not_obey() {
        let value = "url=<\u{1b}[2J\n  reason    none>\u{9b}31m\u{202e}é".to_owned();
        let shown = rows(&[("imports", value), ("nothing", String::new())]);
        assert_eq!(shown, "  imports   url=<\\u{1b}[2J\\n  reason    none>\\u{9b}31m\\u{202e}é\n");
    }
}
