//! How a call or a load can fail.

use crate::plugin::component::budget::Facet;
use crate::plugin::offer::log_gate::tame_to;
use crate::plugin::status::Reason;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of what is said about a component that is not taken.
const MESSAGE_MAX: usize = 4 << 10;

/// Every way in which a call can fail, for counting and for the breaker. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::plugin) enum FaultClass {
    /// The guest trapped.
    Trap,
    /// It computed for too long.
    TimeoutCpu,
    /// The call took too long, waiting included.
    TimeoutWall,
    /// It wanted more memory than it may have.
    Memory,
    /// More bytes passed between guest and host than a call may copy.
    HostBytes,
    /// The answer breaks a rule.
    AnswerInvalid,
    /// No place came free for the call, which says nothing about the plugin.
    QueueFull,
    /// The host could not bring the call to the guest.
    Link,
    /// The guest says itself that it cannot tell now. "Not found" and "not mine" are answers.
    PluginFault,
}

impl FaultClass {
    /// All of them, in the order of their discriminants.
    pub(in crate::plugin) const ALL: [Self; 9] = [
        Self::Trap,
        Self::TimeoutCpu,
        Self::TimeoutWall,
        Self::Memory,
        Self::HostBytes,
        Self::AnswerInvalid,
        Self::QueueFull,
        Self::Link,
        Self::PluginFault,
    ];

    /// The word in metrics and status.
    pub(in crate::plugin) fn word(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::TimeoutCpu => "timeout-cpu",
            Self::TimeoutWall => "timeout-wall",
            Self::Memory => "memory",
            Self::HostBytes => "host-bytes",
            Self::AnswerInvalid => "answer-invalid",
            Self::QueueFull => "queue-full",
            Self::Link => "link",
            Self::PluginFault => "plugin-fault",
        }
    }

    /// Whether it speaks against the plugin: such faults open the breaker and end a probation.
    pub(in crate::plugin) fn is_breaker_event(self) -> bool {
        !matches!(self, Self::QueueFull | Self::PluginFault)
    }
}

/// Faults of one plugin by kind of decision and class.
#[derive(Debug, Default)]
pub(in crate::plugin) struct FaultCounts([[AtomicU64; FaultClass::ALL.len()]; Facet::ALL.len()]);

impl FaultCounts {
    pub(in crate::plugin) fn count(&self, facet: Facet, class: FaultClass) {
        if let Some(cell) = self.0.get(facet as usize).and_then(|row| row.get(class as usize)) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every kind and class with a count.
    pub(in crate::plugin) fn all(&self) -> Vec<(Facet, FaultClass, u64)> {
        let rows = Facet::ALL.into_iter().zip(&self.0);
        let cells = rows.flat_map(|(facet, row)| {
            FaultClass::ALL.into_iter().zip(row).map(move |(class, cell)| (facet, class, cell))
        });
        let counted = cells.map(|(facet, class, cell)| (facet, class, cell.load(Ordering::Relaxed)));
        counted.filter(|(_, _, count)| *count > 0).collect()
    }

    /// How many there were that speak against the plugin.
    pub(in crate::plugin) fn blamed(&self) -> u64 {
        let all = self.all().into_iter();
        all.filter(|(_, class, _)| class.is_breaker_event()).map(|(_, _, count)| count).sum()
    }
}

/// A call that gave no usable answer. The instance is gone in every case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::plugin) enum CallFault {
    /// The guest trapped; the text names the trap and the innermost functions.
    #[error("trapped: {0}")]
    Trap(String),
    /// The guest computed for too long.
    #[error("used up its CPU budget of {} ms", .0.as_millis())]
    CpuBudget(Duration),
    /// The call took too long, waiting included.
    #[error("did not answer within {} ms", .0.as_millis())]
    WallBudget(Duration),
    /// The guest wanted more memory than it may have.
    #[error("wanted more than its {} KiB of memory", .0 / 1024)]
    Memory(usize),
    /// More bytes passed between guest and host than a call may copy.
    #[error("handed over something larger than the {} KiB that a call may copy", .0 / 1024)]
    HostBytes(usize),
    /// Too many calls wait for this plugin already.
    #[error("is busy: {0} calls run and no place came free in time")]
    Busy(usize),
    /// The answer breaks a rule.
    #[error("answered nonsense: {0}")]
    Answer(String),
    /// The host could not run the call.
    #[error("could not be run: {0}")]
    Host(String),
}

impl CallFault {
    /// Whether there was no place for the call, which says nothing about the plugin.
    pub(in crate::plugin) fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// What it counts as.
    pub(in crate::plugin) fn class(&self) -> FaultClass {
        match self {
            Self::Trap(_) => FaultClass::Trap,
            Self::CpuBudget(_) => FaultClass::TimeoutCpu,
            Self::WallBudget(_) => FaultClass::TimeoutWall,
            Self::Memory(_) => FaultClass::Memory,
            Self::HostBytes(_) => FaultClass::HostBytes,
            Self::Busy(_) => FaultClass::QueueFull,
            Self::Answer(_) => FaultClass::AnswerInvalid,
            Self::Host(_) => FaultClass::Link,
        }
    }
}

/// Why a component is not taken into service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub(in crate::plugin) struct LoadFault {
    /// The reason code.
    pub reason: Reason,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl LoadFault {
    /// The message may quote what a component says, however it says that.
    pub(in crate::plugin) fn new(reason: Reason, message: impl AsRef<str>) -> Self {
        Self { reason, message: tame_to(MESSAGE_MAX, message.as_ref()) }
    }

    /// A step that nobody waits for any longer.
    pub(in crate::plugin) fn overdue(reason: Reason, what: &str, limit: Duration) -> Self {
        Self::new(reason, format!("{what} was not over after {} s", limit.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_by_kind_and_class_and_only_some_speak_against_the_plugin() {
        let counts = FaultCounts::default();
        for (place, class) in FaultClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, place, "{}", class.word());
            counts.count(Facet::Health, class);
        }
        counts.count(Facet::Discovery, FaultClass::Trap);
        counts.count(Facet::Discovery, FaultClass::PluginFault);
        let all = counts.all();
        assert_eq!(all.len(), FaultClass::ALL.len() + 2);
        assert!(all.contains(&(Facet::Discovery, FaultClass::PluginFault, 1)), "{all:?}");
        assert_eq!(counts.blamed(), 8, "neither a full queue nor what the plugin declares");
    }
}
