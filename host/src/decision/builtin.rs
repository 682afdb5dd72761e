//! The built-in answers to the decisions.

use super::binding::{BindingSubject, Decisions};
use super::discovery::DiscoveryTransformer;
use super::health::{Evidence, HealthChecker, HealthFault, ProbeRequest, Prober, State, Subject, Verdict};
use super::resolver::{Endpoint, Resolution, ResolveFault, Resolver, Target, url_authority};
use crate::model::identity::FRONT_PROXY_NAME;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Limit for one probe (contract §5.2).
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Resolves a service to the host of the ExternalName of the same namespace and name.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExternalNameResolver;

impl Resolver for ExternalNameResolver {
    fn resolve<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Resolution, ResolveFault>> {
        let answer = match &target.external_name {
            Some(host) => Ok(Resolution {
                endpoints: vec![Endpoint { host: host.clone(), port: target.port, weight: 1 }],
                fresh: Duration::ZERO,
                stale: Duration::ZERO,
            }),
            None => Err(ResolveFault::NotFound(format!(
                "ExternalName \"{}\" in namespace \"{}\" is not present",
                target.name, target.namespace
            ))),
        };
        Box::pin(std::future::ready(answer))
    }
}

/// Judges a backend by its discovery: either its aggregated document lists the group-version, or the
/// group-version's own path answers 2xx (contract §5.2). One endpoint that answers well is enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscoveryProbe;

impl HealthChecker for DiscoveryProbe {
    fn check<'a>(
        &'a self,
        subject: &'a Subject,
        prober: &'a dyn Prober,
    ) -> BoxFuture<'a, Result<Verdict, HealthFault>> {
        if subject.evidence == Evidence::Listed {
            return Box::pin(std::future::ready(Ok(passed())));
        }
        Box::pin(probe_own_path(subject, prober))
    }
}

async fn probe_own_path(subject: &Subject, prober: &dyn Prober) -> Result<Verdict, HealthFault> {
    let path = own_path(&subject.group, &subject.version);
    let mut failure = None;
    for (index, endpoint) in subject.endpoints.iter().enumerate() {
        let url = format!("https://{}{path}", url_authority(endpoint));
        let request = ProbeRequest {
            endpoint: index,
            method: http::Method::GET,
            path: path.clone(),
            headers: Vec::new(),
            timeout: PROBE_TIMEOUT,
            body_max: 0,
        };
        match prober.send(request).await {
            Ok(answer) if (200..300).contains(&answer.status) => return Ok(passed()),
            Ok(answer) => {
                let hint = status_hint(answer.status, &path).map(|hint| format!(": {hint}"));
                let hint = hint.unwrap_or_default();
                failure = Some(format!("bad status from {url}: {}{hint}", answer.status));
            }
            Err(fault) => failure = Some(format!("Get \"{url}\": {fault}")),
        }
        failure = failure.map(|cause| format!("failing or missing response from {url}: {cause}"));
    }
    Ok(Verdict {
        state: State::Down,
        reason: "FailedDiscoveryCheck".to_owned(),
        message: failure.unwrap_or_else(|| "the service has no endpoint".to_owned()),
        next: None,
    })
}

/// What the status of a group-version's own path means for the backend, and how to correct the cause.
fn status_hint(status: u16, path: &str) -> Option<String> {
    match status {
        401 | 403 => Some(format!(
            "{UNTRUSTED}: start it with --requestheader-client-ca-file=<front-proxy-ca.crt from the directory backend \
             in the gateway's data directory>, --requestheader-allowed-names={FRONT_PROXY_NAME}, \
             --requestheader-username-headers=X-Remote-User, --requestheader-group-headers=X-Remote-Group and \
             --requestheader-extra-headers-prefix=X-Remote-Extra-; flags.txt in the same directory has these flags"
        )),
        404 => Some(format!(
            "the backend does not serve {path}: check spec.group, spec.version and spec.service of the APIService"
        )),
        _ => None,
    }
}

/// The meaning of a status of a group-version's own path in short, for clients.
pub fn status_meaning(status: u16, path: &str) -> Option<String> {
    match status {
        401 | 403 => Some(UNTRUSTED.to_owned()),
        404 => Some(format!("the backend does not serve {path}")),
        _ => None,
    }
}

/// The gateway sends this request as a member of `system:masters`, so only a backend that does not trust the gateway
/// denies it.
const UNTRUSTED: &str = "the backend does not trust the front proxy of the gateway";

/// Where a group-version describes itself; the legacy core group lives under `/api`.
pub fn own_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

fn passed() -> Verdict {
    Verdict {
        state: State::Up,
        reason: "Passed".to_owned(),
        message: "all checks passed".to_owned(),
        next: None,
    }
}

/// Every decision is taken by a built-in implementation.
pub struct BuiltInDecisions {
    resolver: Arc<ExternalNameResolver>,
    health_checker: Arc<DiscoveryProbe>,
    generation: watch::Sender<u64>,
}

