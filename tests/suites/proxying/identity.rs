//! Who is let in, and what a backend learns about it.

use super::backend::{Backend, echo};
use super::pki::{Authority, Leaf};
use super::plane::{Answer, Client, Plane, authorised, empty, whole};
use anyhow::{Result, bail};
use http::{Method, Request};
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use std::sync::Arc;
use umbel::listen::{CertificateJudge, PeerCertificate};
use umbel::model::group_version::GroupVersion;
use umbel::route::Target;
use umbel_tests::Umbel;

const PATH: &str = "/apis/g.example/v1/things";

#[tokio::test(flavor = "multi_thread")]
async fn query_is_forwarded_byte_for_byte() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], echo()).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let target = "/apis/g.example/v1/things/a%2Fb//c/?z=1&a=%20+%26;x&&b&%zz=%41";
        for client in ["h2", "http/1.1"] {
            let answer = plane.ask(client, Request::get(target).body(empty())?).await?;
            assert_eq!(answer.lines()[0], format!("GET {target}"), "{client} to {alpn}");
        }
    }
    Ok(())
}

/// Upstream routes by the decoded path; what the backend receives is what the client sent.
#[tokio::test(flavor = "multi_thread")]
async fn escapes_in_group_and_version_lead_to_the_same_backend() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for target in [
        "/apis/g%2Eexample/v1/things/a%2Fb",
        "/apis/g.example/%76%31/things?a=%20",
        "/%61pis/g.exampl%65/v1",
        "/apis%2Fg.example%2fv1/things",
    ] {
        let answer = plane.get(target).await?;
        assert_eq!((answer.status, &answer.lines()[0]), (200, &format!("GET {target}")));
    }
    for target in
        ["/apis/g%252Eexample/v1/things", "/apis/g%2example/v1/things", "/apis/g%ffexample/v1/things"]
    {
        assert_eq!(plane.get(target).await?.status, 404, "{target}");
    }
    assert_eq!(plane.get("/m%65trics").await?.text(), "ann /m%65trics");
    let mut client = plane.client("http/1.1").await?;
    let open = Request::get("/health%7A").body(empty())?;
    assert_eq!(Answer::read(client.send(open).await?).await?.text(), "system:anonymous /health%7A");
    let mut client = plane.client("http/1.1").await?;
    let closed = Request::get("/healthz%2e%2e/metrics").body(empty())?;
    assert_eq!(Answer::read(client.send(closed).await?).await?.status, 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn inbound_remote_headers_are_stripped() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let backend = Backend::start(&ca, &[alpn], echo()).await?;
        let plane = Plane::before(backend.port, &ca)?;
        let request = Request::post(PATH)
            .header("x-remote-user", "root")
            .header("x-remote-group", "forged")
            .header("x-remote-uid", "0")
            .header("x-remote-extra-scopes", "forged")
            .header("x_remote_user", "root")
            .header("connection", "x-hop")
            .header("connection", "keep-alive, x-second-hop")
            .header("x-hop", "1")
            .header("x-second-hop", "1")
            .header("audit-id", "mine")
            .header("accept", "application/yaml")
            .header("x-forwarded-for", "203.0.113.9")
            .body(whole("hello"))?;
        let answer = plane.ask("http/1.1", request).await?;
        let mut lines = answer.lines();
        lines.retain(|line| !line.starts_with("host: "));
        assert_eq!(
            lines,
            [
                "POST /apis/g.example/v1/things",
                "accept: application/yaml",
                "audit-id: mine",
                "content-length: 5",
                "x-forwarded-for: 203.0.113.9, 127.0.0.1",
                "x-forwarded-host: umbel.example",
                "x-forwarded-proto: https",
                "x-forwarded-uri: /apis/g.example/v1/things",
                "x-remote-group: system:authenticated",
                "x-remote-group: system:masters",
                "x-remote-uid: 7",
                "x-remote-user: ann",
                "body: hello",
            ],
            "{alpn}"
        );
        assert_eq!(answer.headers.get_all("audit-id").iter().collect::<Vec<_>>(), ["mine"]);
        assert_eq!(answer.headers["cache-control"], "no-cache, private");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_and_tokens_tell_callers() -> Result<()> {
    let plane = Plane::start()?;
    let strangers = Authority::new("strangers")?;
    let ask = |leaf, token: Option<&'static str>, path: &'static str| {
        let plane = &plane;
        async move {
            let mut client = Client::new(plane.dial(leaf, "http/1.1").await?, "http/1.1").await?;
            let mut request = Request::get(path).body(empty())?;
            if let Some(token) = token {
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
            }
            Answer::read(client.send(request).await?).await
        }
    };
    let master = plane.client_ca.client("eve", &["system:masters"])?;
    assert_eq!(ask(Some(master), None, "/metrics").await?.text(), "eve /metrics");
    assert_eq!(ask(None, Some("admin-token"), "/metrics").await?.text(), "ann /metrics");
    assert_eq!(ask(None, None, "/readyz").await?.text(), "system:anonymous /readyz");
    // A credential that does not hold is an error even where none is needed, and the answer is readable.
    let forged = strangers.client("eve", &["system:masters"])?;
    let answer = ask(Some(forged), None, "/readyz").await?;
    assert_eq!(answer.status_object()?["reason"], "Unauthorized");
    let forged = strangers.client("eve", &["system:masters"])?;
    assert_eq!(ask(Some(forged), Some("admin-token"), "/metrics").await?.status, 200);
    for (token, status) in [(Some("wrong"), 401), (None, 401), (Some("jo-token"), 403)] {
        let answer = ask(None, token, PATH).await?;
        assert_eq!(answer.status, status);
        answer.status_object()?;
    }
    let plain = plane.client_ca.client("jo", &["staff"])?;
    let answer = ask(Some(plain), None, "/apis/g.example/v1/namespaces/n/things/x").await?;
    assert_eq!(
        answer.status_object()?["message"],
        r#"things.g.example "x" is forbidden: User "jo" cannot get resource "things" in API group "g.example" in the namespace "n""#
    );
    Ok(())
}

/// A client that presents an invalid credential is never treated as anonymous, not even on open paths.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_does_not_hold_is_refused_everywhere() -> Result<()> {
    let plane = Plane::start()?;
    for alpn in ["h2", "http/1.1"] {
        for path in ["/version", "/healthz", "/livez", "/readyz", "/readyz/ping", "/metrics", "/apis", PATH] {
            for credential in
                ["Bearer wrong", "Bearer admin-token2", "Bearer ", "Bearer", "Basic YTpi", "", "wrong"]
            {
                let request = Request::get(path).header("authorization", credential).body(empty())?;
                let answer = Answer::read(plane.client(alpn).await?.send(request).await?).await?;
                assert_eq!(answer.status, 401, "{credential:?} at {path} by {alpn}");
                assert_eq!(answer.status_object()?["reason"], "Unauthorized");
            }
        }
        let open = plane.client(alpn).await?.send(Request::get("/version").body(empty())?).await?;
        assert_eq!(Answer::read(open).await?.text().split(' ').next(), Some("system:anonymous"));
    }
    Ok(())
}

