//! Text that describes a trap: the text of the panic or exception, the trap, and the stack of the guest.

use crate::plugin::offer::log_gate::{tame, tame_to};
use std::borrow::Cow;
use wasmtime::{Trap, WasmBacktrace};

/// Maximum number of frames in the text.
const FRAMES: usize = 4;
/// Maximum bytes of the guest's own text, so that the trap and its frames fit after it.
const ERROR_MAX: usize = 640;
/// Crates whose frames only lie between a panic and its trap. They say nothing about the plugin.
const RUNTIME: [&str; 7] = ["core::", "std::", "alloc::", "wit_bindgen", "__rust", "rust_", "dlmalloc"];

/// Describes a call that ended with `error`. `last_error` is the last line that the guest logged as an error.
pub(in crate::plugin) fn trap_text(error: &wasmtime::Error, last_error: Option<&str>) -> String {
    let trap =
        error.downcast_ref::<Trap>().map_or_else(|| error.root_cause().to_string(), ToString::to_string);
    let names: Vec<&str> = error
        .downcast_ref::<WasmBacktrace>()
        .into_iter()
        .flat_map(|backtrace| backtrace.frames().iter().filter_map(|frame| frame.func_name()))
        .collect();
    tame(&joined(&trap, &names, last_error))
}

fn joined(trap: &str, names: &[&str], last_error: Option<&str>) -> String {
    let frames = frames(names, last_error.is_some());
    let place = if frames.is_empty() { String::new() } else { format!(", in {}", frames.join(" < ")) };
    match last_error {
        Some(error) => format!("{} ({trap}{place})", tame_to(ERROR_MAX, error)),
        None => format!("{trap}{place}"),
    }
}

/// The innermost functions of the plugin, demangled. If there is an error text, the frames of an interpreter would
/// only obscure it. Frames of an interpreter are not mangled.
fn frames<'a>(names: &[&'a str], only_mangled: bool) -> Vec<Cow<'a, str>> {
    let readable = names.iter().filter_map(|name| match rustc_demangle::try_demangle(name) {
        Ok(demangled) => Some(Cow::Owned(format!("{demangled:#}"))),
        Err(_) if only_mangled => None,
        Err(_) => Some(Cow::Borrowed(*name)),
    });
    let own = readable.filter(|name| {
        let name = name.trim_start_matches(['<', '&']);
        !RUNTIME.iter().any(|prefix| name.starts_with(prefix))
    });
    own.take(FRAMES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = [
        "_RNvCs1234_7___rustc17rust_begin_unwind",
        "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
        "_ZN4shop7resolve17h0123456789abcdefE",
        "umbel:resolver/resolver@0.1.0#resolve",
    ];

    #[test]
    fn frames_are_demangled_and_those_of_the_runtime_are_left_out() {
        assert_eq!(frames(&NAMES, false), ["shop::resolve", "umbel:resolver/resolver@0.1.0#resolve"]);
        assert_eq!(
            frames(&["PyEval_EvalFrame", "main.resolve"], false),
            ["PyEval_EvalFrame", "main.resolve"]
        );
        assert!(frames(&["PyEval_EvalFrame"], true).is_empty());
    }

    #[test]
    fn the_text_of_a_panic_stands_before_its_trap() {
        let trap = "wasm `unreachable` instruction executed";
        assert_eq!(
            joined(trap, &NAMES, Some("panicked at src/lib.rs:7:9: boom")),
            format!("panicked at src/lib.rs:7:9: boom ({trap}, in shop::resolve)")
        );
        assert_eq!(joined(trap, &[], None), trap);
        let long = joined(trap, &[], Some(&"x".repeat(2_000)));
        assert!(long.ends_with(&format!("…[cut] ({trap})")), "{long}");
    }
}
