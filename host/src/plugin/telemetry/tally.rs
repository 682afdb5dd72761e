//! The numbers of one plugin, over all its generations.

use super::histogram::Histogram;
use crate::plugin::component::budget::Facet;
use crate::plugin::status::Reason;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the host offers to guests, as far as calls of it are counted one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum HostFunction {
    LogWrite,
    DnsAddresses,
    DnsServices,
    HttpSend,
    ProbeSend,
    StateGet,
    StatePut,
    StateDelete,
    MetricsCount,
    MetricsGauge,
    MetricsObserve,
}

impl HostFunction {
    /// All of them, in the order of their discriminants.
    pub(in crate::plugin) const ALL: [Self; 11] = [
        Self::LogWrite,
        Self::DnsAddresses,
        Self::DnsServices,
        Self::HttpSend,
        Self::ProbeSend,
        Self::StateGet,
        Self::StatePut,
        Self::StateDelete,
        Self::MetricsCount,
        Self::MetricsGauge,
        Self::MetricsObserve,
    ];

    /// The word in metrics.
    pub(in crate::plugin) fn word(self) -> &'static str {
        match self {
            Self::LogWrite => "log.write",
            Self::DnsAddresses => "dns.addresses",
            Self::DnsServices => "dns.services",
            Self::HttpSend => "http.send",
            Self::ProbeSend => "probe.send",
            Self::StateGet => "state.get",
            Self::StatePut => "state.put",
            Self::StateDelete => "state.delete",
            Self::MetricsCount => "metrics.count",
            Self::MetricsGauge => "metrics.gauge",
            Self::MetricsObserve => "metrics.observe",
        }
    }
}

/// What became of a call of a host function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum HostResult {
    /// It was answered; that a name does not exist is an answer.
    Answered,
    /// It was not granted, or the call had used up its share.
    Denied,
    /// There was no answer in time.
    TimedOut,
    /// There was none for another reason.
    Failed,
}

impl HostResult {
    /// All of them, in the order of their discriminants.
    pub(in crate::plugin) const ALL: [Self; 4] = [Self::Answered, Self::Denied, Self::TimedOut, Self::Failed];

    /// The word in metrics.
    pub(in crate::plugin) fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Denied => "denied",
            Self::TimedOut => "timed-out",
            Self::Failed => "failed",
        }
    }
}

/// What one call has used up.
#[derive(Clone, Copy, Debug)]
pub(in crate::plugin) struct Spent {
    /// From the start of the call to its end.
    pub took: Duration,
    /// Computing alone.
    pub cpu: Duration,
    /// Bytes of all memories together.
    pub memory: usize,
}

/// The numbers of one plugin. Whatever is counted for every call takes no lock.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Tally {
    kinds: [KindTally; Facet::ALL.len()],
    host_calls: [[AtomicU64; HostResult::ALL.len()]; HostFunction::ALL.len()],
    lines_dropped: AtomicU64,
    /// By whether the files were taken, and the reason.
    reloads: Mutex<BTreeMap<(&'static str, String), u64>>,
}

/// The numbers of one kind of decision.
#[derive(Debug, Default)]
pub(super) struct KindTally {
    pub(super) answered: AtomicU64,
    pub(super) abandoned: AtomicU64,
    cpu_nanoseconds: AtomicU64,
    pub(super) peak_memory: AtomicU64,
    pub(super) took: Histogram,
    pub(super) waited: Histogram,
}

impl KindTally {
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanoseconds.load(Ordering::Relaxed))
    }
}

impl Tally {
    /// Counts a call that began, and how long it waited for a place.
    pub(in crate::plugin) fn count_wait(&self, facet: Facet, waited: Duration) {
        self.at(facet, |kind| kind.waited.add(waited));
    }

