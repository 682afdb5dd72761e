//! Durations by size.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds: from a call in a warm instance to the longest that a manifest may allow a guest to
/// compute.
const BOUNDS: [u64; 14] = [
    10, 50, 100, 250, 1_000, 5_000, 25_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// Counts durations, without a lock.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// What lies between a bound and the one before, and what lies above all of them.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub(super) fn add(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| bound * 1_000 < nanoseconds);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Upper bounds, each with how many durations do not exceed it.
    pub(super) fn cumulative(&self) -> Vec<(Duration, u64)> {
        let mut sum = 0;
        let pairs = BOUNDS.iter().zip(&self.counts);
        pairs
            .map(|(bound, count)| {
                sum += count.load(Ordering::Relaxed);
                (Duration::from_micros(*bound), sum)
            })
            .collect()
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// All of them together.
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_below_every_bound_that_it_does_not_exceed() {
        let histogram = Histogram::default();
        for micros in [10, 11, 20_000_000] {
            histogram.add(Duration::from_micros(micros));
        }
        let shown = histogram.cumulative();
        assert_eq!(shown[0], (Duration::from_micros(10), 1));
        assert_eq!(shown[1], (Duration::from_micros(50), 2));
        assert_eq!(shown[13], (Duration::from_secs(10), 2));
        assert_eq!((histogram.count(), histogram.total()), (3, Duration::from_micros(20_000_021)));
    }
}
