//! What a guest prints, as lines of the log.

use crate::plugin::component::bindings::offered::umbel::host::log::Level;
use crate::plugin::component::call_state::Profile;
use crate::plugin::offer::host_functions::{LINES_PER_CALL, admits_line, show_line};
use crate::plugin::offer::log_gate::tame;
use crate::plugin::offer::script::SharedScript;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

/// Bytes of a line that are kept; a longer one is cut.
const LINE_KEPT: usize = 2 << 10;
/// Bytes of one write.
const WRITE_MAX: usize = 64 << 10;
/// Number of lines of standard error that are kept to explain a trap.
const ERRORS_KEPT: usize = 2;

/// Where both channels of one call lead.
#[derive(Debug)]
pub(in crate::plugin) struct Output {
    profile: Arc<Profile>,
    script: Option<SharedScript>,
    lines: AtomicU32,
    /// The last lines of standard error, to which a runtime writes the reason of an abort.
    errors: Mutex<VecDeque<String>>,
}

impl Output {
    pub(in crate::plugin) fn new(profile: Arc<Profile>, script: Option<SharedScript>) -> Self {
        Self { profile, script, lines: AtomicU32::new(0), errors: Mutex::default() }
    }

    fn write(&self, level: Level, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        if text.is_empty() {
            return;
        }
        if level == Level::Warn {
            self.keep_error(text);
        }
        if self.lines.fetch_add(1, Ordering::Relaxed) >= LINES_PER_CALL {
            return;
        }
        if self.script.is_some() || admits_line(&self.profile) {
            show_line(&self.profile, self.script.as_ref(), level, &tame(text));
        }
    }

    fn keep_error(&self, text: &str) {
        // Rust adds this to the text of a panic.
        if text.starts_with("note: run with `RUST_BACKTRACE") {
            return;
        }
        let mut errors = self.errors.lock();
        if errors.len() >= ERRORS_KEPT {
            errors.pop_front();
        }
        errors.push_back(tame(text));
    }

    /// The last lines of standard error, joined.
    pub(in crate::plugin) fn error_text(&self) -> Option<String> {
        let errors = self.errors.lock();
        let lines: Vec<&str> = errors.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join(" "))
    }
}

/// Standard output or standard error of one call. Every handle writes to the same line.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct Channel(Arc<Open>);

#[derive(Debug)]
struct Open {
    output: Arc<Output>,
    level: Level,
    /// What stands behind the last end of a line.
    rest: Mutex<Vec<u8>>,
}

impl Channel {
    /// Standard output.
    pub(in crate::plugin) fn out(output: Arc<Output>) -> Self {
        Self::open(output, Level::Info)
    }

    /// Standard error.
    pub(in crate::plugin) fn error(output: Arc<Output>) -> Self {
        Self::open(output, Level::Warn)
    }

    fn open(output: Arc<Output>, level: Level) -> Self {
        Self(Arc::new(Open { output, level, rest: Mutex::default() }))
    }
}

impl Open {
    fn take(&self, bytes: &[u8]) {
        let mut rest = self.rest.lock();
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = LINE_KEPT.saturating_sub(rest.len());
            rest.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if pieces.peek().is_some() {
                self.output.write(self.level, &rest);
                rest.clear();
            }
        }
    }
}

/// The last line of a call may have no end.
impl Drop for Open {
    fn drop(&mut self) {
        self.output.write(self.level, self.rest.get_mut());
    }
}

impl IsTerminal for Channel {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Channel {
    /// Only WASI 0.3 asks for this one, which is not offered.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Channel {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.0.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_MAX)
    }
}

#[async_trait]
impl Pollable for Channel {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::offer::script::Script;
    use crate::plugin::source::manifest::Manifest;

    fn script_and_output() -> (SharedScript, Arc<Output>) {
        let profile = Profile::new("a", 1, Manifest::absent());
        let script = Script::shared(crate::plugin::record::Tape::default());
        (SharedScript::clone(&script), Arc::new(Output::new(Arc::new(profile), Some(script))))
    }

    fn lines(script: &SharedScript) -> Vec<(&'static str, String)> {
        script.lock().lines.clone()
    }

    #[test]
    fn what_is_printed_becomes_lines() {
        let (script, output) = script_and_output();
        let (out, error) = (Channel::out(Arc::clone(&output)), Channel::error(output));
        let mut again = out.clone();
        again.write(Bytes::from_static(b"one\ntw")).unwrap();
        error.clone().write(Bytes::from_static(b"bad\r\n\n")).unwrap();
        again.write(Bytes::from_static(b"o\n\x1b[31mlast")).unwrap();
        assert_eq!(lines(&script), [("info", "one".into()), ("warn", "bad".into()), ("info", "two".into())]);
        drop((out, again, error));
        assert_eq!(lines(&script).last().unwrap(), &("info", "\\u{1b}[31mlast".to_owned()));
    }

    #[test]
    fn the_end_of_standard_error_explains_a_trap() {
        let (_, output) = script_and_output();
        assert_eq!(output.error_text(), None);
        Channel::out(Arc::clone(&output)).write(Bytes::from_static(b"fine\n")).unwrap();
        let panic = "starting\n\nthread '<unnamed>' panicked at src/lib.rs:7:9:\nboom\nnote: run with `RUST_BACKTRACE=1`\n";
        Channel::error(Arc::clone(&output)).write(Bytes::from(panic)).unwrap();
        assert_eq!(output.error_text().unwrap(), "thread '<unnamed>' panicked at src/lib.rs:7:9: boom");
    }

    #[test]
    fn a_flood_is_cut() {
        let (script, output) = script_and_output();
        let mut out = Channel::out(output);
        out.write(vec![b'x'; 100_000].into()).unwrap();
        out.write(Bytes::from_static(b"\n")).unwrap();
        assert!(lines(&script)[0].1.len() < 1_100);
        out.write("y\n".repeat(500).into()).unwrap();
        assert_eq!(lines(&script).len(), LINES_PER_CALL as usize);
    }
}
