//! Waiting for a condition, with a bound.

use anyhow::{Result, anyhow};
use std::future::Future;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(20);

/// Asks again and again until `condition` succeeds; its last refusal is in the error when `bound` has passed.
///
/// # Errors
/// When the condition does not come true in time.
pub async fn wait_for<T, F, C>(what: &str, bound: Duration, mut condition: C) -> Result<T>
where
    C: FnMut() -> F,
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    loop {
        let left = bound.saturating_sub(start.elapsed());
        let refusal = match tokio::time::timeout(left, condition()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(refusal)) => refusal,
            Err(_) => anyhow!("the last check did not end"),
        };
        if start.elapsed() + INTERVAL >= bound {
            return Err(refusal.context(format!("waited {bound:?} for {what}")));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
