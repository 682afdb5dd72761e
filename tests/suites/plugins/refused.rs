//! Components that are never taken into service, each with its reason.

use super::{PATIENCE, Plugins, drop_guest, target, write_manifest};
use anyhow::{Result, anyhow};
use std::fs;
use std::path::Path;
use umbel::plugin::{Reason, State};
use umbel_tests::{Guest, wait_for};

const LIFECYCLE: &str = r#"(export "umbel:lifecycle/lifecycle@0.1.0" (instance $none))"#;

/// A component that exports empty instances under the right names.
fn hollow(head: &str, exports: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {head} (instance $none) {exports})")).unwrap()
}

fn resolver_part(version: &str) -> String {
    format!(r#"{LIFECYCLE} (export "umbel:resolver/resolver@{version}" (instance $none))"#)
}

/// One file in the directory, the reason that it gets and what the message must say.
type Case = (&'static str, Vec<u8>, Reason, &'static str);

fn cases() -> Vec<Case> {
    let guest = || fs::read(Guest::Misbehaving.component().unwrap()).unwrap();
    let half = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    let core = wat::parse_str("(module (func (export \"run\")))").unwrap();
    let wasi = hollow(r#"(import "wasi:filesystem/types@0.2.12" (instance))"#, &resolver_part("0.1.0"));
    let foreign = hollow(r#"(import "acme:db/sql@1.0.0" (instance))"#, &resolver_part("0.1.0"));
    let future = hollow(r#"(import "umbel:host/disk@0.1.7" (instance))"#, &resolver_part("0.1.0"));
    let purity = hollow(
        r#"(import "umbel:host/clock@0.1.0" (instance))"#,
        &format!(r#"{LIFECYCLE} (export "umbel:discovery/transformer@0.1.0" (instance $none))"#),
    );
    let lonely = hollow("", r#"(export "umbel:resolver/resolver@0.1.0" (instance $none))"#);
    vec![
        ("garbage", b"not wasm at all".to_vec(), Reason::NotAComponent, "does not begin with"),
        ("empty", Vec::new(), Reason::NotAComponent, "empty"),
        ("core-module", core, Reason::NotAComponent, "umbel plugin build"),
        ("truncated", half(guest()), Reason::InvalidWasm, "damaged"),
        ("exports-nothing", hollow("", ""), Reason::NoKnownInterface, "worlds in wit/"),
        ("no-lifecycle", lonely, Reason::NoKnownInterface, "umbel:lifecycle/lifecycle"),
        ("from-the-future", hollow("", &resolver_part("0.2.0")), Reason::InterfaceTooNew, "0.1.x"),
        ("wants-wasi", wasi, Reason::ImportNotOffered, "wasm32-unknown-unknown"),
        ("wants-a-database", foreign, Reason::ImportNotOffered, "nothing else"),
        ("wants-a-disk", future, Reason::InterfaceTooNew, "log, clock, dns, http, probe, state, metrics"),
        ("impure", purity, Reason::ImportNotOffered, "same answer"),
        ("hollow", hollow("", &resolver_part("0.1.0")), Reason::TypeMismatch, "wit/ folder"),
        ("Bad_Name", guest(), Reason::InvalidName, "lower-case"),
    ]
}

#[tokio::test]
async fn every_broken_file_has_its_reason_and_leaves_the_others() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        for (name, bytes, ..) in cases() {
            fs::write(dir.join(format!("{name}.wasm")), bytes)?;
        }
        drop_guest(dir, Guest::ResolverExternalName, "good")
    })
    .await?;
    for (name, _, reason, says) in cases() {
        let status = plugins.wait_status(name, "refused", |status| status.reason.is_some()).await?;
        assert_eq!((status.reason, status.state), (Some(reason), State::Rejected), "{status:?}");
        assert!(status.message.contains(says), "{status:?}");
        let found = plugins.resolver(name).resolve(&target(Some("shop.test"))).await?;
        assert_eq!(found.endpoints[0].host, "shop.test", "the built-in serves for {name}");
        let hostless = plugins.resolver(name).resolve(&target(None)).await.unwrap_err().to_string();
        assert!(hostless.contains(&reason.to_string()), "{hostless}");
    }
    assert_eq!(plugins.wait_generation("good", 1).await?.state, State::Active);
    Ok(())
}

#[tokio::test]
async fn every_broken_manifest_has_its_reason() -> Result<()> {
    for (spec, reason, says) in [
        ("{settings: {validate: trap}}", Reason::DescribeFailed, "trapped"),
        ("{limits: {wall: 30s}, settings: {validate: loop}}", Reason::DescribeFailed, "CPU budget"),
        (
            "{limits: {wall: 30s, cpu: 5s}, settings: {validate: eat-memory}}",
            Reason::DescribeFailed,
            "memory",
        ),
        (
            "{settings: {validate: refuse}}",
            Reason::SettingsInvalid,
            "spec.settings/validate: as told\\nand more",
        ),
        ("{grant: {}}", Reason::ManifestInvalid, "unknown field `grant`"),
        ("{limits: {wall: 1h}}", Reason::ManifestInvalid, "no duration"),
        ("{grants: {addresses: [nowhere]}}", Reason::ManifestInvalid, "line 3"),
    ] {
        let plugins = Plugins::start_loaded(vec![], |dir| {
            write_manifest(dir, "bad", spec)?;
            drop_guest(dir, Guest::Misbehaving, "bad")
        })
        .await?;
        let status = plugins.wait_status("bad", "refused", |status| status.reason.is_some()).await?;
        assert_eq!(status.reason, Some(reason), "{status:?}");
        assert!(status.message.contains(says), "{status:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pinned_digest_must_fit() -> Result<()> {
    let pin =
        |dir: &Path, digest: &str| write_manifest(dir, "pinned", &format!("{{digest: 'sha256:{digest}'}}"));
    let plugins = Plugins::start_loaded(vec![], |dir| {
        pin(dir, &"0".repeat(64))?;
        drop_guest(dir, Guest::ResolverExternalName, "pinned")
    })
    .await?;
    let refused = plugins.wait_status("pinned", "refused", |status| status.reason.is_some()).await?;
    assert_eq!(refused.reason, Some(Reason::DigestMismatch));
    let found = refused.message.split("sha256:").nth(1).and_then(|rest| rest.get(..64));
    pin(plugins.dir.path(), found.ok_or_else(|| anyhow!("{refused:?}"))?)?;
    plugins.wait_generation("pinned", 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_name_that_leads_nowhere_says_what_is_there() -> Result<()> {
    let plugins =
        Plugins::start_loaded(vec![], |dir| drop_guest(dir, Guest::ResolverExternalName, "good")).await?;
    let fault = wait_for("the good plugin to be listed", PATIENCE, || async {
        let fault = plugins.resolver("god").resolve(&target(None)).await.unwrap_err().to_string();
        if fault.contains("(present: good)") { Ok(fault) } else { Err(anyhow!(fault)) }
    })
    .await?;
    assert!(fault.starts_with("no plugin is named \"god\": put god.wasm into "), "{fault}");
    Ok(())
}
