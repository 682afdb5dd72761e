//! The command line.

use super::backend_init::InitFlags;
#[cfg(feature = "plugins")]
use super::compile_child::CompileFlags;
use super::demo::{BackendFlags, DemoFlags};
#[cfg(feature = "plugins")]
use super::plugin_commands::PluginCommand;
use super::store_commands::StoreCommand;
use super::version::OutputFormat;
use crate::config::ServeFlags;
use clap::{Parser, Subcommand};
use clap_complete::Shell;

/// Many Kubernetes-style API servers under one address
#[derive(Debug, Parser)]
#[command(name = "umbel", version, arg_required_else_help = true, subcommand_required = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve: one TLS address in front of every registered API server
    Serve(Box<ServeFlags>),
    /// Try it: a gateway and two sample API servers in a temporary directory, until Ctrl-C
    Demo(DemoFlags),
    /// One sample API server of the demo
    #[command(hide = true)]
    DemoBackend(BackendFlags),
    /// `serve` that ends with the demo
    #[command(hide = true)]
    DemoGateway(Box<ServeFlags>),
    /// Prepare backends
    Backend {
        #[command(subcommand)]
        command: BackendCommand,
    },
    /// Make plugins
    #[cfg(feature = "plugins")]
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Compiles one component for the gateway that started it
    #[cfg(feature = "plugins")]
    #[command(hide = true)]
    PluginCompile(CompileFlags),
    /// Check, save or fill the store of a stopped Umbel
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Print the version
    Version {
        /// Form of the answer [default: one line of text]
        #[arg(short, long, value_enum)]
        output: Option<OutputFormat>,
    },
    /// Print the completion script of a shell, for example `source <(umbel completions bash)`
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum BackendCommand {
    /// Write certificate, CA files, kubeconfig, flags and registration of one backend into a folder
    Init(InitFlags),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
