//! Leave to ask a generation once.

use super::breaker::Admission;
use super::succession::Sound;
use crate::plugin::component::generation::Generation;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

impl Sound for Generation {
    fn is_sound(&self) -> bool {
        self.breaker.is_closed()
    }
}

/// A generation that may be asked once. Dropping it without a result lets another call find out.
pub(in crate::plugin) struct Candidate {
    generation: Arc<Generation>,
    admission: Admission,
}

impl Candidate {
    /// The generation, when its breaker lets it be asked.
    pub(in crate::plugin) fn admit(generation: Arc<Generation>, now: Instant) -> Option<Self> {
        let admission = generation.breaker.admit(now)?;
        Some(Self { generation, admission })
    }
}

impl Deref for Candidate {
    type Target = Arc<Generation>;

    fn deref(&self) -> &Self::Target {
        &self.generation
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if self.admission == Admission::Trial {
            self.generation.breaker.abandon_trial();
        }
    }
}