impl Default for BuiltInDecisions {
    fn default() -> Self {
        Self {
            resolver: Arc::new(ExternalNameResolver),
            health_checker: Arc::new(DiscoveryProbe),
            generation: watch::Sender::new(0),
        }
    }
}

impl Decisions for BuiltInDecisions {
    fn resolver(&self, _subject: &BindingSubject) -> Arc<dyn Resolver> {
        Arc::clone(&self.resolver) as Arc<dyn Resolver>
    }

    fn health_checker(&self, _subject: &BindingSubject) -> Arc<dyn HealthChecker> {
        Arc::clone(&self.health_checker) as Arc<dyn HealthChecker>
    }

    fn transformers(&self) -> Vec<Arc<dyn DiscoveryTransformer>> {
        Vec::new()
    }

    fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::health::{ProbeFault, ProbeResponse};
    use futures_util::FutureExt;

    struct Answers(Vec<Result<u16, ProbeFault>>);

    impl Prober for Answers {
        fn send(&self, request: ProbeRequest) -> BoxFuture<'_, Result<ProbeResponse, ProbeFault>> {
            let answer = self.0[request.endpoint].clone();
            let answer = answer.map(|status| ProbeResponse { status, ..ProbeResponse::default() });
            Box::pin(std::future::ready(answer))
        }
    }

    fn subject(hosts: &[&str]) -> Subject {
        let endpoints =
            hosts.iter().map(|h| Endpoint { host: (*h).to_owned(), port: 443, weight: 1 }).collect();
        Subject {
            api_service: "v1.example.com".into(),
            group: "example.com".into(),
            version: "v1".into(),
            endpoints,
            ..Subject::default()
        }
    }

    fn judge(subject: &Subject, answers: Vec<Result<u16, ProbeFault>>) -> Verdict {
        DiscoveryProbe.check(subject, &Answers(answers)).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn a_bad_status_is_named_with_its_url() {
        let verdict = judge(&subject(&["10.0.0.31"]), vec![Ok(502)]);
        assert_eq!(verdict.state, State::Down);
        assert_eq!(verdict.reason, "FailedDiscoveryCheck");
        let url = "https://10.0.0.31:443/apis/example.com/v1";
        assert_eq!(
            verdict.message,
            format!("failing or missing response from {url}: bad status from {url}: 502")
        );
    }

    #[test]
    fn a_backend_that_denies_the_check_does_not_trust_the_front_proxy() {
        for status in [401, 403] {
            let message = judge(&subject(&["10.0.0.31"]), vec![Ok(status)]).message;
            let url = "https://10.0.0.31:443/apis/example.com/v1";
            let start = format!(
                "failing or missing response from {url}: bad status from {url}: {status}: \
                 the backend does not trust the front proxy of the gateway: "
            );
            assert!(message.starts_with(&start), "{message}");
            for flag in [
                "--requestheader-client-ca-file=",
                "--requestheader-allowed-names=umbel-front-proxy",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "flags.txt",
            ] {
                assert!(message.contains(flag), "{flag}: {message}");
            }
            let meaning = status_meaning(status, "/apis/g/v1").unwrap();
            assert_eq!(meaning, "the backend does not trust the front proxy of the gateway");
        }
    }

    #[test]
    fn a_backend_without_the_group_version_is_told_apart() {
        let message = judge(&subject(&["10.0.0.31"]), vec![Ok(404)]).message;
        assert!(message.contains(": 404: the backend does not serve /apis/example.com/v1: "), "{message}");
        assert_eq!(status_meaning(404, "/api/v1").unwrap(), "the backend does not serve /api/v1");
        assert_eq!(status_meaning(503, "/api/v1"), None);
    }

    #[test]
    fn a_fault_is_named_as_go_names_it() {
        let fault = ProbeFault::Connect("dial tcp [::1]:443: connect: connection refused".into());
        let verdict = judge(&subject(&["::1"]), vec![Err(fault)]);
        let url = "https://[::1]:443/apis/example.com/v1";
        assert_eq!(
            verdict.message,
            format!(
                "failing or missing response from {url}: Get \"{url}\": \
                 dial tcp [::1]:443: connect: connection refused"
            )
        );
    }

    #[test]
    fn one_good_endpoint_is_enough_and_redirects_are_no_success() {
        assert_eq!(judge(&subject(&["a", "b"]), vec![Ok(500), Ok(204)]).reason, "Passed");
        assert_eq!(judge(&subject(&["a"]), vec![Ok(301)]).state, State::Down);
    }

    #[test]
    fn a_listed_group_version_needs_no_request() {
        let listed = Subject { evidence: Evidence::Listed, ..subject(&[]) };
        assert_eq!(judge(&listed, vec![]), passed());
    }

    #[test]
    fn a_service_without_external_name_is_not_present() {
        let target = Target { namespace: "ns".into(), name: "api".into(), port: 443, ..Target::default() };
        let fault = ExternalNameResolver.resolve(&target).now_or_never().unwrap().unwrap_err();
        assert_eq!(fault.to_string(), "ExternalName \"api\" in namespace \"ns\" is not present");
    }
}
