//! `umbel serve`: from the settings to a serving process and back.

use super::gateway::Gateway;
use super::{CommandError, allocator};
use crate::config::ServeConfig;
use crate::observe::logs;
use futures_util::FutureExt;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Signals that come within this time after the first one belong to it.
const SAME_ORDER: Duration = Duration::from_millis(100);

/// Serves until SIGTERM or SIGINT, then drains and returns. A signal during the start ends it, which is no failure
/// either. A second signal ends the process at once, unless it comes with the first one.
///
/// # Errors
/// When a part cannot be built or the address cannot be had.
pub(super) fn run(config: &ServeConfig) -> Result<(), CommandError> {
    let filter = std::env::var(logs::FILTER_VARIABLE).ok();
    let logs = logs::start(config.log_format, config.verbosity, filter.as_deref());
    let logs = logs.map_err(CommandError::failed)?;
    allocator::return_memory_early();
    let no_signals = |error: io::Error| CommandError::failed(format!("cannot catch signals: {error}"));
    let catching = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("signals")
        .enable_all()
        .build()
        .map_err(no_signals)?;
    // Before anything else: a start takes time, and a signal meanwhile is an order like any other.
    let mut ends = catching.block_on(async { Ends::listen() }).map_err(no_signals)?;
    let started = catching.block_on(start(config.clone(), &mut ends))?;
    let (gateway, stopped_by) = match started {
        Started::Whole(gateway) => {
            let stopped_by = catching.block_on(serve(config, &gateway, &mut ends));
            (Some(gateway), stopped_by)
        }
        Started::Stopped { by, gateway } => (gateway, by),
    };
    let last_lines = logs.clone();
    catching.spawn(async move {
        let signal = ends.second().await;
        tracing::warn!(signal, "a second signal: stopped at once, requests in flight are cut");
        last_lines.flush();
        std::process::exit(1);
    });
    match gateway {
        Some(gateway) => {
            tracing::info!(signal = stopped_by, "draining for at most {:?}", config.drain_timeout);
            gateway.stop();
            tracing::info!("stopped");
        }
        // What is on disk holds at every moment, as after a kill, so nobody waits for the rest of the start.
        None => tracing::info!(signal = stopped_by, "stopped before everything was started"),
    }
    Ok(())
}

/// Serves until a signal comes, which counts before everything is ready, too.
async fn serve(config: &ServeConfig, gateway: &Gateway, ends: &mut Ends) -> &'static str {
    let ready = async {
        gateway.become_ready().await;
        tracing::info!(data_dir = %config.data_dir.display(), "serving on https://{}", gateway.address());
    };
    tokio::select! {
        name = ends.next() => return name,
        () = ready => {}
    }
    ends.next().await
}

/// How a start ended.
enum Started {
    Whole(Box<Gateway>),
    /// By this signal; the gateway where it was whole at the same moment.
    Stopped {
        by: &'static str,
        gateway: Option<Box<Gateway>>,
    },
}

/// Starts the gateway on a thread of its own, because much of that blocks, unless a signal comes first.
async fn start(config: ServeConfig, ends: &mut Ends) -> Result<Started, CommandError> {
    let (tell, mut told) = oneshot::channel();
    std::thread::Builder::new()
        .name("start".to_owned())
        .spawn(move || {
            // Nobody takes it any more when a signal was faster.
            drop(tell.send(Gateway::start(&config).map(Box::new)));
        })
        .map_err(|error| CommandError::failed(format!("cannot start a thread: {error}")))?;
    tokio::select! {
        biased;
        by = ends.next() => {
            told.close();
            Ok(Started::Stopped { by, gateway: told.try_recv().ok().and_then(Result::ok) })
        }
        outcome = &mut told => match outcome {
            Ok(outcome) => Ok(Started::Whole(outcome?)),
            Err(_) => Err(CommandError::failed("the thread that starts everything broke off")),
        },
    }
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

    /// The next signal that counts as a separate one. One request to stop may arrive as several signals: GNU
    /// `timeout` sends its signal to the process and at once to the process group again.
    async fn second(&mut self) -> &'static str {
        tokio::time::sleep(SAME_ORDER).await;
        // Signals that arrived meanwhile, even if this thread was not scheduled for longer than that.
        while self.next().now_or_never().is_some() {}
        self.next().await
    }
}
