//! `umbel plugin`: what authors of plugins need.

mod agreement;
mod bench;
mod build;
mod cases;
mod check;
mod first_calls;
mod gateway;
mod given;
mod inspect;
mod install;
mod new;
mod recordings;
mod report;
mod similar_path;
mod watch;

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
    /// Measure what calls cost: time, memory, and computing in units that are the same everywhere
    Bench(bench::BenchFlags),
    /// Run the cases of a plugin, again whenever a file changes
    Run(watch::RunFlags),
    /// Write recent calls of a running gateway as cases
    Record(recordings::RecordFlags),
    /// Check a plugin and put it, whole, into the plugin directory of a gateway
    Install(install::InstallFlags),
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
        PluginCommand::Bench(flags) => bench::run(flags),
        PluginCommand::Run(flags) => watch::run(flags),
        PluginCommand::Record(flags) => recordings::run(flags),
        PluginCommand::Install(flags) => install::run(flags),
        PluginCommand::Build(args) => {
            let written = build_plugin(args).map_err(CommandError::failed)?;
            let lines: Vec<String> = written.iter().map(|path| format!("{}\n", path.display())).collect();
            super::print(&lines.concat())
        }
    }
}
