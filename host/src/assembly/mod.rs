//! Subcommands, start-up order and exit codes.
//!
//! Exit codes: 0 done, 1 it was tried and failed, 2 the command line or the settings cannot be used.

mod allocator;
mod arguments;
mod backend_init;
mod cli;
mod command_error;
#[cfg(feature = "plugins")]
mod compile_child;
mod controllers;
mod demo;
mod files;
mod gateway;
mod parts;
#[cfg(feature = "plugins")]
mod plugin_commands;
mod renewal;
mod serve;
mod shell;
mod store_commands;
mod version;

pub use command_error::CommandError;
#[cfg(feature = "plugins")]
pub use plugin_commands::{PluginBuildArgs, PluginBuildError, build_plugin, componentize};

use crate::config::ServeFlags;
use clap::CommandFactory;
use cli::{BackendCommand, Cli, Command};
use std::io::{self, Write};
use std::num::NonZero;
use std::process::ExitCode;

/// Runs the program with the process's own arguments and returns its exit code.
pub fn run() -> ExitCode {
    let cli = match arguments::parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            // A reader that has closed the pipe (`| head`) is not an error.
            let is_lost = printed.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe);
            return ExitCode::from(if is_lost { 1 } else { code });
        }
    };
    #[cfg(feature = "plugins")]
    if let Command::PluginCompile(flags) = &cli.command {
        return compile_child::run(flags);
    }
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere is left to report that standard error is gone.
            writeln!(io::stderr(), "error: {error}").ok();
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Serve(flags) => serve(&flags),
        Command::Demo(flags) => demo::run(&flags),
        Command::DemoBackend(flags) => {
            if flags.until_stdin_ends {
                demo::end_with_stdin();
            }
            demo::run_backend(&flags)
        }
        Command::DemoGateway(flags) => {
            demo::end_with_stdin();
            serve(&flags)
        }
        Command::Backend { command: BackendCommand::Init(flags) } => backend_init::run(&flags),
        // Done before, for its exit codes are its own.
        #[cfg(feature = "plugins")]
        Command::PluginCompile(_) => Ok(()),
        #[cfg(feature = "plugins")]
        Command::Plugin { command } => plugin_commands::run(&command),
        Command::Store { command } => store_commands::run(&command),
        Command::Version { output } => print(&version::render(output)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "umbel", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

fn serve(flags: &ServeFlags) -> Result<(), CommandError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let config = crate::config::load(flags, &files::RealFiles, cores)
        .map_err(|problems| CommandError::Usage(problems.to_string()))?;
    serve::run(&config)
}

/// Writes to standard output; a reader that has gone away is no failure.
fn print(text: &str) -> Result<(), CommandError> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::Failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
