//! A plugin that is replaced again and again while it is asked.

use super::Row;
use super::gateway::{PATIENCE, drop_plugin};
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use umbel::decision::binding::{BindingSubject, Decisions};
use umbel::decision::builtin::{DiscoveryProbe, ExternalNameResolver};
use umbel::decision::resolver::Target;
use umbel::plugin::{Builtins, CompileChild, Compiler, Host, PluginConfig, State, Trust};
use umbel_tests::{Guest, umbel_program, wait_for};

const SWAPS: u16 = 1_000;
const CALLS_PER_SECOND: u32 = 500;
const SPEC: &str = "{grants: {addresses: [10.0.0.0/8]}, failurePolicy: Fail}";

/// Counts calls that failed, and compares memory after the first swaps with memory after the last.
pub(super) async fn measure() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    drop_plugin(dir.path(), Guest::ResolverExternalName, "name", SPEC, 0)?;
    let code = tempfile::tempdir()?;
    let child = CompileChild { program: umbel_program()?, ..CompileChild::of_this_program() };
    let config = PluginConfig {
        dir: dir.path().to_owned(),
        dns_servers: Vec::new(),
        listeners: Vec::new(),
        trust: Trust::default(),
        compiler: Compiler::Child(child),
        code_dir: Some(code.path().join("code")),
    };
    let builtins =
        Builtins { resolver: Arc::new(ExternalNameResolver), health_checker: Arc::new(DiscoveryProbe) };
    let host = Host::start(config, builtins)?;
    wait_generation(&host, 1).await?;
    let (stop, calls, failed) =
        (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let caller =
        tokio::spawn(call(Arc::clone(&host), Arc::clone(&stop), Arc::clone(&calls), Arc::clone(&failed)));
    let mut base = 0.0;
    for swap in 1..=SWAPS {
        drop_plugin(dir.path(), Guest::ResolverExternalName, "name", SPEC, swap)?;
        wait_generation(&host, u64::from(swap) + 1).await?;
        if swap == SWAPS / 10 {
            base = super::gateway::memory_mib(std::process::id())?;
        }
    }
    stop.store(true, Ordering::SeqCst);
    caller.await??;
    let last = super::gateway::memory_mib(std::process::id())?;
    let (calls, failed) = (calls.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
    Ok(vec![Row {
        what: format!(
            "{SWAPS} swaps under {CALLS_PER_SECOND} calls/s ({calls} calls): failed; memory after a tenth, and at the end"
        ),
        measured: format!("{failed}; {base:.0} MiB, {last:.0} MiB"),
        goal: "0; back to base line",
    }])
}

async fn wait_generation(host: &Host, generation: u64) -> Result<()> {
    wait_for(&format!("generation {generation}"), PATIENCE, || async {
        let all = host.status();
        let status = all.iter().find(|status| status.name == "name").context("it is not there")?;
        let serves = matches!(status.state, State::Active | State::Probation);
        ensure!(status.generation == generation && serves, "{status:?}");
        Ok(())
    })
    .await
}

async fn call(
    host: Arc<Host>,
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
) -> Result<()> {
    let subject = BindingSubject { plugin: Some("name".to_owned()), ..BindingSubject::default() };
    let resolver = host.resolver(&subject);
    let target = Target {
        namespace: "prod".to_owned(),
        name: "shop".to_owned(),
        port: 8443,
        external_name: Some("10.0.0.1".to_owned()),
        annotations: Vec::new(),
    };
    let mut beat = tokio::time::interval(Duration::from_secs(1) / CALLS_PER_SECOND);
    while !stop.load(Ordering::SeqCst) {
        beat.tick().await;
        calls.fetch_add(1, Ordering::SeqCst);
        if resolver.resolve(&target).await.is_err() {
            failed.fetch_add(1, Ordering::SeqCst);
        }
    }
    Ok(())
}
