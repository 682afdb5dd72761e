//! The plugins of `plugins/`, as components under the real host.

use super::{Plugins, Recorded, drop_guest, judged, target, write_manifest};
use anyhow::Result;
use serde_json::json;
use std::net::Ipv4Addr;
use std::time::Duration;
use umbel::decision::binding::Decisions;
use umbel::decision::discovery::{GroupHead, Outcome};
use umbel::decision::health::{State, Subject};
use umbel::decision::resolver::{Endpoint, ResolveFault};
use umbel_tests::{DnsServer, Guest, Record, Umbel};

fn zone() -> Vec<(&'static str, Record)> {
    vec![
        ("_https._tcp.shop.test", Record::Srv(20, 1, 9443, "spare.shop.test")),
        ("_https._tcp.shop.test", Record::Srv(10, 30, 8443, "one.shop.test")),
        ("_https._tcp.shop.test", Record::Srv(10, 0, 8444, "two.shop.test")),
        ("one.shop.test", Record::A(Ipv4Addr::new(10, 0, 0, 1))),
        ("two.shop.test", Record::A(Ipv4Addr::new(10, 0, 0, 2))),
        ("spare.shop.test", Record::A(Ipv4Addr::new(10, 0, 0, 3))),
        ("_https._tcp.trap.test", Record::Srv(1, 1, 80, "metadata.trap.test")),
        ("metadata.trap.test", Record::A(Ipv4Addr::new(169, 254, 169, 254))),
    ]
}

async fn with_resolver(dns: &DnsServer, spec: &str) -> Result<Plugins> {
    Plugins::start_loaded(vec![dns.address], |dir| {
        write_manifest(dir, "srv", spec)?;
        drop_guest(dir, Guest::ResolverSrv, "srv")
    })
    .await
}

#[tokio::test]
async fn srv_records_become_endpoints() -> Result<()> {
    let dns = DnsServer::start(zone(), 30)?;
    let plugins = with_resolver(&dns, "{grants: {dns: ['*.test']}}").await?;
    let resolver = plugins.resolver("srv");
    let found = resolver.resolve(&target(Some("shop.test"))).await?;
    let endpoint = |host: &str, port, weight| Endpoint { host: host.to_owned(), port, weight };
    assert_eq!(
        found.endpoints,
        [endpoint("10.0.0.1", 8443, 30), endpoint("10.0.0.2", 8444, 1), endpoint("10.0.0.3", 9443, 0)]
    );
    assert!(found.fresh > Duration::from_secs(25) && found.fresh <= Duration::from_secs(30), "{found:?}");
    assert_eq!(found.stale, Duration::from_secs(600));
    let absent = resolver.resolve(&target(Some("nowhere.test"))).await;
    assert_eq!(absent, Err(ResolveFault::NotFound("_https._tcp.nowhere.test: no such name".to_owned())));
    let elsewhere = resolver.resolve(&target(None)).await;
    assert!(matches!(elsewhere, Err(ResolveFault::NotFound(_))), "the built-in takes over: {elsewhere:?}");
    Ok(())
}

