//! Leads what the plugin prints, and the text of its panics, to the gateway's log and to `umbel plugin test`.
//!
//! The target has no standard output, so the macros below take the place of those of the standard library.

use crate::umbel::host::log::{Level, write};
use std::fmt::Arguments;
use std::panic::PanicHookInfo;
use std::sync::Once;

#[allow(unused_macros, reason = "not every plugin prints")]
macro_rules! println {
    () => {};
    ($($part:tt)*) => { $crate::log_output::info(format_args!($($part)*)) };
}
#[allow(unused_macros, reason = "not every plugin prints")]
macro_rules! print { ($($part:tt)*) => { println!($($part)*) } }
#[allow(unused_macros, reason = "not every plugin prints")]
macro_rules! eprintln {
    () => {};
    ($($part:tt)*) => { $crate::log_output::warn(format_args!($($part)*)) };
}
#[allow(unused_macros, reason = "not every plugin prints")]
macro_rules! eprint { ($($part:tt)*) => { eprintln!($($part)*) } }
#[allow(unused_macros, reason = "not every plugin prints")]
macro_rules! dbg {
    ($value:expr $(,)?) => {
        match $value {
            value => {
                eprintln!("[{}:{}] {} = {:?}", file!(), line!(), stringify!($value), &value);
                value
            }
        }
    };
}

/// Lines at level info.
#[allow(dead_code, reason = "not every plugin prints")]
pub fn info(text: Arguments<'_>) {
    lines(Level::Info, text);
}

/// Lines at level warn.
#[allow(dead_code, reason = "not every plugin prints")]
pub fn warn(text: Arguments<'_>) {
    lines(Level::Warn, text);
}

fn lines(level: Level, text: Arguments<'_>) {
    for line in text.to_string().lines().filter(|line| !line.is_empty()) {
        write(level, line, &[]);
    }
}

/// Makes panics reach the log. Every export calls it first.
pub fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(log_panic)));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    write(Level::Error, &format!("panicked{place}: {text}"), &[]);
}
