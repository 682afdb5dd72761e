//! `umbel plugin-compile`: the gateway runs itself so, to compile a component without risk to itself.

use crate::plugin::{CompileLimits, compile_for_parent};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

/// Limits that the process sets itself.
#[derive(Debug, Args)]
pub(super) struct CompileFlags {
    /// Bytes of address space
    #[arg(long)]
    memory: u64,
    /// Seconds of computing
    #[arg(long)]
    cpu: u64,
}

/// Compiles what comes on standard input.
pub(super) fn run(flags: &CompileFlags) -> ExitCode {
    let cpu = Duration::from_secs(flags.cpu);
    compile_for_parent(CompileLimits { memory: flags.memory, cpu, ..CompileLimits::default() })
}
