//! A component can do what each built-in does: same inputs, same answers.

use super::{Plugins, Recorded, drop_guest, judged, target, write_manifest};
use anyhow::Result;
use umbel::decision::binding::Decisions;
use umbel::decision::builtin::{DiscoveryProbe, ExternalNameResolver};
use umbel::decision::discovery::{DiscoveryTransformer, GroupHead, Identity};
use umbel::decision::health::{Evidence, HealthChecker, ProbeFault, Subject, Verdict};
use umbel::decision::resolver::{Resolver, Target};
use umbel_tests::Guest;

#[tokio::test]
async fn the_resolver_twin_answers_like_the_built_in() -> Result<()> {
    let plugins =
        Plugins::start_loaded(vec![], |dir| drop_guest(dir, Guest::ResolverExternalName, "twin")).await?;
    let twin = plugins.resolver("twin");
    for host in [Some("shop.example.com"), Some("127.0.0.1"), Some("::1"), Some("10.0.0.7"), None] {
        for port in [443, 8443] {
            let target = Target { port, ..target(host) };
            assert_eq!(
                twin.resolve(&target).await,
                ExternalNameResolver.resolve(&target).await,
                "{target:?}"
            );
        }
    }
    let status = plugins.status("twin")?;
    assert_eq!((status.calls, status.faults), (10, 0), "the twin itself answered: {status:?}");
    Ok(())
}

#[tokio::test]
async fn the_health_twin_judges_like_the_built_in() -> Result<()> {
    let plugins =
        Plugins::start_loaded(vec![], |dir| drop_guest(dir, Guest::HealthDiscoveryProbe, "twin")).await?;
    let twin = plugins.health_checker("twin");
    let refused = || Err(ProbeFault::Connect("dial tcp [::1]:443: connect: connection refused".to_owned()));
    let late = || Err(ProbeFault::TimedOut("context deadline exceeded".to_owned()));
    let cases = vec![
        (judged(&["10.0.0.1"]), vec![Ok(200)]),
        (judged(&["10.0.0.1"]), vec![Ok(403)]),
        (judged(&["10.0.0.1"]), vec![Ok(301)]),
        (judged(&["::1"]), vec![refused()]),
        (judged(&["a.test", "b.test"]), vec![late(), Ok(204)]),
        (judged(&["a.test", "b.test"]), vec![Ok(500), Err(ProbeFault::Tls("unknown authority".to_owned()))]),
        (judged(&["a.test"]), vec![Err(ProbeFault::Protocol("EOF".to_owned()))]),
        (judged(&[]), vec![]),
        (Subject { evidence: Evidence::Listed, ..judged(&[]) }, vec![]),
        (Subject { evidence: Evidence::NotListed, ..judged(&["a.test"]) }, vec![Ok(200)]),
        (Subject { group: String::new(), ..judged(&["a.test"]) }, vec![Ok(404)]),
    ];
    for (subject, answers) in cases {
        let (for_twin, for_built_in) = (Recorded::new(answers.clone()), Recorded::new(answers));
        let twins = twin.check(&subject, &for_twin).await.unwrap();
        let built_in = DiscoveryProbe.check(&subject, &for_built_in).await.unwrap();
        // The built-in adds how to configure a backend, which is not a part of its decision.
        assert!(built_in.message.starts_with(&twins.message), "{twins:?} {built_in:?}");
        assert_eq!(twins, Verdict { message: twins.message.clone(), ..built_in }, "{subject:?}");
        let asked = |recorded: &Recorded| -> Vec<(usize, String)> {
            recorded.seen.lock().iter().map(|probe| (probe.endpoint, probe.path.clone())).collect()
        };
        assert_eq!(asked(&for_twin), asked(&for_built_in), "the same probes for {subject:?}");
    }
    assert_eq!(plugins.status("twin")?.faults, 0);
    Ok(())
}

#[tokio::test]
async fn the_discovery_twin_leaves_everything_like_the_built_in() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "twin", "{discovery: {enabled: true}}")?;
        drop_guest(dir, Guest::DiscoveryIdentity, "twin")
    })
    .await?;
    let transformers = plugins.host.transformers();
    let [twin] = transformers.as_slice() else { panic!("{} transformers", transformers.len()) };
    let group = r#"{"metadata":{"name":"g"},"versions":[{"version":"v1","resources":[]}]}"#;
    assert_eq!(twin.transform(group).await, Identity.transform(group).await);
    let heads = [GroupHead { name: "g".to_owned(), versions: vec!["v1".to_owned()] }];
    assert_eq!(twin.order(&heads).await, Identity.order(&heads).await);
    assert_eq!(plugins.status("twin")?.calls, 2);
    Ok(())
}