    /// Counts what a call has used up, whatever came of it.
    pub(in crate::plugin) fn count_spent(&self, facet: Facet, spent: &Spent) {
        self.at(facet, |kind| {
            let cpu = u64::try_from(spent.cpu.as_nanos()).unwrap_or(u64::MAX);
            kind.cpu_nanoseconds.fetch_add(cpu, Ordering::Relaxed);
            let memory = u64::try_from(spent.memory).unwrap_or(u64::MAX);
            kind.peak_memory.fetch_max(memory, Ordering::Relaxed);
            kind.took.add(spent.took);
        });
    }

    /// Counts a call that the guest answered, whatever the host thinks of the answer.
    pub(in crate::plugin) fn count_answer(&self, facet: Facet) {
        self.at(facet, |kind| {
            kind.answered.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Counts a call whose caller went away.
    pub(in crate::plugin) fn count_abandoned(&self, facet: Facet) {
        self.at(facet, |kind| {
            kind.abandoned.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Counts a call that a guest made of the host.
    pub(in crate::plugin) fn count_host_call(&self, function: HostFunction, result: HostResult) {
        let row = self.host_calls.get(function as usize);
        if let Some(count) = row.and_then(|row| row.get(result as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a log line that nobody will see.
    pub(in crate::plugin) fn count_dropped_line(&self) {
        self.lines_dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts new files that were taken into service, or why they, or what was made of them, serve no longer.
    pub(in crate::plugin) fn count_reload(&self, refused: Option<Reason>) {
        let result = match refused {
            None => "taken",
            Some(Reason::RolledBack) => "rolled-back",
            Some(_) => "refused",
        };
        let reason = refused.map(|reason| reason.to_string()).unwrap_or_default();
        *self.reloads.lock().entry((result, reason)).or_default() += 1;
    }

    fn at(&self, facet: Facet, count: impl FnOnce(&KindTally)) {
        if let Some(kind) = self.kinds.get(facet as usize) {
            count(kind);
        }
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = (Facet, &KindTally)> {
        Facet::ALL.into_iter().zip(&self.kinds)
    }

    /// Every function and result with a count.
    pub(super) fn host_calls(&self) -> Vec<(HostFunction, HostResult, u64)> {
        let rows = HostFunction::ALL.into_iter().zip(&self.host_calls);
        let cells = rows.flat_map(|(function, row)| {
            let cells = HostResult::ALL.into_iter().zip(row);
            cells.map(move |(result, count)| (function, result, count.load(Ordering::Relaxed)))
        });
        cells.filter(|(_, _, count)| *count > 0).collect()
    }

    pub(super) fn lines_dropped(&self) -> u64 {
        self.lines_dropped.load(Ordering::Relaxed)
    }

    pub(super) fn reloads(&self) -> BTreeMap<(&'static str, String), u64> {
        self.reloads.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_place_of_its_own() {
        let tally = Tally::default();
        for (place, function) in HostFunction::ALL.into_iter().enumerate() {
            assert_eq!(function as usize, place, "{}", function.word());
            for (place, result) in HostResult::ALL.into_iter().enumerate() {
                assert_eq!(result as usize, place, "{}", result.word());
                tally.count_host_call(function, result);
            }
        }
        let counted = tally.host_calls();
        assert_eq!(counted.len(), HostFunction::ALL.len() * HostResult::ALL.len());
        assert!(counted.iter().all(|(_, _, count)| *count == 1), "{counted:?}");
    }

    #[test]
    fn peaks_stay_and_sums_grow() {
        let tally = Tally::default();
        for (millis, memory) in [(2, 7), (3, 5)] {
            let time = Duration::from_millis(millis);
            tally.count_spent(Facet::Health, &Spent { took: time * 10, cpu: time, memory });
        }
        let (_, health) = tally.kinds().find(|(facet, _)| *facet == Facet::Health).unwrap();
        assert_eq!(health.cpu(), Duration::from_millis(5));
        assert_eq!(health.took.total(), Duration::from_millis(50));
        assert_eq!(health.peak_memory.load(Ordering::Relaxed), 7);
    }
}
