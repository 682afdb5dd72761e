//! Writes that share one durable commit.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::store::change::{Change, Stored, Write};
use crate::store::contents::Contents;
use crate::store::published::Published;
use crate::store::{HistoryBound, Revision, StoreError};

/// A write that somebody waits for.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) write: Write,
    pub(super) answer: oneshot::Sender<Result<Revision, StoreError>>,
}

/// Writes decided one after the other, each against what the ones before it leave behind.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    /// History up to here was forgotten before.
    pub(super) forgotten: Revision,
    /// History up to here goes with this batch.
    pub(super) compacted: Revision,
    answers: Vec<Answer>,
}

type Answer = (oneshot::Sender<Result<Revision, StoreError>>, Result<Revision, StoreError>);

impl Batch {
    pub(super) fn decide(jobs: impl Iterator<Item = Job>, contents: &Contents, bound: HistoryBound) -> Self {
        let mut pending: HashMap<Arc<str>, Option<Stored>> = HashMap::new();
        let mut changes: Vec<Change> = Vec::new();
        let mut answers = Vec::new();
        let mut revision = contents.revision();
        for Job { write, answer } in jobs {
            let current = match pending.get(write.key()) {
                Some(pending) => pending.as_ref(),
                None => contents.stored(write.key()),
            };
            let decided = write.against(current, revision + 1).map(|change| {
                revision = change.revision;
                let stored = change.value.clone().map(|value| Stored { revision, value });
                pending.insert(Arc::clone(&change.key), stored);
                changes.push(change);
                revision
            });
            answers.push((answer, decided));
        }
        let compacted = contents.surplus(&changes, bound);
        Self { changes, forgotten: contents.compacted(), compacted, answers }
    }

    /// Shows the committed changes, then tells every writer what was decided.
    pub(super) fn publish(mut self, published: &Published) {
        published.publish(std::mem::take(&mut self.changes), self.compacted);
        self.acknowledge();
    }

    /// Tells every writer what was decided; only after the commit, because refusals rest on it too.
    pub(super) fn acknowledge(self) {
        for (answer, decided) in self.answers {
            tell(answer, decided);
        }
    }

    /// Tells every writer that nothing was written.
    pub(super) fn fail(self, text: &str) {
        for (answer, _) in self.answers {
            tell(answer, Err(StoreError::Medium(text.to_owned())));
        }
    }
}

pub(super) fn tell(
    answer: oneshot::Sender<Result<Revision, StoreError>>,
    decided: Result<Revision, StoreError>,
) {
    // A writer that no longer waits has lost interest in the answer only: its write stands.
    drop(answer.send(decided));
}
