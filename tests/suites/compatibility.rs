//! Behavior of backends that Go accepts, beyond HTTP itself, and behavior that Umbel rejects, with the reason.
//! `host/docs/compatibility.md` lists both.

use crate::control_kit::{Control, encode, legacy};
use crate::proxying::backend::{Backend, NAME};
use crate::proxying::pki::{Authority, Leaf};
use anyhow::{Result, ensure};
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose};
use serde_json::json;
use std::time::{Duration, Instant};
use umbel_tests::{PythonBackend, Umbel, need, wait_for};

const VERBS: &[&str] = &["get", "list"];
const BOUND: Duration = Duration::from_secs(60);

fn params() -> Result<CertificateParams> {
    Ok(CertificateParams::new([NAME.to_owned()])?)
}

/// `certificatePolicies` with `anyPolicy`, critical.
fn critical_policies() -> CustomExtension {
    let value = vec![0x30, 0x08, 0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00];
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 32], value);
    extension.set_criticality(true);
    extension
}

/// The leaf with invalid dates.
fn with_bad_dates(leaf: Leaf) -> Leaf {
    let mut der = leaf.chain[0].to_vec();
    let tags: Vec<usize> =
        (0..der.len() - 2).filter(|at| [0x17, 0x18].contains(&der[*at]) && der[at + 1] < 16).collect();
    for at in tags.into_iter().take(2) {
        der[at + 2..at + 6].copy_from_slice(b"abcd");
    }
    Leaf { chain: vec![der.into()], key: leaf.key }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_go_accepts_are_accepted() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let ca = &control.ca;
    let mut any_usage = params()?;
    any_usage.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    let mut policies = params()?;
    policies.custom_extensions = vec![critical_policies()];
    let own = || ca.server(&[NAME], false);
    let skip = json!({ "insecureSkipTLSVerify": true });
    let bundle = json!({ "caBundle": encode(&ca.pem) });
    let cases = [
        ("anyusage.example.com", ca.sign(&any_usage)?, &bundle),
        ("policies.example.com", ca.sign(&policies)?, &bundle),
        ("skipped.example.com", own()?, &skip),
        ("version1.example.com", ca.to_version_1(own()?)?, &skip),
        ("dates.example.com", with_bad_dates(own()?), &skip),
        ("skippedpolicies.example.com", ca.sign(&policies)?, &skip),
    ];
    let mut backends = Vec::new();
    for (group, leaf, trust) in cases {
        for (protocol, alpn) in [("h2", &["h2"]), ("h1", &["http/1.1"])] {
            let group = format!("{protocol}.{group}");
            let leaf = Leaf { chain: leaf.chain.clone(), key: leaf.key.clone_key() };
            let backend = Backend::start_with(ca, leaf, alpn, 10, legacy(VERBS)).await?;
            control.register_with(&group, backend.port, trust.clone()).await?;
            backends.push((group, backend));
        }
    }
    for (group, _) in &backends {
        control.condition(group, "True").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_verified_is_verified_all_the_same() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let stranger = Authority::new("stranger")?;
    let mut policies = params()?;
    policies.custom_extensions = vec![critical_policies()];
    let mut expired = policies.clone();
    expired.not_before = rcgen::date_time_ymd(2001, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let mut other_name = CertificateParams::new(["other.default.svc".to_owned()])?;
    other_name.custom_extensions = vec![critical_policies()];
    let mut client_only = params()?;
    client_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = control.ca.server(&[NAME], false)?;
    let stolen = Leaf { chain: own.chain, key: control.ca.server(&[NAME], false)?.key };
    let version_1 = control.ca.to_version_1(control.ca.server(&[NAME], false)?)?;
    let (bundle, skip) =
        (json!({ "caBundle": encode(&control.ca.pem) }), json!({ "insecureSkipTLSVerify": true }));
    let cases = [
        ("stranger.example.com", stranger.sign(&policies)?, &bundle, "signed by unknown authority"),
        ("expired.example.com", control.ca.sign(&expired)?, &bundle, "certificate has expired"),
        ("name.example.com", control.ca.sign(&other_name)?, &bundle, "not backend.default.svc"),
        ("usage.example.com", control.ca.sign(&client_only)?, &bundle, "incompatible key usage"),
        ("version1.example.com", version_1, &bundle, "unsupported certificate version"),
        // The key is verified even if nothing else is.
        ("stolen.example.com", stolen, &skip, "a signature does not fit"),
    ];
    let mut backends = Vec::new();
    for (group, leaf, trust, cause) in cases {
        let backend = Backend::start_with(&control.ca, leaf, &["h2"], 10, legacy(VERBS)).await?;
        control.register_with(group, backend.port, trust.clone()).await?;
        backends.push((group, cause, backend));
    }
    for (group, cause, _) in &backends {
        let (condition, _) = control.condition(group, "False").await?;
        let message = condition["message"].as_str().unwrap_or_default();
        ensure!(message.contains(cause), "{group}: {message}");
    }
    Ok(())
}

/// A real OpenSSL, limited to parameters that rustls lacks: the condition says how to change that.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_with_nothing_in_common_is_told_what_to_allow() -> Result<()> {
    if need(PythonBackend::available())?.is_none() {
        return Ok(());
    }
    let control = Control::start().await?;
    control.name_backend().await?;
    let good = json!({ "tls": "1.2" });
    let curve = json!({ "curve": "secp521r1" });
    let curve_12 = json!({ "curve": "secp521r1", "tls": "1.2" });
    let ciphers = json!({ "ciphers": "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA", "tls": "1.2" });
    let skip = json!({ "insecureSkipTLSVerify": true });
    let bundle = json!({ "caBundle": encode(&control.ca.pem) });
    let own = || control.ca.server(&[NAME], false);
    let version_1 = control.ca.to_version_1(own()?)?;
    let cases = [
        ("good.example.com", own()?, good.clone(), &bundle, true),
        ("version1.example.com", version_1, good, &skip, true),
        ("curve.example.com", own()?, curve, &bundle, false),
        ("curve12.example.com", own()?, curve_12, &skip, false),
        ("ciphers.example.com", own()?, ciphers, &bundle, false),
    ];
    let mut backends = Vec::new();
    for (group, leaf, settings, trust, is_good) in cases {
        let backend = PythonBackend::start(&leaf, &settings).await?;
        control.register_with(group, backend.port, trust.clone()).await?;
        backends.push((group, is_good, backend));
    }
    for (group, is_good, _) in &backends {
        if *is_good {
            control.condition(group, "True").await?;
            continue;
        }
        let (condition, _) = control.condition(group, "False").await?;
        let message = condition["message"].as_str().unwrap_or_default();
        let words = ["handshake failure", "cipher suite", "ECDHE", "P-384", "allow one of these"];
        ensure!(words.iter().all(|word| message.contains(word)), "{group}: {message}");
    }
    Ok(())
}

async fn register(umbel: &Umbel, ca: &Authority, group: &str, port: u16) -> Result<()> {
    let admin = umbel.admin()?;
    let name = json!({"apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
        "metadata": {"name": "backend", "namespace": "default"}, "spec": {"host": "127.0.0.1"}});
    let names = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
    let created = admin.post(names, &name).await?;
    ensure!([201, 409].contains(&created.status), "{}", created.text());
    let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "caBundle": encode(&ca.pem),
            "service": {"namespace": "default", "name": "backend", "port": port}}});
    admin.post("/apis/apiregistration.k8s.io/v1/apiservices", &object).await?.expect(201)?;
    Ok(())
}

