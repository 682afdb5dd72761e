//! What plugins remember from call to call: bytes by key, bounded, in memory only.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Keys of one plugin.
const KEYS_MAX: usize = 256;
/// Bytes of one key.
pub(super) const KEY_MAX: usize = 256;
/// Bytes of one value.
const VALUE_MAX: usize = 64 << 10;
/// Bytes of all keys and values of one plugin, whatever is granted.
pub(in crate::plugin) const BYTES_MAX: usize = 1 << 20;

/// Why a value is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum StateFault {
    /// The key or the value is larger than one may be.
    TooLarge(String),
    /// There is no room, and nothing is thrown out to make some.
    Full(String),
}

/// What one plugin remembers.
#[derive(Debug, Default)]
pub(in crate::plugin) struct PluginState(Mutex<BTreeMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    until: Option<Instant>,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl PluginState {
    /// State with values that stay.
    pub(in crate::plugin) fn holding(values: impl IntoIterator<Item = (String, Vec<u8>)>) -> Arc<Self> {
        let entries = values.into_iter().map(|(key, value)| (key, Entry { value, until: None }));
        Arc::new(Self(Mutex::new(entries.collect())))
    }

    pub(in crate::plugin) fn get(&self, key: &str, now: Instant) -> Option<Vec<u8>> {
        let entries = self.0.lock();
        entries.get(key).filter(|entry| !entry.is_over(now)).map(|entry| entry.value.clone())
    }

    /// Keeps a value within `bytes_max` for all keys and values.
    ///
    /// # Errors
    /// When it does not fit; what stood there before stays.
    pub(in crate::plugin) fn put(
        &self,
        (key, value): (String, Vec<u8>),
        ttl: Option<Duration>,
        bytes_max: usize,
        now: Instant,
    ) -> Result<(), StateFault> {
        for (what, length, max) in [("key", key.len(), KEY_MAX), ("value", value.len(), VALUE_MAX)] {
            if length > max {
                return Err(StateFault::TooLarge(format!(
                    "the {what} has {length} bytes; {max} are the limit"
                )));
            }
        }
        let mut entries = self.0.lock();
        entries.retain(|_, entry| !entry.is_over(now));
        if entries.len() >= KEYS_MAX && !entries.contains_key(&key) {
            return Err(StateFault::Full(format!("there are {KEYS_MAX} keys; delete some")));
        }
        let others = entries.iter().filter(|(other, _)| **other != key);
        let kept: usize = others.map(|(other, entry)| other.len() + entry.value.len()).sum();
        let bytes = kept + key.len() + value.len();
        if bytes > bytes_max {
            return Err(StateFault::Full(format!(
                "keys and values would have {bytes} bytes; spec.grants.state of the manifest allows {bytes_max}"
            )));
        }
        let until = ttl.and_then(|ttl| now.checked_add(ttl));
        entries.insert(key, Entry { value, until });
        Ok(())
    }

    pub(in crate::plugin) fn delete(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

/// What all plugins remember, by their names.
#[derive(Debug, Default)]
pub(in crate::plugin) struct States(Mutex<BTreeMap<String, Arc<PluginState>>>);

impl States {
    /// The state of a plugin: the same for all its generations.
    pub(in crate::plugin) fn of(&self, plugin: &str) -> Arc<PluginState> {
        Arc::clone(self.0.lock().entry(plugin.to_owned()).or_default())
    }

    /// Drops what a plugin remembers, because its file is gone.
    pub(in crate::plugin) fn forget(&self, plugin: &str) {
        self.0.lock().remove(plugin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(state: &PluginState, key: &str, bytes: usize, now: Instant) -> Result<(), StateFault> {
        state.put((key.to_owned(), vec![7; bytes]), None, BYTES_MAX, now)
    }

    #[test]
    fn a_value_stays_for_its_time() {
        let (state, start) = (PluginState::default(), Instant::now());
        let second = Duration::from_secs(1);
        state.put(("a".into(), vec![1]), Some(second), BYTES_MAX, start).unwrap();
        put(&state, "b", 1, start).unwrap();
        assert_eq!(state.get("a", start + second / 2), Some(vec![1]));
        assert_eq!(state.get("a", start + second), None);
        assert_eq!(state.get("b", start + second * 9_999), Some(vec![7]));
        state.put(("a".into(), vec![1]), Some(Duration::ZERO), BYTES_MAX, start).unwrap();
        assert_eq!(state.get("a", start), None);
        state.delete("b");
        state.delete("never there");
        assert_eq!(state.get("b", start), None);
    }

    #[test]
    fn nothing_is_thrown_out_to_make_room() {
        let (state, now) = (PluginState::default(), Instant::now());
        assert!(matches!(put(&state, "a", VALUE_MAX + 1, now), Err(StateFault::TooLarge(_))));
        assert!(matches!(put(&state, &"k".repeat(KEY_MAX + 1), 1, now), Err(StateFault::TooLarge(_))));
        for n in 10..25 {
            put(&state, &n.to_string(), VALUE_MAX, now).unwrap();
        }
        let Err(StateFault::Full(text)) = put(&state, "last", VALUE_MAX, now) else { panic!("it fitted") };
        assert!(text.contains("spec.grants.state") && text.contains("1048576"), "{text}");
        assert_eq!(state.get("10", now).map(|value| value.len()), Some(VALUE_MAX));
        // Its own bytes do not count against a new value of a key.
        put(&state, "10", VALUE_MAX, now).unwrap();
        put(&state, "last", VALUE_MAX - 100, now).unwrap();
    }

    #[test]
    fn keys_are_counted_without_those_whose_time_is_over() {
        let (state, now) = (PluginState::default(), Instant::now());
        let second = Duration::from_secs(1);
        for n in 0..KEYS_MAX {
            state.put((n.to_string(), Vec::new()), Some(second), BYTES_MAX, now).unwrap();
        }
        assert!(matches!(put(&state, "more", 0, now), Err(StateFault::Full(_))));
        put(&state, "0", 1, now).unwrap();
        put(&state, "more", 0, now + second).unwrap();
    }

    #[test]
    fn a_name_that_was_removed_begins_anew() {
        let (states, now) = (States::default(), Instant::now());
        let before = states.of("a");
        put(&before, "k", 1, now).unwrap();
        assert_eq!(states.of("a").get("k", now), Some(vec![7]));
        states.forget("a");
        assert_eq!(states.of("a").get("k", now), None);
        put(&before, "k", 1, now).unwrap();
        assert_eq!(states.of("a").get("k", now), None, "calls in flight write into what is gone");
    }
}
