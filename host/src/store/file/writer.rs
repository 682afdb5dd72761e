//! The thread that owns the file and turns queued writes into commits.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::batch::{Batch, Job, tell};
use super::engine::{Engine, Medium};
use crate::observe::{catch_panic, failpoint};
use crate::store::published::Published;
use crate::store::{HistoryBound, StoreError};

/// How many writes may share one commit.
const BATCH_LIMIT: usize = 512;

/// Takes queued writes until the queue closes. While one commit is on its way to the disk the next batch gathers.
pub(super) struct Writer<M> {
    pub(super) engine: Engine<M>,
    pub(super) published: Arc<Published>,
    pub(super) bound: HistoryBound,
}

impl<M: Medium> Writer<M> {
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH_LIMIT);
        while queue.blocking_recv_many(&mut jobs, BATCH_LIMIT) > 0 {
            // Dropping the senders answers the writes of the batch: their outcome is unknown.
            if catch_panic(|| self.serve(&mut jobs)).is_none() {
                jobs.clear();
                self.engine.close();
            }
        }
    }

    fn serve(&mut self, jobs: &mut Vec<Job>) {
        failpoint("store.writer");
        if let Err(refusal) = self.engine.recover(&self.published) {
            let text = refusal.to_string();
            jobs.drain(..).for_each(|job| tell(job.answer, Err(StoreError::Medium(text.clone()))));
            return;
        }
        let batch = Batch::decide(jobs.drain(..), &self.published.read(), self.bound);
        if batch.changes.is_empty() {
            batch.acknowledge();
            return;
        }
        match self.engine.commit(&batch.changes, batch.forgotten, batch.compacted) {
            Ok(()) => batch.publish(&self.published),
            Err(failure) => {
                let text = failure.to_string();
                tracing::error!(writes = batch.changes.len(), "{text}");
                batch.fail(&text);
                // At once, since a commit that failed half-way may turn out to have happened.
                if let Err(refusal) = self.engine.recover(&self.published) {
                    tracing::warn!("{refusal}");
                }
            }
        }
    }
}
