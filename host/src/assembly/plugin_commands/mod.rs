//! `umbel plugin`: what authors of plugins need.

mod build;
mod new;

pub use build::{PluginBuildArgs, PluginBuildError, build_plugin, componentize};

use super::CommandError;
use super::shell::shell_word;
use clap::Subcommand;

/// What to do for a plugin.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Write a new plugin that builds and passes its cases
    New(new::NewFlags),
    /// Build a plugin in Rust, Go, JavaScript or Python and turn it into a component
    Build(PluginBuildArgs),
}

/// Runs one of the commands.
pub(super) fn run(command: &PluginCommand) -> Result<(), CommandError> {
    match command {
        PluginCommand::New(flags) => new::run(flags),
        PluginCommand::Build(args) => {
            let written = build_plugin(args).map_err(CommandError::failed)?;
            let lines: Vec<String> = written.iter().map(|path| format!("{}\n", path.display())).collect();
            super::print(&lines.concat())
        }
    }
}
