//! Start-up order, subcommands and exit codes.

use std::process::ExitCode;

/// Runs the program with the process's own arguments and returns its exit code.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
