//! Waiting for a condition, with a bound.

use anyhow::{Result, anyhow};
use std::future::Future;
use std::time::{Duration, Instant};

/// A refusal that cannot become a success any more, for example of a process that has ended.
#[derive(Debug)]
pub struct Hopeless(pub String);

impl std::fmt::Display for Hopeless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Hopeless {}

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
        if refusal.is::<Hopeless>() {
            return Err(refusal.context(format!("there is no point in waiting for {what}")));
        }
        if start.elapsed() + INTERVAL >= bound {
            return Err(refusal.context(format!("waited {bound:?} for {what}")));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