#[tokio::test]
async fn names_need_a_grant_and_addresses_pass_the_policy() -> Result<()> {
    let dns = DnsServer::start(zone(), 30)?;
    let plugins = with_resolver(&dns, "{grants: {dns: ['*.trap.test']}}").await?;
    let denied = plugins.resolver("srv").resolve(&target(Some("shop.test"))).await.unwrap_err().to_string();
    assert!(denied.contains("add it to spec.grants.dns"), "{denied}");
    assert_eq!(dns.asked(), 0, "nothing was asked");
    let refused = plugins.resolver("srv").resolve(&target(Some("trap.test"))).await.unwrap_err().to_string();
    assert!(refused.contains("which no plugin may lead to"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_gateway_hands_its_dns_servers_to_plugins() -> Result<()> {
    let dns = DnsServer::start(zone(), 30)?;
    let home = tempfile::TempDir::new()?;
    let plugin_dir = home.path().join("plugins");
    std::fs::create_dir(&plugin_dir)?;
    write_manifest(&plugin_dir, "srv", "{grants: {dns: ['*.test']}}")?;
    drop_guest(&plugin_dir, Guest::ResolverSrv, "srv")?;
    let (servers, plugins) = (dns.address.to_string(), plugin_dir.display().to_string());
    let flags = ["--plugin-dir", &plugins, "--plugin-dns-servers", &servers];
    let umbel = Umbel::start_in(home, &flags).await?;
    let admin = umbel.admin()?;
    let name = json!({"metadata": {"name": "shop", "annotations": {"umbel.dev/resolver": "srv"}},
        "spec": {"host": "shop.test"}});
    admin
        .post("/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames", &name)
        .await?
        .expect(201)?;
    let service = json!({"metadata": {"name": "v1.shop.example.com"},
        "spec": {"group": "shop.example.com", "version": "v1", "groupPriorityMinimum": 1000,
            "versionPriority": 15, "service": {"namespace": "default", "name": "shop"}}});
    admin.post("/apis/apiregistration.k8s.io/v1/apiservices", &service).await?.expect(201)?;
    umbel_tests::wait_for("the plugin to ask that server", super::PATIENCE, || async {
        anyhow::ensure!(dns.asked() > 0, "nothing was asked");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_last_answer_serves_while_dns_is_away() -> Result<()> {
    let dns = DnsServer::start(zone(), 1)?;
    let plugins = with_resolver(&dns, "{grants: {dns: ['*.test']}, limits: {wall: 30s}}").await?;
    let resolver = plugins.resolver("srv");
    let found = resolver.resolve(&target(Some("shop.test"))).await?;
    drop(dns);
    // Until the TTL has passed, the answer comes from the cache; after that it is the last good one.
    let again = umbel_tests::wait_for("an answer that is not fresh", super::PATIENCE, || async {
        let again = resolver.resolve(&target(Some("shop.test"))).await?;
        if again.fresh == Duration::from_secs(5) { Ok(again) } else { anyhow::bail!("{again:?}") }
    })
    .await?;
    assert_eq!(again.endpoints, found.endpoints);
    Ok(())
}

#[tokio::test]
async fn health_needs_failures_in_a_row() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "threshold", "{settings: {path: /healthz, failures: 3, successes: 2}}")?;
        drop_guest(dir, Guest::HealthThreshold, "threshold")
    })
    .await?;
    let checker = plugins.health_checker("threshold");
    let mut subject = judged(&["10.0.0.1"]);
    let mut states = Vec::new();
    for look in "++--+---+".chars() {
        let prober = Recorded::new(vec![Ok(if look == '+' { 200 } else { 500 })]);
        let verdict = checker.check(&subject, &prober).await?;
        assert_eq!(prober.seen.lock()[0].path, "/healthz");
        states.push(verdict.state);
        if subject.round == 2 {
            let wanted = "1 of 3 failures in a row; 10.0.0.1:443 is down: GET /healthz answered 500";
            assert_eq!(verdict.message, wanted);
            assert_eq!(verdict.next, Some(Duration::from_secs(1)));
        }
        subject = Subject { round: subject.round + 1, was: verdict.state, ..subject };
    }
    use State::{Degraded, Down, Unknown, Up};
    assert_eq!(states, [Unknown, Up, Degraded, Degraded, Up, Degraded, Degraded, Down, Down]);
    Ok(())
}

#[tokio::test]
async fn a_path_that_is_not_granted_is_never_asked_for() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "threshold", "{settings: {path: /api/v1/secrets, failures: 1}}")?;
        drop_guest(dir, Guest::HealthThreshold, "threshold")
    })
    .await?;
    let prober = Recorded::new(vec![Ok(200)]);
    let verdict = plugins.health_checker("threshold").check(&judged(&["10.0.0.1"]), &prober).await?;
    assert_eq!(verdict.state, State::Down);
    let line = "spec: {grants: {probe: [\"/api/v1/secrets\"]}}";
    assert!(verdict.message.contains(line), "{}", verdict.message);
    assert!(prober.seen.lock().is_empty(), "nothing was sent");
    Ok(())
}

#[tokio::test]
async fn discovery_hides_and_reorders_by_rule() -> Result<()> {
    let rules = "{discovery: {enabled: true, groups: ['*.test']}, \
                  settings: {hide: [secret.test], hideVersions: [{group: '*', versions: ['*alpha*']}], first: [z.test]}}";
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "filter", rules)?;
        drop_guest(dir, Guest::DiscoveryFilter, "filter")
    })
    .await?;
    let filter = plugins.host.transformers().remove(0);
    let group = |name: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}"}},"versions":[{{"version":"v1"}},{{"version":"v2alpha1"}}]}}"#
        )
    };
    let hidden = filter.transform(&group("secret.test")).await;
    assert_eq!(hidden, Ok(Outcome::Hide("the rule \"secret.test\" hides it".to_owned())));
    let replaced = filter.transform(&group("a.test")).await;
    let wanted = r#"{"metadata":{"name":"a.test"},"versions":[{"version":"v1"}]}"#;
    assert_eq!(replaced, Ok(Outcome::Replace(wanted.to_owned())));
    let calls = plugins.status("filter")?.calls;
    assert_eq!(filter.transform(&group("apps")).await, Ok(Outcome::Keep));
    assert_eq!(plugins.status("filter")?.calls, calls, "a group outside of the filter costs no call");
    let heads: Vec<GroupHead> = ["a.test", "z.test"]
        .iter()
        .map(|name| GroupHead { name: (*name).to_owned(), versions: vec![] })
        .collect();
    assert_eq!(filter.order(&heads).await, Ok(Some(vec!["z.test".to_owned(), "a.test".to_owned()])));
    Ok(())
}

#[tokio::test]
async fn settings_are_judged_by_the_schema_before_the_plugin_is_asked() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        let settings = "{freshSecondsMax: 0, stalSeconds: 5, lookupAddresses: 'yes'}";
        write_manifest(dir, "srv", &format!("{{settings: {settings}}}"))?;
        drop_guest(dir, Guest::ResolverSrv, "srv")
    })
    .await?;
    let status = plugins.wait_status("srv", "refused", |status| status.reason.is_some()).await?;
    assert_eq!(status.reason, Some(umbel::plugin::Reason::SettingsInvalid), "{status:?}");
    for told in [
        "spec.settings/freshSecondsMax: must be >=1, but got 0",
        "spec.settings/stalSeconds: unknown; did you mean \"staleSeconds\"?",
        "spec.settings/lookupAddresses: want boolean, but got string",
    ] {
        assert!(status.message.contains(told), "{told} in {status:?}");
    }
    Ok(())
}
