//! Certificates of a process that runs for months: looked after while it serves.

use super::parts::{ensure_credentials, listen_tls};
use crate::config::ServeConfig;
use crate::listen::SharedListenTls;
use std::net::SocketAddr;
use std::time::Duration;

/// How often certificates are looked at. They are renewed weeks before they expire, so an hour is often enough;
/// a `--tls-cert-file` that somebody replaced is taken up as soon.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Renews what comes close to expiry and lets new connections see it, until the runtime ends. What cannot be
/// renewed is logged, and the certificate in use stays.
pub(super) async fn run(config: ServeConfig, address: SocketAddr, tls: SharedListenTls) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (config, tls) = (config.clone(), tls.clone());
        let looked = tokio::task::spawn_blocking(move || renew(&config, address, &tls)).await;
        if let Ok(Err(error)) = looked {
            tracing::error!(%error, "certificates cannot be renewed; those in use stay");
        }
    }
}

fn renew(
    config: &ServeConfig,
    address: SocketAddr,
    tls: &SharedListenTls,
) -> Result<(), super::CommandError> {
    let credentials = ensure_credentials(config)?;
    credentials.publish(address).map_err(super::CommandError::failed)?;
    tls.store(listen_tls(config, &credentials)?.load_full());
    Ok(())
}
