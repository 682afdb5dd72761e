//! `umbel demo`: a gateway and two sample API servers in a temporary directory.

mod admin;
mod backend_server;
mod check;
mod children;
mod documents;
mod front_proxy;
mod kinds;
mod session;
mod table;

pub use backend_server::{BackendFlags, run as run_backend};
pub(super) use children::end_with_stdin;

use super::CommandError;
use clap::Args;
use session::Session;
use std::io::{self, IsTerminal, Write};
use tokio::signal::unix::{SignalKind, signal};

/// Flags of `umbel demo`.
#[derive(Args, Debug)]
pub struct DemoFlags {
    /// Check everything through the public address, then end with exit code 0 or 1
    #[arg(long)]
    exit_after_check: bool,
}

/// What went wrong, in words for the user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct DemoError(String);

impl DemoError {
    /// For `map_err`.
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Runs the demo until Ctrl-C, or until it has checked itself.
///
/// # Errors
/// When a part does not start, or a check fails.
pub fn run(flags: &DemoFlags) -> Result<(), CommandError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::failed)?;
    let home = tempfile::Builder::new().prefix("umbel-demo-").tempdir().map_err(CommandError::failed)?;
    let outcome = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(DemoError::new)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(DemoError::new)?;
        tokio::select! {
            outcome = show(flags, home.path()) => outcome,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    });
    // The children are dead by now: they belong to the future that has just been dropped.
    home.close().map_err(CommandError::failed)?;
    if outcome.is_ok() && !flags.exit_after_check {
        say("\nstopped, and everything is removed");
    }
    outcome.map_err(CommandError::failed)
}

async fn show(flags: &DemoFlags, home: &std::path::Path) -> Result<(), DemoError> {
    say("starting a gateway and two sample API servers …");
    let mut session = Session::start(home).await?;
    if flags.exit_after_check {
        return check::run(&mut session).await;
    }
    say(&introduction(&session));
    if io::stdout().is_terminal() {
        table::redraw(&mut session).await
    } else {
        table::report(&mut session).await
    }
}

fn introduction(session: &Session) -> String {
    let orchard = &session.orchard;
    format!(
        "Umbel serves on {url}, with two API servers behind it. In another terminal:\n\n  \
         export KUBECONFIG={kubeconfig}\n\n  \
         kubectl api-resources\n  \
         kubectl get apiservices\n  \
         kubectl create -f {home}/tree.yaml\n  \
         kubectl get trees,ships\n  \
         kubectl explain trees.spec\n\n\
         Kill the orchard and look again; the harbour never notices:\n\n  \
         kill -9 {pid}\n  \
         kubectl get trees; kubectl get ships\n  \
         {command} &\n\n\
         Ctrl-C ends the demo and removes everything.\n",
        url = session.url(),
        kubeconfig = session.kubeconfig().display(),
        home = session.home().display(),
        pid = orchard.process.id(),
        command = orchard.command_line(),
    )
}

/// A line for the user; nobody reading is no failure.
fn say(text: &str) {
    writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush()).ok();
}
