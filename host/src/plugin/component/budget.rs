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
        Budget {
            wall: limits.wall.unwrap_or(Duration::from_millis(wall)),
            cpu: limits.cpu.unwrap_or(Duration::from_millis(cpu)),
            memory: limits.memory.unwrap_or(memory * MIB),
            host_bytes: host_bytes * MIB,
        }
    }
}
