//! Answers that serve while a plugin fails.

use crate::decision::discovery::Outcome;
use crate::decision::health::Verdict;
use crate::decision::resolver::{Resolution, Target};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

/// Answers that are kept, per kind.
const KEPT_MAX: usize = 20_000;
/// When a plugin is asked again after another answer than its own was taken.
pub(in crate::plugin) const RETRY: Duration = Duration::from_secs(5);
/// A resolution is never used for longer than this without being confirmed.
const RESOLUTION_MAX: Duration = Duration::from_secs(3_600);
/// How long a verdict stands unconfirmed, in intervals between judgements; the usual one of those, and how many.
const INTERVAL: Duration = Duration::from_secs(30);
const INTERVALS: u32 = 3;

/// The last good answers of one plugin.
#[derive(Debug, Default)]
pub(in crate::plugin) struct LastGood {
    resolutions: Mutex<HashMap<(String, String, u16), Resolved>>,
    verdicts: Mutex<HashMap<String, (Verdict, Instant)>>,
    outcomes: Mutex<HashMap<String, ([u8; 32], Outcome)>>,
}

#[derive(Debug)]
struct Resolved {
    target: Target,
    resolution: Resolution,
    at: Instant,
}

impl LastGood {
    pub(in crate::plugin) fn keep_resolution(&self, target: &Target, resolution: &Resolution, at: Instant) {
        let mut all = self.resolutions.lock();
        let key = (target.namespace.clone(), target.name.clone(), target.port);
        let has_room = all.len() < KEPT_MAX;
        match all.entry(key) {
            // Most answers say again what the one before said.
            Entry::Occupied(kept) if kept.get().target == *target && kept.get().resolution == *resolution => {
                kept.into_mut().at = at;
            }
            Entry::Vacant(_) if !has_room => {}
            entry => {
                entry.insert_entry(Resolved { target: target.clone(), resolution: resolution.clone(), at });
            }
        }
    }

    /// The last answer for exactly this target, when it is not too old; good for a short time only, so that the
    /// plugin is asked again.
    pub(in crate::plugin) fn resolution(&self, target: &Target, now: Instant) -> Option<Resolution> {
        let key = (target.namespace.clone(), target.name.clone(), target.port);
        let all = self.resolutions.lock();
        let kept = all.get(&key).filter(|kept| kept.target == *target)?;
        let Resolution { fresh, stale, .. } = kept.resolution;
        let limit = if stale.is_zero() { RESOLUTION_MAX } else { stale.max(fresh).min(RESOLUTION_MAX) };
        let left = limit.checked_sub(now.duration_since(kept.at)).filter(|left| !left.is_zero())?;
        // Whoever keeps this answer must not keep it for longer than it is good.
        let (fresh, stale) = (RETRY.min(left), left.saturating_sub(RETRY).max(Duration::from_millis(1)));
        Some(Resolution { fresh, stale, ..kept.resolution.clone() })
    }

    /// Keeps what a plugin said of an APIService.
    pub(in crate::plugin) fn keep_verdict(&self, api_service: &str, verdict: &Verdict, at: Instant) {
        let mut all = self.verdicts.lock();
        if all.len() < KEPT_MAX || all.contains_key(api_service) {
            all.insert(api_service.to_owned(), (verdict.clone(), at));
        }
    }

    /// What was said last, unless that is three intervals ago.
    pub(in crate::plugin) fn verdict(&self, api_service: &str, now: Instant) -> Option<Verdict> {
        let all = self.verdicts.lock();
        let (verdict, at) = all.get(api_service)?;
        let limit = verdict.next.unwrap_or(INTERVAL).saturating_mul(INTERVALS);
        (now.duration_since(*at) <= limit).then(|| verdict.clone())
    }

    pub(in crate::plugin) fn keep_outcome(&self, name: &str, input: &str, outcome: &Outcome) {
        let mut all = self.outcomes.lock();
        if all.len() < KEPT_MAX || all.contains_key(name) {
            all.insert(name.to_owned(), (digest(input), outcome.clone()));
        }
    }

    /// The last outcome for exactly this document.
    pub(in crate::plugin) fn outcome(&self, name: &str, input: &str) -> Option<Outcome> {
        let all = self.outcomes.lock();
        all.get(name).filter(|(seen, _)| *seen == digest(input)).map(|(_, outcome)| outcome.clone())
    }
}

fn digest(input: &str) -> [u8; 32] {
    Sha256::digest(input.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::health::State;
    use crate::decision::resolver::Endpoint;

    #[test]
    fn an_answer_serves_until_it_is_stale_and_for_its_target_only() {
        let kept = LastGood::default();
        let target = Target { name: "a".to_owned(), ..Target::default() };
        let resolution = Resolution {
            endpoints: vec![Endpoint { host: "h".to_owned(), port: 1, weight: 1 }],
            fresh: Duration::from_secs(1),
            stale: Duration::from_secs(10),
        };
        let start = Instant::now();
        kept.keep_resolution(&target, &resolution, start);
        let found = kept.resolution(&target, start + Duration::from_secs(4)).unwrap();
        assert_eq!((found.endpoints, found.fresh), (resolution.endpoints, RETRY));
        assert_eq!(kept.resolution(&target, start + Duration::from_secs(11)), None);
        let changed = Target { external_name: Some("other".to_owned()), ..target };
        assert_eq!(kept.resolution(&changed, start), None);
    }

    #[test]
    fn no_answer_outlives_an_hour_and_no_verdict_three_intervals() {
        let (kept, start) = (LastGood::default(), Instant::now());
        let target = Target { name: "a".to_owned(), ..Target::default() };
        for stale in [0, 100_000] {
            let resolution = Resolution {
                endpoints: vec![Endpoint { host: "h".to_owned(), port: 1, weight: 1 }],
                fresh: Duration::from_secs(1),
                stale: Duration::from_secs(stale),
            };
            kept.keep_resolution(&target, &resolution, start);
            let late = kept.resolution(&target, start + Duration::from_secs(3_598)).unwrap();
            assert!(late.fresh + late.stale <= Duration::from_secs(3), "{late:?}");
            assert_eq!(kept.resolution(&target, start + RESOLUTION_MAX), None);
        }
        for (next, limit) in [(None, 90), (Some(Duration::from_secs(2)), 6)] {
            let verdict = Verdict { state: State::Up, reason: "R".into(), message: "m".into(), next };
            kept.keep_verdict("v1.a", &verdict, start);
            let at = |second| kept.verdict("v1.a", start + Duration::from_secs(second));
            assert_eq!((at(limit), at(limit + 1)), (Some(verdict), None));
        }
    }

    #[test]
    fn an_outcome_serves_for_its_document_only() {
        let kept = LastGood::default();
        kept.keep_outcome("g", "one", &Outcome::Keep);
        assert_eq!(kept.outcome("g", "one"), Some(Outcome::Keep));
        assert_eq!(kept.outcome("g", "two"), None);
    }
}
