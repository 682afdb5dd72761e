//! How a call or a load can fail.

use crate::plugin::status::Reason;
use std::time::Duration;

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
    #[error("its answer is larger than the {} KiB that a call may copy", .0 / 1024)]
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

    /// Whether the plugin is to blame, and not the load of the moment.
    pub(in crate::plugin) fn blames_plugin(&self) -> bool {
        !matches!(self, Self::Busy(_) | Self::Host(_))
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
    pub(in crate::plugin) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
