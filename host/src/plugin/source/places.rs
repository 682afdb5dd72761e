//! How many plugins are worked on at once, so that many neither take the memory nor wait for the slow ones.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long one may hold a place that the others wait for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many may go on beside the places after that.
const SLOW_MAX: usize = 32;

/// Places for work that mostly takes no time.
#[derive(Clone, Debug)]
pub(super) struct Places {
    brisk: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    patience: Duration,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        let [brisk, slow] = [count, SLOW_MAX].map(|count| Arc::new(Semaphore::new(count)));
        Self { brisk, slow, patience: PATIENCE }
    }

    /// Works in a place, and gives it to the next one when that takes long. `told` hears of that.
    pub(super) async fn work<T>(&self, work: impl Future<Output = T>, told: impl FnOnce()) -> T {
        // It is never closed.
        let brisk = self.brisk.acquire().await.ok();
        let mut work = pin!(work);
        if let Ok(done) = tokio::time::timeout(self.patience, &mut work).await {
            return done;
        }
        told();
        match self.slow.try_acquire() {
            Ok(_slow) => {
                drop(brisk);
                work.await
            }
            Err(_) => work.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_long_holds_nobody_up() {
        let places = Places { patience: Duration::from_millis(5), ..Places::new(1) };
        let mut hung = Vec::new();
        let hang = async |held: &mut Vec<_>| {
            let mut one = Box::pin(places.work(std::future::pending::<()>(), || ()));
            assert!(tokio::time::timeout(places.patience * 4, &mut one).await.is_err());
            held.push(one);
        };
        for _ in 0..SLOW_MAX {
            hang(&mut hung).await;
            places.work(std::future::ready(()), || ()).await;
        }
        hang(&mut hung).await;
        let next =
            tokio::time::timeout(places.patience * 4, places.work(std::future::ready(()), || ())).await;
        assert!(next.is_err(), "there are limits");
        hung.clear();
        places.work(std::future::ready(()), || ()).await;
    }
}
