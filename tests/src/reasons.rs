//! The page of the authors' guide that is written from the code.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use umbel::plugin::Reason;

const HEAD: &str = "# Errors: cause and fix

A gateway that does not take a component into service says why with one of these codes: in `kubectl get plugins`, in its
log, and with the fix in `kubectl describe plugin NAME` and `umbel plugin check`. The message beside the code names the details. Whatever
served before keeps serving.

";

/// Where the page lies.
pub fn reasons_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/guide/errors.md")
}

/// The page as it has to be. Written by `cargo run --package umbel-tests --example reasons`.
pub fn reasons_page() -> String {
    let mut page = format!("{HEAD}| Reason | Cause | Fix |\n|---|---|---|\n");
    for reason in Reason::ALL {
        // Writing to a string cannot fail.
        writeln!(page, "| `{reason}` | {} | {} |", reason.cause(), reason.cure()).ok();
    }
    page
}
