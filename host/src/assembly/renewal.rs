//! Certificates of a process that runs for months: looked after while it serves.

use super::CommandError;
use super::parts::{ensure_credentials, front_proxy, listen_tls};
use crate::config::ServeConfig;
use crate::listen::SharedListenTls;
use crate::upstream::BackendTls;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often certificates are looked at. They are renewed weeks before they expire, so an hour is often enough;
/// a `--tls-cert-file` that somebody replaced is taken up as soon.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

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
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (config, shown) = (config.clone(), shown.clone());
        let looked = tokio::task::spawn_blocking(move || renew(&config, address, &shown)).await;
        if let Ok(Err(error)) = looked {
            tracing::error!(%error, "certificates cannot be renewed; those in use stay");
        }
    }
}

fn renew(config: &ServeConfig, address: SocketAddr, shown: &Shown) -> Result<(), CommandError> {
    let credentials = ensure_credentials(config)?;
    credentials.publish(address).map_err(CommandError::failed)?;
    shown.backends.renew_front_proxy(front_proxy(&credentials)).map_err(CommandError::failed)?;
    shown.listen.store(listen_tls(config, &credentials)?.load_full());
    Ok(())
}
