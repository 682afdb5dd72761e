//! A plugin that is replaced again and again while it is asked: no call fails, and nothing of the old ones stays.

use super::{PATIENCE, Plugins, target, write_manifest};
use anyhow::{Context, Result, anyhow, ensure};
use parking_lot::Mutex;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use umbel::decision::resolver::Resolver;
use umbel::plugin::Compiler;
use umbel_tests::{Guest, wait_for};

const PLUGIN: &str = "name";
const SWAPS: u64 = 36;
/// So many components take turns, so that most of them come out of the cache.
const VARIANTS: u64 = 3;
/// Calls that are made of each generation at least.
const CALLS: usize = 5;
/// Nothing stands in for the plugin, so that every failure is seen.
const SPEC: &str = "{grants: {addresses: [10.0.0.0/8]}, limits: {wall: 30s}, failurePolicy: Fail}";

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    calls: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

async fn call(resolver: Arc<dyn Resolver>, seen: Arc<Seen>) {
    let asked = target(Some("10.0.0.1"));
    while !seen.stop.load(Ordering::SeqCst) {
        if let Err(fault) = resolver.resolve(&asked).await {
            seen.failures.lock().push(fault.to_string());
        }
        seen.calls.fetch_add(1, Ordering::SeqCst);
        // Leaves the machine some time for others.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Puts one of the variants into the directory: the same code with another note at its end.
fn drop_variant(dir: &Path, variant: u64) -> Result<()> {
    let component = Guest::ResolverExternalName.component().map_err(|missing| anyhow!("{missing}"))?;
    let note = [0, 3, 1, b'n', u8::try_from(variant)?];
    let hidden = dir.join(format!(".{PLUGIN}.wasm"));
    fs::write(&hidden, [fs::read(component)?.as_slice(), &note].concat())?;
    fs::rename(hidden, dir.join(format!("{PLUGIN}.wasm")))?;
    Ok(())
}

/// How many pieces of native code from the cache are in this process: a generation has one, unless it was compiled by
/// this very process.
fn mapped(code: &Path) -> Result<usize> {
    let (maps, code) = (fs::read_to_string("/proc/self/maps")?, code.to_string_lossy());
    Ok(maps.lines().filter(|line| line.contains(" r-x") && line.contains(&*code)).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reload_under_load_drops_nothing() -> Result<()> {
    let code = tempfile::tempdir()?;
    let code_dir = code.path().join("code");
    let plugins = Plugins::start_compiled(Vec::new(), Compiler::InProcess, Some(&code_dir), |dir| {
        write_manifest(dir, PLUGIN, SPEC)?;
        drop_variant(dir, 0)
    })?;
    plugins.wait_generation(PLUGIN, 1).await?;

    let (seen, mut callers) = (Arc::<Seen>::default(), JoinSet::new());
    let resolver = plugins.resolver(PLUGIN);
    // As the control plane asks, and as anybody else would.
    let home = resolver.home().context("a plugin has a home")?;
    callers.spawn_on(call(Arc::clone(&resolver), Arc::clone(&seen)), &home);
    callers.spawn(call(resolver, Arc::clone(&seen)));
    for swap in 1..=SWAPS {
        let before = seen.calls.load(Ordering::SeqCst);
        drop_variant(plugins.dir.path(), swap % VARIANTS)?;
        plugins.wait_generation(PLUGIN, swap + 1).await?;
        wait_for("calls of the new generation", PATIENCE, || async {
            let made = seen.calls.load(Ordering::SeqCst) - before;
            ensure!(made >= CALLS, "{made}");
            Ok(())
        })
        .await?;
    }
    wait_for("old generations to be gone", PATIENCE, || async {
        let now = mapped(&code_dir)?;
        // The one that serves came out of the cache; the one before stands by until the probation is over.
        ensure!((1..=2).contains(&now), "{now} pieces of native code");
        Ok(())
    })
    .await?;
    seen.stop.store(true, Ordering::SeqCst);
    callers.join_all().await;
    let (calls, failures) = (seen.calls.load(Ordering::SeqCst), std::mem::take(&mut *seen.failures.lock()));
    assert_eq!(failures, [""; 0], "of {calls} calls");
    assert_eq!(plugins.status(PLUGIN)?.faults, 0);
    Ok(())
}
