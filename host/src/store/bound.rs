//! How much of the past a store keeps.

/// How many changes are kept for watches and old lists, unless configured otherwise.
pub const DEFAULT_HISTORY_EVENTS: usize = 10_000;

/// How many bytes of kept changes (keys, new and previous values) a store holds, unless configured otherwise.
pub const DEFAULT_HISTORY_BYTES: usize = 64 * 1024 * 1024;

/// The bound of the kept history. Whatever exceeds it is forgotten, oldest first; the newest change always stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryBound {
    /// At most so many changes.
    pub events: usize,
    /// At most so many bytes of keys, new and previous values.
    pub bytes: usize,
}

impl Default for HistoryBound {
    fn default() -> Self {
        Self { events: DEFAULT_HISTORY_EVENTS, bytes: DEFAULT_HISTORY_BYTES }
    }
}
