//! One APIService of a watched backend, and how it is judged.

use super::prober::{Round, Seen, SubjectProber};
use super::report::{Finding, Judgement, Listing, MemberSpec};
use super::shared::{SharedDocument, Told};
use crate::decision::builtin::{DiscoveryProbe, own_path};
use crate::decision::health::{Evidence, HealthChecker, HealthFault, State, Subject, Verdict};
use crate::merge::discovery::decode_legacy;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Guard around a whole judgement (contract §5.2 has 6 s around one probe; a checker may send several).
const JUDGEMENT_LIMIT: Duration = Duration::from_secs(15);
/// Resources of a legacy backend are read again after so long (contract §3.7).
const LISTING_PERIOD: Duration = Duration::from_secs(60);
/// Bounds of the time after which a checker may ask to be asked again.
const NEXT_BOUNDS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(300));

/// What is remembered of an APIService.
pub(super) struct Member {
    pub(super) spec: MemberSpec,
    pub(super) state: State,
    /// The last look, if any.
    pub(super) checked: Option<Instant>,
    /// When its checker wants to be asked again.
    pub(super) next: Option<Instant>,
    path: String,
    round: u32,
    listed: Option<Instant>,
    digest: Option<u64>,
}

/// The outcome of one look.
pub(super) struct Look {
    pub(super) verdict: Result<Verdict, HealthFault>,
    seen: Seen,
}

impl Look {
    pub(super) fn is_down(&self) -> bool {
        matches!(&self.verdict, Ok(verdict) if verdict.state == State::Down)
    }
}

impl Member {
    pub(super) fn new(spec: MemberSpec) -> Self {
        Self {
            path: own_path(&spec.group_version.group, &spec.group_version.version),
            state: spec.was,
            spec,
            checked: None,
            next: None,
            round: 0,
            listed: None,
            digest: None,
        }
    }

    /// Whether it counts as available.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up | State::Degraded)
    }

    /// Judges once; changes nothing.
    pub(super) async fn look(&self, round: &Round<'_>, evidence: Evidence) -> Look {
        let subject = Subject {
            api_service: self.spec.api_service.clone(),
            group: self.spec.group_version.group.clone(),
            version: self.spec.group_version.version.clone(),
            endpoints: round.backend().endpoints.clone(),
            round: self.round,
            was: self.state,
            evidence,
        };
        let prober = SubjectProber::new(round, &self.path);
        let judged = tokio::time::timeout(JUDGEMENT_LIMIT, async {
            match self.spec.checker.check(&subject, &prober).await {
                Err(HealthFault::NotMine) => DiscoveryProbe.check(&subject, &prober).await,
                verdict => verdict,
            }
        });
        let verdict = judged.await.unwrap_or_else(|_| {
            Err(HealthFault::Inconclusive("the health checker did not answer in time".to_owned()))
        });
        let is_old = self.listed.is_none_or(|at| at.elapsed() >= LISTING_PERIOD);
        if is_old && evidence != Evidence::Listed {
            prober.fetch_own().await;
        }
        Look { verdict, seen: prober.into_seen() }
    }

    /// Remembers a look and says what is new.
    pub(super) fn settle(&mut self, look: Look, told: Told, document: &SharedDocument) -> Finding {
        let now = Instant::now();
        self.round = self.round.saturating_add(1);
        self.checked = Some(now);
        self.next = None;
        let listing = self.listing(told, document, &look.seen);
        let judgement = match look.verdict {
            Ok(verdict) if verdict.state != State::Unknown => Some(self.judge(verdict, look.seen, now)),
            Ok(_) => None,
            Err(HealthFault::Lapsed(message)) => {
                let (state, reason) = (State::Unknown, "PluginFailed".to_owned());
                Some(self.judge(Verdict { state, reason, message, next: None }, look.seen, now))
            }
            Err(fault) => {
                tracing::warn!(api_service = self.spec.api_service, %fault, "no verdict; the one before stands");
                None
            }
        };
        Finding { api_service: self.spec.api_service.clone(), judgement, listing }
    }

    fn judge(&mut self, verdict: Verdict, seen: Seen, now: Instant) -> Judgement {
        self.state = verdict.state;
        self.next = verdict.next.map(|next| now + next.clamp(NEXT_BOUNDS.0, NEXT_BOUNDS.1));
        Judgement {
            state: verdict.state,
            reason: verdict.reason,
            message: verdict.message,
            trouble: seen.trouble.unwrap_or_else(|| "its health check failed".to_owned()),
        }
    }

    /// What the shared document says of its resources; `None` when that does not tell.
    pub(super) fn shared_listing(&mut self, told: Told, document: &SharedDocument) -> Option<Listing> {
        let known = document.resources(&self.spec.group_version).filter(|_| told != Told::Nothing)?;
        Some(match known {
            Ok(_) if told == Told::Same && self.listed.is_some() && self.digest.is_none() => Listing::Same,
            Ok(resources) => {
                self.listed = Some(Instant::now());
                self.digest = None;
                Listing::Known(Arc::clone(resources))
            }
            Err(fault) => {
                tracing::warn!(api_service = self.spec.api_service, %fault, "resources are not usable");
                Listing::Failed
            }
        })
    }

    fn listing(&mut self, told: Told, document: &SharedDocument, seen: &Seen) -> Option<Listing> {
        if let Some(listing) = self.shared_listing(told, document) {
            return Some(listing);
        }
        match &seen.own {
            Some(own) if (200..300).contains(&own.status) => Some(self.own_listing(&own.body)),
            // Contract §3.7: a backend that answers and leaves a group-version out has no resources in it.
            Some(_) if told != Told::Nothing => {
                self.listed = Some(Instant::now());
                self.digest = None;
                Some(Listing::Known(Arc::default()))
            }
            Some(_) => Some(Listing::Failed),
            None => seen.asked_own.then_some(Listing::Failed),
        }
    }

    fn own_listing(&mut self, body: &[u8]) -> Listing {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let digest = Some(hasher.finish());
        let is_same = self.digest == digest;
        self.listed = Some(Instant::now());
        if is_same {
            return Listing::Same;
        }
        match decode_legacy(body, &self.spec.group_version) {
            Ok(resources) => {
                self.digest = digest;
                Listing::Known(Arc::new(resources))
            }
            Err(fault) => {
                self.digest = None;
                tracing::warn!(api_service = self.spec.api_service, %fault, "resources are not usable");
                Listing::Failed
            }
        }
    }
}
