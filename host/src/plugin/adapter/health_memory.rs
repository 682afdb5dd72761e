//! What health checkers remember between calls: each call runs in a fresh instance, so the host keeps it.

use parking_lot::Mutex;
use std::collections::HashMap;

/// Bytes for one subject.
pub(in crate::plugin) const MEMORY_MAX: usize = 4 << 10;
/// Subjects that are remembered; far above what one gateway has.
const SUBJECTS_MAX: usize = 20_000;

/// Memory by the name of the APIService. Kept over reloads of a plugin, gone with it.
#[derive(Debug, Default)]
pub(in crate::plugin) struct HealthMemory(Mutex<HashMap<String, Vec<u8>>>);

impl HealthMemory {
    pub(in crate::plugin) fn recall(&self, subject: &str) -> Vec<u8> {
        self.0.lock().get(subject).cloned().unwrap_or_default()
    }

    /// An empty memory is forgotten.
    pub(in crate::plugin) fn keep(&self, subject: &str, memory: Vec<u8>) {
        let mut all = self.0.lock();
        if memory.is_empty() {
            all.remove(subject);
        } else if all.len() < SUBJECTS_MAX || all.contains_key(subject) {
            all.insert(subject.to_owned(), memory);
        }
    }
}
