//! What one call may use up.

use crate::plugin::source::manifest::Limits;
use std::time::Duration;

/// The decisions that a component can implement, and the talk before it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::plugin) enum Facet {
    /// `describe` and `validate`.
    Lifecycle,
    /// Finds endpoints.
    Resolver,
    /// Judges health.
    Health,
    /// Changes discovery.
    Discovery,
}

/// Limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Budget {
    /// From the start of the instance to the answer, waiting included.
    pub wall: Duration,
    /// Computing alone: CPU time of the threads that run the guest, looked at in every tick.
    pub cpu: Duration,
    /// Bytes of linear memory, summed over all memories.
    pub memory: usize,
    /// Bytes that the guest may hand over at once: with its answer, or with one call of a host function.
    pub host_bytes: usize,
}

const MIB: usize = 1 << 20;

/// Nobody waits longer for a decision (the guards of the control plane are a second longer). Without this a manifest
/// could make a call that hangs look like one that nobody wanted any more, which is no fault.
const LONGEST: [(Facet, Duration); 3] = [
    (Facet::Resolver, Duration::from_secs(9)),
    (Facet::Health, Duration::from_secs(14)),
    (Facet::Discovery, Duration::from_secs(4)),
];

impl Facet {
    /// All of them, in the order of their discriminants.
    pub(in crate::plugin) const ALL: [Self; 4] =
        [Self::Lifecycle, Self::Resolver, Self::Health, Self::Discovery];

    /// The word in metrics and status.
    pub(in crate::plugin) fn word(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Resolver => "resolver",
            Self::Health => "health",
            Self::Discovery => "discovery",
        }
    }

    /// What a plugin of this kind is called.
    pub(in crate::plugin) fn noun(self) -> &'static str {
        match self {
            Self::Lifecycle => "plugin",
            Self::Resolver => "resolver",
            Self::Health => "health checker",
            Self::Discovery => "discovery transformer",
        }
    }

    /// The limits, with what the manifest overrides.
    pub(in crate::plugin) fn budget(self, limits: &Limits) -> Budget {
        let (wall, cpu, memory, host_bytes) = match self {
            Self::Lifecycle | Self::Resolver => (2_000, 100, 32, 4),
            Self::Health => (5_000, 100, 32, 4),
            Self::Discovery => (500, 300, 64, 16),
        };
        let longest =
            LONGEST.iter().find(|(facet, _)| *facet == self).map_or(Duration::MAX, |(_, most)| *most);
        Budget {
            wall: limits.wall.unwrap_or(Duration::from_millis(wall)).min(longest),
            cpu: limits.cpu.unwrap_or(Duration::from_millis(cpu)).min(longest),
            memory: limits.memory.unwrap_or(memory * MIB),
            host_bytes: host_bytes * MIB,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_manifest_lets_a_call_outlast_those_who_wait_for_it() {
        let [wall, cpu] = [60, 10].map(|seconds| Some(Duration::from_secs(seconds)));
        let limits = Limits { wall, cpu, ..Limits::default() };
        let of = |facet: Facet| {
            let budget = facet.budget(&limits);
            (budget.wall.as_secs(), budget.cpu.as_secs())
        };
        assert_eq!(Facet::ALL.map(of), [(60, 10), (9, 9), (14, 10), (4, 4)]);
    }
}
