//! Where log lines go and how they look.

use super::log_queue::LogQueue;
use super::panics;
use crate::config::LogFormat;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Environment variable that overrides the filter derived from `-v`, in the syntax of `RUST_LOG`.
pub const FILTER_VARIABLE: &str = "UMBEL_LOG";
/// How long the process waits for the reader of the log before it exits.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The variable [`FILTER_VARIABLE`] holds no filter.
    #[error("{FILTER_VARIABLE}={value:?}: {cause}; write for example `info,umbel::proxy=debug`")]
    Filter {
        /// What the variable holds.
        value: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Another subscriber is installed already.
    #[error("logging is set up already: {0}")]
    Installed(#[from] TryInitError),
    /// The thread that writes cannot be started.
    #[error("the log cannot be written: {0}")]
    Writer(#[from] io::Error),
}

/// Running logs. Dropping it waits a moment until the last lines are written.
#[derive(Clone, Debug)]
pub struct Logs(LogQueue);

impl Logs {
    /// Waits a moment until the last lines are written.
    pub fn flush(&self) {
        self.0.flush(LAST_FLUSH);
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Sends all log lines to standard error, from now until the process ends. `verbosity` counts `-v`: 0 shows
/// what an operator should know, 1 Umbel's own decisions, 2 the libraries' too, 3 everything. `filter` is
/// the value of [`FILTER_VARIABLE`], which wins. Panics are logged and counted from now on, too.
///
/// # Errors
/// When the filter cannot be read, or when called twice.
pub fn start(format: LogFormat, verbosity: u8, filter: Option<&str>) -> Result<Logs, LogError> {
    let filter = parse_filter(verbosity, filter)?;
    // Not `io::stderr()`, whose lock would be held while the reader of the log does not read.
    let queue = LogQueue::start(File::from(io::stderr().as_fd().try_clone_to_owned()?))?;
    let logs = Logs(queue.clone());
    // An error of the writer would be reported by `eprintln!`, which panics if standard error is closed.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let builder = builder.with_writer(move || LineWriter(queue.clone()));
    match format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    panics::log_panics();
    Ok(logs)
}

fn parse_filter(verbosity: u8, filter: Option<&str>) -> Result<EnvFilter, LogError> {
    let text = match (filter, verbosity) {
        (Some(text), _) => text,
        (None, 0) => "info",
        (None, 1) => "info,umbel=debug",
        (None, 2) => "debug,umbel=trace",
        (None, _) => "trace",
    };
    EnvFilter::try_new(text)
        .map_err(|error| LogError::Filter { value: text.to_owned(), cause: error.to_string() })
}

/// Writes one event as one line. Values come from clients and backends: a control character in them may forge
/// a line or talk to the operator's terminal, so each is written as an escape that JSON understands too.
struct LineWriter(LogQueue);

impl Write for LineWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.push(escape(event).as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn escape(event: &[u8]) -> String {
    let text = String::from_utf8_lossy(event);
    let (body, end) = text.strip_suffix('\n').map_or((&*text, ""), |body| (body, "\n"));
    let mut out = String::with_capacity(text.len());
    for character in body.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_line_separator(c) => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push_str(end);
    out
}

fn is_line_separator(character: char) -> bool {
    matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_inside_a_line_can_end_it_or_reach_the_terminal() {
        let event = "path=/a\r\n2026 INFO forged \u{1b}[2J\u{9b}\u{2028}\tend\n".as_bytes();
        assert_eq!(escape(event), "path=/a\\r\\n2026 INFO forged \\u001b[2J\\u009b\\u2028\\tend\n");
    }

    #[test]
    fn a_json_line_stays_json() {
        let line = serde_json::json!({"message": "a\u{7f}b\u{85}"}).to_string();
        let written = escape(line.as_bytes());
        assert!(!written.contains('\u{7f}') && !written.contains('\u{85}'), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap()["message"], "a\u{7f}b\u{85}");
    }

    #[test]
    fn the_variable_wins_and_a_broken_one_is_explained() {
        assert_eq!(parse_filter(0, None).unwrap().to_string(), "info");
        assert_eq!(parse_filter(0, Some("warn")).unwrap().to_string(), "warn");
        let error = parse_filter(0, Some("umbel=loud")).unwrap_err().to_string();
        assert!(error.starts_with("UMBEL_LOG=\"umbel=loud\": "), "{error}");
    }
}
