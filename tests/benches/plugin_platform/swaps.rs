//! A plugin that is replaced again and again while it is asked.

use super::Row;
use super::gateway::{drop_plugin, memory_mib};
use super::host::{resolver, start, target, wait_generation};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use umbel::plugin::Host;
use umbel_tests::Guest;

const SWAPS: u16 = 1_000;
const CALLS_PER_SECOND: u32 = 500;
const SPEC: &str = "{grants: {addresses: [10.0.0.0/8]}, failurePolicy: Fail}";

/// Counts calls that failed, and compares memory after the first swaps with memory after the last.
pub(super) async fn measure() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    drop_plugin(dir.path(), Guest::ResolverExternalName, "name", SPEC, 0)?;
    let code = tempfile::tempdir()?;
    let host = start(dir.path(), code.path())?;
    wait_generation(&host, "name", 1).await?;
    let (stop, calls, failed) =
        (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let caller =
        tokio::spawn(call(Arc::clone(&host), Arc::clone(&stop), Arc::clone(&calls), Arc::clone(&failed)));
    let mut base = 0.0;
    for swap in 1..=SWAPS {
        drop_plugin(dir.path(), Guest::ResolverExternalName, "name", SPEC, swap)?;
        wait_generation(&host, "name", u64::from(swap) + 1).await?;
        if swap == SWAPS / 10 {
            base = memory_mib(std::process::id())?;
        }
    }
    stop.store(true, Ordering::SeqCst);
    caller.await??;
    let last = memory_mib(std::process::id())?;
    let (calls, failed) = (calls.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
    Ok(vec![Row {
        what: format!(
            "{SWAPS} swaps under {CALLS_PER_SECOND} calls/s ({calls} calls): failed; memory after a tenth, and at the end"
        ),
        measured: format!("{failed}; {base:.0} MiB, {last:.0} MiB"),
        goal: "0; back to base line",
    }])
}

async fn call(
    host: Arc<Host>,
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
) -> Result<()> {
    let resolver = resolver(&host, "name");
    let target = target();
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