async fn available(umbel: &Umbel, group: &str, status: &str) -> Result<Duration> {
    let (admin, began) = (umbel.admin()?, Instant::now());
    let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/v1.{group}");
    wait_for(&format!("{group} to be {status}"), BOUND, || async {
        let found = admin.get(&path).await?.expect(200)?["status"]["conditions"][0].clone();
        ensure!(found["status"] == status, "{found}");
        Ok(())
    })
    .await?;
    Ok(began.elapsed())
}

/// Python's `http.server` speaks HTTP/1.0, gives no lengths and sends no `close_notify`.
#[tokio::test(flavor = "multi_thread")]
async fn python_backends_are_available_and_their_bodies_complete() -> Result<()> {
    if need(PythonBackend::available())?.is_none() {
        return Ok(());
    }
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let ca = Authority::new("python")?;
    for (group, settings) in [
        ("old.example.com", json!({})),
        ("old12.example.com", json!({ "tls": "1.2" })),
        ("new.example.com", json!({ "protocol": "HTTP/1.1" })),
    ] {
        let backend = PythonBackend::start(&ca.server(&[NAME], false)?, &settings).await?;
        register(&umbel, &ca, group, backend.port).await?;
        available(&umbel, group, "True").await?;
        for _ in 0..3 {
            let answer = admin.get(&format!("/apis/{group}/v1/large")).await?;
            ensure!((answer.status, answer.body.len()) == (200, 300_000), "{group}: {}", answer.body.len());
            admin.get(&format!("/apis/{group}/v1")).await?.expect(200)?;
        }
    }
    Ok(())
}

/// `kill -STOP`: reads fail, the APIService becomes unavailable, watches end; requests to a slow backend continue.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_given_up_and_comes_back() -> Result<()> {
    if need(PythonBackend::available())?.is_none() {
        return Ok(());
    }
    let umbel = Umbel::start().await?;
    let (admin, ca) = (umbel.admin()?, Authority::new("python")?);
    let settings = json!({ "protocol": "HTTP/1.1" });
    let backend = PythonBackend::start(&ca.server(&[NAME], false)?, &settings).await?;
    register(&umbel, &ca, "stop.example.com", backend.port).await?;
    available(&umbel, "stop.example.com", "True").await?;
    let slow = admin.get("/apis/stop.example.com/v1/slow").await?;
    ensure!((slow.status, slow.text().as_str()) == (200, "late"), "{}: {}", slow.status, slow.text());
    ensure!(
        available(&umbel, "stop.example.com", "True").await? < Duration::from_secs(2),
        "slow is not dead"
    );

    let mut watch = admin.watch("/apis/stop.example.com/v1/things?watch=true").await?;
    ensure!(watch.next(BOUND).await?.is_some(), "an event");
    backend.signal("STOP")?;
    let began = Instant::now();
    let read = async {
        let answer = admin.get("/apis/stop.example.com/v1/large").await?;
        anyhow::Ok((answer.status, began.elapsed()))
    };
    let watched = async {
        let ended = watch.next(BOUND).await;
        ensure!(!matches!(ended, Ok(Some(_))), "an event from nowhere");
        anyhow::Ok(began.elapsed())
    };
    let (read, watched, unavailable) =
        tokio::join!(read, watched, available(&umbel, "stop.example.com", "False"));
    let ((status, read), watched, unavailable) = (read?, watched?, unavailable?);
    println!("read {status} after {read:?}, watch ended after {watched:?}, False after {unavailable:?}");
    // 10, 12 and 15 s, and room for a busy machine.
    ensure!(status == 503 && read.as_secs() < 14, "read: {status} after {read:?}");
    ensure!(unavailable.as_secs() < 16, "False after {unavailable:?}");
    ensure!(watched.as_secs() < 20, "the watch ended after {watched:?}");
    backend.signal("CONT")?;
    available(&umbel, "stop.example.com", "True").await?;
    Ok(())
}
