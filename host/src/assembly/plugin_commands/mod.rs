//! `umbel plugin`: what authors of plugins need.

mod build;
mod cases;
mod check;
mod given;
mod inspect;
mod new;
mod report;

pub use build::{PluginBuildArgs, PluginBuildError, build_plugin, componentize};

use super::CommandError;
use super::shell::shell_word;
use clap::Subcommand;

/// What to do for a plugin.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Write a new plugin that builds and passes its cases
    New(new::NewFlags),
    /// Say what a component is: kinds, imports, size, and whether a gateway takes it
    Inspect(inspect::InspectFlags),
    /// Load a component as a gateway does: exit code 0 when it would be taken, 1 when not
    Check(check::CheckFlags),
    /// Run the cases of a plugin: exit code 0 when all pass, 1 when not
    Test(cases::TestFlags),
    /// Build a plugin in Rust, Go, JavaScript or Python and turn it into a component
    Build(PluginBuildArgs),
}

/// Runs one of the commands.
pub(super) fn run(command: &PluginCommand) -> Result<(), CommandError> {
    match command {
        PluginCommand::New(flags) => new::run(flags),
        PluginCommand::Inspect(flags) => inspect::run(flags),
        PluginCommand::Check(flags) => check::run(flags),
        PluginCommand::Test(flags) => cases::run(flags),
        PluginCommand::Build(args) => {
            let written = build_plugin(args).map_err(CommandError::failed)?;
            let lines: Vec<String> = written.iter().map(|path| format!("{}\n", path.display())).collect();
            super::print(&lines.concat())
        }
    }
}
