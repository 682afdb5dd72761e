//! The order of a list after a strategic merge: items of the patch in the patch's order, others where they were.

use std::collections::HashMap;

use serde_json::Value;

/// How items of a list are told apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Identity {
    /// By their value.
    Value,
    /// By the value of a key.
    Key(&'static str),
}

impl Identity {
    /// What tells the item apart.
    pub(super) fn of<'a>(&self, item: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Value => Some(item),
            Self::Key(key) => item.get(*key),
        }
    }

    /// The places of all items of a list. Lists come from clients and may be long: look items up, never search.
    pub(super) fn places<'a>(&self, list: &'a [Value]) -> Places<'a> {
        let mut places = HashMap::with_capacity(list.len());
        for (place, item) in list.iter().enumerate() {
            if let Some(identity) = self.of(item) {
                places.entry(identity).or_insert(place);
            }
        }
        Places { identity: *self, places }
    }
}

/// Where the items of a list stand; of several with one identity the first counts.
pub(super) struct Places<'a> {
    identity: Identity,
    places: HashMap<&'a Value, usize>,
}

impl Places<'_> {
    /// The place of an item that is the same by its identity.
    pub(super) fn of(&self, item: &Value) -> Option<usize> {
        self.places.get(self.identity.of(item)?).copied()
    }
}

/// Sorts `merged`: items that `order` names as it names them; the others as in `original`, interleaved so that a
/// pair known to `original` keeps its order. What only the patch knows comes before what follows it.
pub(super) fn arrange(
    merged: Vec<Value>,
    order: &[Value],
    original: &[Value],
    identity: Identity,
) -> Vec<Value> {
    let (order, original) = (identity.places(order), identity.places(original));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| order.of(item).is_some());
    named.sort_by_cached_key(|item| order.of(item));
    others.sort_by_cached_key(|item| original.of(item).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(name), Some(other)) = (named.peek(), others.peek()) {
        let places = (original.of(other), original.of(name));
        let other_first = matches!(places, (Some(theirs), Some(ours)) if theirs < ours);
        out.extend(if other_first { others.next() } else { named.next() });
    }
    out.extend(named);
    out.extend(others);
    out
}
