//! The limit for open files, which the gateway inherits.

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for the connections of one part, on both of their sides.
const NEEDED: u64 = 8_500;

/// Raises the soft limit to the hard one.
pub(super) fn raise_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let hard = maximum.unwrap_or(u64::MAX);
    ensure!(
        hard >= NEEDED,
        "the hard limit for open files is {hard}; this bench needs {NEEDED} (ulimit -Hn)"
    );
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