#[tokio::test]
async fn each_cause_of_a_rejected_client_certificate_is_logged_once() -> Result<()> {
    let umbel = Umbel::start().await?;
    let (strangers, others) = (Authority::new("strangers")?, Authority::new("others")?);
    let pki = umbel.data_dir().join("pki");
    for round in 0..3 {
        for (authority, user) in [(&strangers, "eve"), (&others, "mallory")] {
            let leaf = authority.client(&format!("{user}-{round}"), &["system:masters"])?;
            let client = umbel_tests::Client::with_leaf(umbel.address(), &pki, leaf)?;
            assert_eq!(client.get("/version").await?.status, 401);
        }
    }
    let serving = strangers.server(&["eve.example.com"], false)?;
    let client = umbel_tests::Client::with_leaf(umbel.address(), &pki, serving)?;
    assert_eq!(client.get("/version").await?.status, 401);
    let log = umbel.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("client certificate rejected")).collect();
    assert_eq!(lines.len(), 2, "one line for each cause: {lines:?}");
    for (line, cause) in
        lines.iter().zip(["it is not signed by a client CA of this gateway", "it may not be used by clients"])
    {
        assert!(line.contains("WARN") && line.contains(cause) && line.contains("127.0.0.1"), "{line}");
    }
    Ok(())
}

/// What `openssl x509 -req` makes without `-extfile`. No extension says that it may be used by clients.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_of_version_1_is_answered() -> Result<()> {
    let plane = Plane::start()?;
    let leaf = || plane.client_ca.to_version_1(plane.client_ca.client("eve", &["system:masters"])?);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (token, status) in [(None, 401), (Some("Bearer admin-token"), 200)] {
            let tls = plane.ca.call_by(&[version], Some(leaf()?), "http/1.1")?;
            let mut client = Client::new(plane.dial_by(tls).await?, "http/1.1").await?;
            let mut request = Request::get("/metrics").body(empty())?;
            if let Some(token) = token {
                request.headers_mut().insert("authorization", token.parse()?);
            }
            let answer = Answer::read(client.send(request).await?).await?;
            assert_eq!(answer.status, status, "{version:?} {token:?}");
        }
        // Whoever shows one has to hold its key.
        let stolen = Leaf { key: leaf()?.key, ..leaf()? };
        let tls = plane.ca.call_by(&[version], Some(stolen), "http/1.1")?;
        let used = async {
            let mut client = Client::new(plane.dial_by(tls).await?, "http/1.1").await?;
            client.send(authorised(Request::get("/metrics").body(empty())?)?).await
        };
        assert!(used.await.is_err(), "{version:?}");
    }
    Ok(())
}

