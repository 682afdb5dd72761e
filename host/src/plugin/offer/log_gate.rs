//! Lines that a plugin writes to the log: short, harmless, and not too many.

use parking_lot::Mutex;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Lines of one plugin per second.
const LINES_PER_SECOND: u32 = 200;
/// Bytes of one line.
const LINE_MAX: usize = 1024;
/// Fields of one line.
const FIELDS_MAX: usize = 16;

/// Counts the lines of one plugin.
#[derive(Debug)]
pub(in crate::plugin) struct LogGate(Mutex<Window>);

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    dropped: u32,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Admission {
    /// It is written; so many were dropped before it.
    Write(u32),
    /// It is dropped.
    Drop,
}

impl LogGate {
    pub(in crate::plugin) fn new() -> Self {
        Self(Mutex::new(Window { began: Instant::now(), lines: 0, dropped: 0 }))
    }

    pub(in crate::plugin) fn admit(&self, now: Instant) -> Admission {
        let mut window = self.0.lock();
        if now.duration_since(window.began) >= Duration::from_secs(1) {
            let dropped = window.dropped;
            *window = Window { began: now, lines: 1, dropped: 0 };
            return Admission::Write(dropped);
        }
        if window.lines >= LINES_PER_SECOND {
            window.dropped += 1;
            return Admission::Drop;
        }
        window.lines += 1;
        Admission::Write(0)
    }
}

/// One line from a message and fields, without control characters, cut at 1 KiB.
pub(in crate::plugin) fn line(message: &str, fields: &[(String, String)]) -> String {
    let mut out = String::new();
    push_escaped(&mut out, message, LINE_MAX);
    for (key, value) in fields.iter().take(FIELDS_MAX) {
        out.push(' ');
        push_escaped(&mut out, key, LINE_MAX);
        out.push('=');
        push_escaped(&mut out, value, LINE_MAX);
    }
    if fields.len() > FIELDS_MAX {
        // Writing to a string cannot fail.
        let _: std::fmt::Result = write!(out, " …{} more fields", fields.len() - FIELDS_MAX);
    }
    cut(out, LINE_MAX)
}

/// A text of a plugin as it may stand in a message: no control characters, at most 1 KiB.
pub(in crate::plugin) fn tame(text: &str) -> String {
    tame_to(LINE_MAX, text)
}

/// The same, with at most `max` bytes.
pub(in crate::plugin) fn tame_to(max: usize, text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    push_escaped(&mut out, text, max);
    cut(out, max)
}

fn cut(mut line: String, max: usize) -> String {
    if line.len() > max {
        line.truncate(line.floor_char_boundary(max));
        line.push_str("…[cut]");
    }
    line
}

fn push_escaped(out: &mut String, text: &str, max: usize) {
    for c in text.chars() {
        if out.len() > max {
            return;
        }
        if c.is_control() || is_unseen(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// Characters besides the control characters that nobody sees, that change the direction of text, or that end lines.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_forge_another() {
        let fields = [("k\n".to_owned(), "v\u{1b}[31m".to_owned())];
        assert_eq!(
            line("a\nERROR all lost\u{202e}", &fields),
            "a\\nERROR all lost\\u{202e} k\\n=v\\u{1b}[31m"
        );
    }

    #[test]
    fn what_nobody_sees_is_shown() {
        assert_eq!(tame("a\u{200b}b\u{61c}c\u{feff}d\u{e0041}"), "a\\u{200b}b\\u{61c}c\\u{feff}d\\u{e0041}");
        assert_eq!(tame_to(4, "abcdef"), "abcd…[cut]");
    }

    #[test]
    fn a_long_line_is_cut_with_a_mark() {
        let long = line(&"é".repeat(5_000), &[]);
        assert!(long.len() < LINE_MAX + 20 && long.ends_with("…[cut]"), "{}", long.len());
    }

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let gate = LogGate::new();
        let start = Instant::now();
        for _ in 0..LINES_PER_SECOND {
            assert_eq!(gate.admit(start), Admission::Write(0));
        }
        assert_eq!(gate.admit(start), Admission::Drop);
        assert_eq!(gate.admit(start), Admission::Drop);
        assert_eq!(gate.admit(start + Duration::from_secs(2)), Admission::Write(2));
    }

    #[test]
    fn a_second_after_the_first_line_the_gate_is_open_again() {
        let gate = LogGate::new();
        let began = gate.0.lock().began;
        let second = Duration::from_secs(1);
        for _ in 0..LINES_PER_SECOND {
            assert!(matches!(gate.admit(began), Admission::Write(0)));
        }
        let almost = began + second - Duration::from_nanos(1);
        assert!(matches!(gate.admit(almost), Admission::Drop));
        assert!(matches!(gate.admit(began + second), Admission::Write(1)));
    }
}
