//! Loading saved files before the files in the directory are judged.

use super::{Input, Intake, Stage};
use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::load::Gated;
use crate::plugin::saved::{PairId, SavedPair};
use crate::plugin::slot::Slot;
use crate::plugin::source::files::Source;
use crate::plugin::source::look::Pair;
use crate::plugin::source::manifest::Manifest;
use crate::plugin::status::Reason;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Saved files that serve before the files in the directory are judged, because those may be worse.
pub(super) struct Restored {
    pub source: Source,
    pub then: Found,
}

/// The result of reading the files of a plugin.
pub(super) enum Found {
    /// They have passed the checks before loading.
    Fit(Box<Gated>),
    /// They cannot serve.
    Refused(LoadFault, Option<Box<Manifest>>),
}

/// When and which files were found.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub pair: Pair,
    pub began: Instant,
}

impl Intake {
    /// Deletes the saved state of plugins that are not among these.
    pub(in crate::plugin::source) fn forget_absent(&mut self, present: &BTreeSet<String>) {
        for (name, _) in self.saved.extract_if(.., |name, _| !present.contains(name)) {
            self.roster.forget_saved(&name);
        }
    }

    /// Continues with files that were read, after the saved ones if there are any.
    pub(super) fn restore_or_proceed(&mut self, name: &str, seen: Seen, found: Found) {
        if let Some(run) = self.runs.get_mut(name)
            && let Some(restored) = &mut run.restored
        {
            (run.pair, restored.then) = (seen.pair, found);
            self.is_ripe |= matches!(run.stage, Stage::Raised(_));
            return;
        }
        match self.restorable(name, &found) {
            Some(good) => self.restore(name, seen, good, found),
            None => self.proceed(name, seen, found),
        }
    }

    /// The saved files that serve before the ones that were found. Returned at most once.
    fn restorable(&mut self, name: &str, found: &Found) -> Option<SavedPair> {
        let good = self.saved.get_mut(name)?.good.take()?;
        let is_found = match found {
            Found::Fit(gated) => PairId::of(&gated.digest, &gated.manifest) == good.id,
            // The saved files may come from a time when the operator allowed such permissions.
            Found::Refused(fault, _) if fault.reason == Reason::PermissionsTooOpen => return None,
            Found::Refused(..) => false,
        };
        let serves = self.roster.slot(name).is_some_and(|slot| slot.current().is_some());
        (!is_found && !serves && self.machine.is_ok()).then_some(good)
    }

    fn restore(&mut self, name: &str, seen: Seen, good: SavedPair, found: Found) {
        let (text, manifest) = match good.manifest() {
            Ok(manifest) => manifest,
            Err(cause) => {
                tracing::warn!(
                    plugin = name,
                    cause,
                    "the files that served before the restart cannot be used"
                );
                return self.proceed(name, seen, found);
            }
        };
        self.open_slot(name, seen.began).declare(&manifest);
        let input = Input { digest: good.id.component, manifest: text };
        let restored = Some(Box::new(Restored { source: good.source, then: found }));
        self.start(name, seen, (input, manifest), restored);
    }

    /// Puts the saved files into service, if they still load, and continues with the files in the directory.
    pub(super) fn conclude_restored(
        &mut self,
        slot: &Slot,
        seen: Seen,
        loaded: Result<Arc<Generation>, LoadFault>,
        then: Found,
    ) {
        match loaded {
            Ok(generation) => {
                tracing::info!(
                    plugin = slot.name,
                    description = generation.description,
                    "the files that served before the restart serve until those in the directory are judged"
                );
                slot.restore(generation);
            }
            Err(fault) => tracing::warn!(
                plugin = slot.name,
                reason = %fault.reason,
                cause = fault.message,
                "the files that served before the restart cannot be used"
            ),
        }
        self.proceed(&slot.name, seen, then);
    }
}