/// Go accepts both. Backends see the same caller as with any other certificate.
#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_for_any_usage_or_with_critical_policies_count() -> Result<()> {
    let plane = Plane::start()?;
    let mut any_usage = rcgen::CertificateParams::default();
    any_usage.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::Any];
    let mut policies = rcgen::CertificateParams::default();
    let value = vec![0x30, 0x08, 0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00];
    let mut extension = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 32], value);
    extension.set_criticality(true);
    policies.custom_extensions = vec![extension];
    let mut for_servers = rcgen::CertificateParams::default();
    for_servers.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    for (mut params, status) in [(any_usage, 200), (policies, 200), (for_servers, 401)] {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "eve");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:masters");
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let tls = plane.ca.call_by(&[version], Some(plane.client_ca.sign(&params)?), "http/1.1")?;
            let mut client = Client::new(plane.dial_by(tls).await?, "http/1.1").await?;
            let answer = Answer::read(client.send(Request::get("/metrics").body(empty())?).await?).await?;
            assert_eq!(answer.status, status, "{version:?} {}", answer.text());
        }
    }
    Ok(())
}

#[test]
fn what_a_certificate_of_version_1_lacks_is_told() -> Result<()> {
    let ca = Authority::new("clients")?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der.clone())?;
    let judge = CertificateJudge::new(Some(WebPkiClientVerifier::builder(Arc::new(roots)).build()?));
    let leaf = ca.to_version_1(ca.client("eve", &[])?)?;
    let judged = judge.judge(Some(&leaf.chain), UnixTime::now());
    let PeerCertificate::Refused(cause) = &judged else { bail!("{judged:?}") };
    assert!(cause.contains("of version 1") && cause.contains("extendedKeyUsage=clientAuth"), "{cause}");
    Ok(())
}

/// Dropped from the headers, the name would leave the backend with a request of nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_header_can_carry_is_no_caller() -> Result<()> {
    let plane = Plane::start()?;
    plane.publish(Target::Local);
    for (user, group, status) in
        [("ann", "system:masters", 200), ("an\nn", "system:masters", 401), ("ann", "a\u{7}", 401)]
    {
        let leaf = plane.client_ca.client(user, &[group])?;
        let mut client = Client::new(plane.dial(Some(leaf), "http/1.1").await?, "http/1.1").await?;
        let answer = client.send(Request::get(PATH).body(empty())?).await?;
        assert_eq!(Answer::read(answer).await?.status, status, "{user:?} {group:?}");
    }
    Ok(())
}

/// Forwarded like everything else where somebody registers it.
#[tokio::test(flavor = "multi_thread")]
async fn the_core_group_belongs_to_whoever_registers_it() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    plane.move_route(GroupVersion::new("", "v1"));
    for path in ["/api", "/api/v1", "/api/v1/namespaces/default/pods"] {
        assert_eq!(plane.get(path).await?.status, 200, "{path}");
    }
    assert_eq!(backend.requests(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_are_a_status() -> Result<()> {
    let plane = Plane::start()?;
    plane.publish(Target::Local);
    for path in
        ["/nothing/here", "/apis/other.example/v1/things", "/apis/g.example/v2", "/api", "/api/v1/pods"]
    {
        let answer = plane.get(path).await?;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.status_object()?["message"], "the server could not find the requested resource");
    }
    let answer = plane.get("/apis").await?;
    assert_eq!((answer.status, answer.headers["retry-after"].to_str()?), (503, "1"));
    let mut client = plane.client("h2").await?;
    let request = authorised(Request::builder().method(Method::OPTIONS).uri("/nothing").body(empty())?)?;
    assert_eq!(Answer::read(client.send(request).await?).await?.status, 404);
    Ok(())
}

/// `kubectl --as` asks for lesser rights: acting with the full ones instead would be worse than refusing.
#[tokio::test(flavor = "multi_thread")]
async fn impersonation_is_refused_not_ignored() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let plane = Plane::before(backend.port, &ca)?;
    for (name, value) in [("impersonate-user", "jo"), ("impersonate-group", "staff")] {
        let request = Request::delete(PATH).header(name, value).body(empty())?;
        let answer = plane.ask("http/1.1", request).await?;
        assert_eq!((answer.status, &answer.status_object()?["reason"]), (403, &"Forbidden".into()));
    }
    assert_eq!(backend.requests(), 0);
    Ok(())
}
