//! Log lines about rejected client certificates: one for each cause, because a client may reconnect endlessly.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A cause is logged again after this time.
const REPEAT: Duration = Duration::from_secs(3600);
/// The number of causes that are remembered. Causes come from clients, so there must be a limit.
const CAUSES_MAX: usize = 64;

/// Remembers which causes have been logged.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(Mutex<HashMap<String, Instant>>);

impl RefusalLog {
    /// Logs that the certificate of a client was rejected, unless the same cause was logged lately.
    pub(super) fn warn(&self, remote: SocketAddr, cause: &str) {
        if self.is_new(cause, Instant::now()) {
            tracing::warn!(
                %remote,
                cause,
                "client certificate rejected; further ones with the same cause are logged at debug level only"
            );
        } else {
            tracing::debug!(%remote, cause, "client certificate rejected");
        }
    }

    fn is_new(&self, cause: &str, now: Instant) -> bool {
        let mut logged = self.0.lock();
        if logged.get(cause).is_some_and(|at| now.duration_since(*at) < REPEAT) {
            return false;
        }
        logged.retain(|_, at| now.duration_since(*at) < REPEAT);
        if logged.len() >= CAUSES_MAX {
            return false;
        }
        logged.insert(cause.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_logged_once_an_hour() {
        let (log, now) = (RefusalLog::default(), Instant::now());
        assert!(log.is_new("expired", now));
        assert!(!log.is_new("expired", now + REPEAT / 2));
        assert!(log.is_new("unknown issuer", now));
        assert!(log.is_new("expired", now + REPEAT));
        assert!(!log.is_new("expired", now + REPEAT));
    }

    #[test]
    fn the_number_of_causes_is_limited() {
        let (log, now) = (RefusalLog::default(), Instant::now());
        let logged = (0..1000).filter(|n| log.is_new(&n.to_string(), now)).count();
        assert_eq!(logged, CAUSES_MAX);
        assert!(log.is_new("later", now + REPEAT));
    }
}
