//! The order of a list after a strategic merge: items of the patch in the patch's order, others where they were.

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

    /// The place of an item in a list.
    pub(super) fn position(&self, list: &[Value], item: &Value) -> Option<usize> {
        let wanted = self.of(item)?;
        list.iter().position(|other| self.of(other) == Some(wanted))
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
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| identity.position(order, item).is_some());
    named.sort_by_key(|item| identity.position(order, item));
    others.sort_by_key(|item| identity.position(original, item).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(name), Some(other)) = (named.peek(), others.peek()) {
        let places = (identity.position(original, other), identity.position(original, name));
        let other_first = matches!(places, (Some(theirs), Some(ours)) if theirs < ours);
        out.extend(if other_first { others.next() } else { named.next() });
    }
    out.extend(named);
    out.extend(others);
    out
}
