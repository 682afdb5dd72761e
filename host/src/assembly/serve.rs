//! `umbel serve`: from the settings to a serving process and back.

use super::CommandError;
use super::gateway::Gateway;
use crate::config::ServeConfig;
use crate::observe::logs;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Serves until SIGTERM or SIGINT, then drains and returns. A second signal ends the process at once.
///
/// # Errors
/// When a part cannot be built or the address cannot be had.
pub(super) fn run(config: &ServeConfig) -> Result<(), CommandError> {
    let filter = std::env::var(logs::FILTER_VARIABLE).ok();
    logs::start(config.log_format, config.verbosity, filter.as_deref()).map_err(CommandError::failed)?;
    let gateway = Gateway::start(config)?;
    let stopped_by = gateway.runtime().block_on(async {
        let mut ends = Ends::listen()?;
        let ready = async {
            gateway.become_ready().await;
            tracing::info!(data_dir = %config.data_dir.display(), "serving on https://{}", gateway.address());
        };
        // A signal counts before everything is ready, too.
        let name = tokio::select! {
            name = ends.next() => name,
            () = ready => ends.next().await,
        };
        tokio::spawn(async move {
            ends.next().await;
            std::process::exit(1);
        });
        io::Result::Ok(name)
    });
    let stopped_by =
        stopped_by.map_err(|error| CommandError::failed(format!("cannot catch signals: {error}")))?;
    tracing::info!(signal = stopped_by, "draining for at most {:?}", config.drain_timeout);
    gateway.stop();
    tracing::info!("stopped");
    Ok(())
}

/// The signals that end the process.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
