//! One APIService of a watched backend, and how it is judged.

use super::prober::{OWN_DOCUMENT_MAX, Round, Seen, SubjectProber};
use super::report::{Finding, Judgement, Listing, MemberSpec};
use super::shared::{SharedDocument, Told, decode, whole};
use crate::control::client::Answer;
use crate::decision::builtin::{DiscoveryProbe, own_path};
use crate::decision::health::{Evidence, HealthChecker, HealthFault, State, Subject, Verdict};
use crate::merge::discovery::{Resource, decode_legacy};
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
    own: Own,
}

/// The state of the resource list at the group-version's own path.
enum Own {
    /// It was not asked.
    Unasked,
    /// The document is as it was when it was last read.
    Same,
    /// Another document; its digest.
    New(u64, Result<Vec<Resource>, String>),
    /// The backend answers without such a document.
    Refused(String),
    /// There was no answer.
    Failed(String),
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
        let mut seen = prober.into_seen();
        let own = self.own(&mut seen).await;
        Look { verdict, seen, own }
    }

    async fn own(&self, seen: &mut Seen) -> Own {
        let path = &self.path;
        match seen.own.take() {
            Some(own) if (200..300).contains(&own.status) => self.read(own).await,
            Some(own) => Own::Refused(format!("GET {path}: status {}", own.status)),
            None if seen.asked_own => {
                let trouble = seen.trouble.as_deref().unwrap_or("no answer");
                Own::Failed(format!("GET {path}: {trouble}"))
            }
            None => Own::Unasked,
        }
    }

    async fn read(&self, answer: Answer) -> Own {
        let mut hasher = DefaultHasher::new();
        answer.body.hash(&mut hasher);
        let digest = hasher.finish();
        if self.digest == Some(digest) && !answer.truncated {
            return Own::Same;
        }
        let asked = self.spec.group_version.clone();
        let resources = match whole(&self.path, &answer, OWN_DOCUMENT_MAX) {
            Ok(body) => decode(body, move |body| decode_legacy(body, &asked)).await,
            Err(fault) => return Own::New(digest, Err(fault)),
        };
        let fault = |fault| format!("GET {}: {fault}", self.path);
        Own::New(digest, resources.and_then(|decoded| decoded.map_err(fault)))
    }

    /// Remembers a look and says what is new.
    pub(super) fn settle(&mut self, look: Look, told: Told, document: &SharedDocument) -> Finding {
        let now = Instant::now();
        self.round = self.round.saturating_add(1);
        self.checked = Some(now);
        self.next = None;
        let listing = self.listing(told, document, look.own);
        let judgement = match look.verdict {
            Ok(mut verdict) if verdict.state != State::Unknown => {
                if let (State::Down, Some(fault)) = (verdict.state, document.fault()) {
                    verdict.message =
                        format!("{}; its aggregated discovery is not usable: {fault}", verdict.message);
                }
                Some(self.judge(verdict, look.seen, now))
            }
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
            Err(fault) => self.unusable(format!("GET /apis: {fault}")),
        })
    }

    fn listing(&mut self, told: Told, document: &SharedDocument, own: Own) -> Option<Listing> {
        if let Some(listing) = self.shared_listing(told, document) {
            return Some(listing);
        }
        match own {
            Own::Unasked => None,
            Own::Same => {
                self.listed = Some(Instant::now());
                Some(Listing::Same)
            }
            Own::New(digest, Ok(resources)) => {
                self.listed = Some(Instant::now());
                self.digest = Some(digest);
                Some(Listing::Known(Arc::new(resources)))
            }
            Own::New(_, Err(fault)) => {
                self.listed = Some(Instant::now());
                self.digest = None;
                Some(self.unusable(fault))
            }
            // Contract §3.7: a backend that answers and leaves a group-version out has no resources in it.
            Own::Refused(_) if told != Told::Nothing => {
                self.listed = Some(Instant::now());
                self.digest = None;
                Some(Listing::Known(Arc::default()))
            }
            Own::Refused(fault) | Own::Failed(fault) => {
                Some(Listing::Failed(document.fault().map_or(fault, str::to_owned)))
            }
        }
    }

    fn unusable(&self, fault: String) -> Listing {
        tracing::warn!(api_service = self.spec.api_service, fault, "resources are not usable");
        Listing::Failed(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::client::ControlClient;
    use crate::decision::health::Prober;
    use crate::model::group_version::GroupVersion;
    use crate::route::{Backend, BackendId};
    use bytes::Bytes;
    use futures_util::future::{BoxFuture, ready};
    use rustls::RootCertStore;

    /// Says this about everything.
    struct Says(Result<State, HealthFault>);

    impl HealthChecker for Says {
        fn check<'a>(
            &'a self,
            _: &'a Subject,
            _: &'a dyn Prober,
        ) -> BoxFuture<'a, Result<Verdict, HealthFault>> {
            let verdict = |state| Verdict { state, reason: "Said".into(), message: "so".into(), next: None };
            Box::pin(ready(self.0.clone().map(verdict)))
        }
    }

    fn member(says: Result<State, HealthFault>, was: State) -> Member {
        let (api_service, group_version) = ("v1.a.com".to_owned(), GroupVersion::new("a.com", "v1"));
        Member::new(MemberSpec { api_service, group_version, checker: Arc::new(Says(says)), was })
    }

    /// A backend without endpoints: nothing can be asked there.
    fn client() -> ControlClient {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let tls = Arc::new(tls);
        ControlClient::new(Arc::new(Backend {
            id: BackendId(1),
            service: "prod/shop:443".to_owned(),
            endpoints: Vec::new(),
            authorities: Vec::new(),
            server_name: "shop.prod.svc".try_into().unwrap(),
            tls: Arc::clone(&tls),
            tls_http1: tls,
        }))
    }

    async fn finding(member: &mut Member, evidence: Evidence) -> Finding {
        let client = client();
        let look = member.look(&Round::new(&client), evidence).await;
        member.settle(look, Told::Nothing, &SharedDocument::default())
    }

    #[tokio::test]
    async fn what_a_checker_does_not_handle_the_built_in_check_judges() {
        let mut other = member(Err(HealthFault::NotMine), State::Unknown);
        let judged = finding(&mut other, Evidence::Listed).await.judgement.unwrap();
        assert_eq!((judged.state, judged.reason.as_str()), (State::Up, "Passed"));
        assert!(other.is_up());
        let judged = finding(&mut other, Evidence::NotListed).await.judgement.unwrap();
        assert_eq!((judged.state, judged.reason.as_str()), (State::Down, "FailedDiscoveryCheck"));
        assert!(!other.is_up());
        let mut own = member(Ok(State::Down), State::Up);
        let judged = finding(&mut own, Evidence::Listed).await.judgement.unwrap();
        assert_eq!((judged.state, judged.reason.as_str()), (State::Down, "Said"), "it has the last word");
    }

    #[tokio::test]
    async fn a_degraded_backend_counts_as_available() {
        let mut member = member(Ok(State::Degraded), State::Down);
        assert!(!member.is_up());
        assert_eq!(finding(&mut member, Evidence::Listed).await.judgement.unwrap().state, State::Degraded);
        assert!(member.is_up());
        let client = client();
        let look = member.look(&Round::new(&client), Evidence::Listed).await;
        assert!(!look.is_down());
    }

    #[tokio::test]
    async fn without_a_verdict_the_one_before_stands() {
        for says in [Ok(State::Unknown), Err(HealthFault::Inconclusive("maybe".into()))] {
            let mut member = member(says, State::Up);
            assert_eq!(finding(&mut member, Evidence::Listed).await.judgement, None);
            assert!(member.is_up());
        }
        let mut lapsed = member(Err(HealthFault::Lapsed("nobody".into())), State::Up);
        let judged = finding(&mut lapsed, Evidence::Listed).await.judgement.unwrap();
        let said = (judged.state, judged.reason.as_str(), judged.message.as_str());
        assert_eq!(said, (State::Unknown, "PluginFailed", "nobody"));
        assert!(!lapsed.is_up());
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Bytes::from(body.to_owned()), ..Answer::default() }
    }

    fn list(names: &[&str]) -> String {
        let one = |name: &&str| format!(r#"{{"name":"{name}","kind":"A"}}"#);
        let all: Vec<String> = names.iter().map(one).collect();
        format!(r#"{{"kind":"APIResourceList","resources":[{}]}}"#, all.join(","))
    }

    async fn listing(member: &mut Member, own: Option<Answer>, told: Told) -> Option<Listing> {
        let mut seen = Seen { asked_own: true, own, trouble: Some("it is gone".to_owned()) };
        let own = member.own(&mut seen).await;
        member.listing(told, &SharedDocument::default(), own)
    }

    #[tokio::test]
    async fn an_own_path_tells_of_its_resources_or_why_not() {
        let mut member = member(Ok(State::Up), State::Up);
        let show = |listing: Option<Listing>| match listing.unwrap() {
            Listing::Known(resources) => format!("{} known", resources.len()),
            Listing::Same => "same".to_owned(),
            Listing::Failed(fault) => fault,
        };
        let two = || Some(answer(200, &list(&["a", "b"])));
        assert_eq!(show(listing(&mut member, two(), Told::Nothing).await), "2 known");
        assert_eq!(show(listing(&mut member, two(), Told::Nothing).await), "same");
        let three = Some(answer(200, &list(&["a", "b", "c"])));
        assert_eq!(show(listing(&mut member, three, Told::Nothing).await), "3 known");
        let broken = show(listing(&mut member, Some(answer(200, "<html>")), Told::Nothing).await);
        assert!(broken.starts_with("GET /apis/a.com/v1: the discovery document cannot be read"), "{broken}");
        assert_eq!(show(listing(&mut member, two(), Told::Nothing).await), "2 known");
        let cut = Answer { truncated: true, ..answer(200, &list(&["a", "b"])) };
        let cut = show(listing(&mut member, Some(cut), Told::Nothing).await);
        assert!(cut.contains("larger than 33554432 bytes"), "{cut}");
        assert_eq!(
            show(listing(&mut member, two(), Told::Nothing).await),
            "2 known",
            "the cut one is forgotten"
        );
        let refused = |status| Some(answer(status, ""));
        let no = show(listing(&mut member, refused(403), Told::Nothing).await);
        assert_eq!(no, "GET /apis/a.com/v1: status 403");
        assert_eq!(show(listing(&mut member, None, Told::Nothing).await), "GET /apis/a.com/v1: it is gone");
        assert_eq!(show(listing(&mut member, None, Told::Same).await), "GET /apis/a.com/v1: it is gone");
        assert_eq!(show(listing(&mut member, refused(404), Told::New).await), "0 known", "it serves none");
    }

    #[tokio::test]
    async fn a_checker_may_ask_for_the_next_time_within_bounds() {
        for (asked, low, high) in [(Duration::ZERO, 150, 250), (Duration::from_secs(9), 8_000, 10_000)] {
            let mut member = member(Ok(State::Up), State::Up);
            let verdict =
                Verdict { state: State::Up, reason: "R".into(), message: "m".into(), next: Some(asked) };
            let now = Instant::now();
            member.judge(verdict, Seen::default(), now);
            let next = member.next.unwrap() - now;
            assert!((low..=high).contains(&next.as_millis()), "{asked:?}: {next:?}");
        }
        let mut member = member(Ok(State::Up), State::Up);
        let next = Some(Duration::from_secs(86_400));
        let verdict = Verdict { state: State::Up, reason: "R".into(), message: "m".into(), next };
        let now = Instant::now();
        member.judge(verdict, Seen::default(), now);
        assert!(member.next.unwrap() - now <= Duration::from_secs(300));
    }

    #[tokio::test]
    async fn resources_of_a_legacy_backend_are_read_again_when_they_are_old() {
        let mut member = member(Ok(State::Up), State::Up);
        let client = client();
        let asks = async |member: &Member, evidence| {
            let look = member.look(&Round::new(&client), evidence).await;
            !matches!(look.own, Own::Unasked)
        };
        assert!(asks(&member, Evidence::None).await, "nothing is known yet");
        assert!(!asks(&member, Evidence::Listed).await, "the shared document tells");
        member.listed = Some(Instant::now());
        assert!(!asks(&member, Evidence::None).await);
        member.listed = Instant::now().checked_sub(LISTING_PERIOD);
        assert!(member.listed.is_none() || asks(&member, Evidence::None).await);
    }
}
