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

/// Lines of a name and a value; what is empty is left out.
pub(super) fn rows(rows: &[(&str, String)]) -> String {
    let lines = rows.iter().filter(|(_, value)| !value.is_empty());
    lines.map(|(name, value)| format!("  {name:9} {value}\n")).collect()
}

/// A number of bytes as people read it.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
