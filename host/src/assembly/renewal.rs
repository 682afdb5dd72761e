//! Certificates of a process that runs for months: looked after while it serves.

use super::CommandError;
use super::parts::{ensure_credentials, front_proxy, listen_tls};
use crate::config::ServeConfig;
use crate::listen::SharedListenTls;
use crate::observe::failpoint;
use crate::upstream::BackendTls;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How often certificates are looked at. They are renewed weeks before they expire, so an hour is often enough;
/// a `--tls-cert-file` that somebody replaced is taken up as soon.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// How often the clock is compared with the elapsed time.
const COMPARE_CLOCK_EVERY: Duration = Duration::from_secs(60);
/// A clock that was set forward or back by more than this can make valid certificates due for renewal.
const CLOCK_JUMP: Duration = Duration::from_secs(600);

/// What new connections are shown.
#[derive(Clone)]
pub(super) struct Shown {
    /// To clients of Umbel.
    pub(super) listen: SharedListenTls,
    /// To backends.
    pub(super) backends: Arc<BackendTls>,
}

/// Renews what comes close to expiry and lets new connections see it, until the runtime ends. What cannot be
/// renewed is logged, and the certificate in use stays.
pub(super) async fn run(config: ServeConfig, address: SocketAddr, shown: Shown) {
    failpoint("renewal");
    loop {
        until_due().await;
        let (config, shown) = (config.clone(), shown.clone());
        let looked = tokio::task::spawn_blocking(move || renew(&config, address, &shown)).await;
        if let Ok(Err(error)) = looked {
            tracing::error!(%error, "certificates cannot be renewed; those in use stay");
        }
    }
}

/// Waits until the next check: an hour, or less when the clock is set.
async fn until_due() {
    let (began, clock) = (Instant::now(), SystemTime::now());
    while began.elapsed() < LOOK_EVERY {
        tokio::time::sleep(COMPARE_CLOCK_EVERY).await;
        if has_jumped(clock, SystemTime::now(), began.elapsed()) {
            tracing::warn!("the clock was set: certificates are looked at now");
            return;
        }
    }
}

/// Whether the clock differs from the time `before` plus the elapsed time `passed` by too much.
fn has_jumped(before: SystemTime, now: SystemTime, passed: Duration) -> bool {
    let expected = before + passed;
    let distance = now.duration_since(expected).unwrap_or_else(|error| error.duration());
    distance > CLOCK_JUMP
}

fn renew(config: &ServeConfig, address: SocketAddr, shown: &Shown) -> Result<(), CommandError> {
    let credentials = ensure_credentials(config)?;
    credentials.publish(address).map_err(CommandError::failed)?;
    shown.backends.renew_front_proxy(front_proxy(&credentials)).map_err(CommandError::failed)?;
    shown.listen.store(listen_tls(config, &credentials)?.load_full());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_in_both_directions() {
        let before = SystemTime::now();
        let minute = Duration::from_secs(60);
        for (shown, expected) in [
            (before + minute, false),
            (before + CLOCK_JUMP, false),
            (before + minute + 2 * CLOCK_JUMP, true),
            (before - 2 * CLOCK_JUMP, true),
        ] {
            assert_eq!(has_jumped(before, shown, minute), expected);
        }
    }
}
