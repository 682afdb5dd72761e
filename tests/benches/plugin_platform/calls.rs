//! What a decision of a plugin costs whoever asks: the whole adapter, as the control plane calls it.
//!
//! The control plane asks from a task on the resolver's home runtime, and so does this. The adapter finds the plugin,
//! asks its breaker, takes a place, makes or finds the instance, calls it, judges the answer, keeps the call for
//! rehearsals and the answer for bad times, and counts all of it.

use super::Row;
use super::gateway::drop_plugin;
use super::host::{resolver, start, target, wait_generation};
use anyhow::{Context, Result, anyhow};
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel::decision::resolver::Resolver;
use umbel_tests::Guest;

const ROUNDS: usize = 40;
const CALLS: usize = 500;

/// Measures each way in many short rounds: the machine has other things to do, and the quietest round has the least of
/// them in it.
pub(super) async fn measure() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let rules = "grants: {addresses: [10.0.0.0/8]}, failurePolicy: Fail";
    let warm = format!("{{{rules}, reuse: {{maxCalls: 10000, maxIdle: 30s}}}}");
    drop_plugin(dir.path(), Guest::ResolverExternalName, "fresh", &format!("{{{rules}}}"), 0)?;
    drop_plugin(dir.path(), Guest::ResolverExternalName, "warm", &warm, 0)?;
    let code = tempfile::tempdir()?;
    let host = start(dir.path(), code.path())?;
    let mut rows = Vec::new();
    for (name, what, goal) in [
        ("fresh", "fresh store and resolver call through the whole adapter", "≤ 60 µs"),
        ("warm", "the same with a warm instance", "≤ 5 µs"),
    ] {
        wait_generation(&host, name, 1).await?;
        let resolver = resolver(&host, name);
        let home = resolver.home().context("it has no home")?;
        let there = home.spawn(rounds(Arc::clone(&resolver))).await??;
        rows.push(row(format!("Rust: {what}, p50"), there, goal));
        let away = tokio::spawn(rounds(resolver)).await??;
        rows.push(row(format!("{what}, from another runtime and back"), away, "-"));
    }
    Ok(rows)
}

fn row(what: String, (least, usual): (Duration, Duration), goal: &'static str) -> Row {
    let micros = |one: Duration| one.as_nanos() as f64 / 1e3;
    let measured = format!("{:.1} µs (median of {ROUNDS} rounds {:.1} µs)", micros(least), micros(usual));
    Row { what, measured, goal }
}

/// The least of the rounds' medians, and their median.
async fn rounds(resolver: Arc<dyn Resolver>) -> Result<(Duration, Duration)> {
    let target = target();
    let mut medians = Vec::new();
    for _ in 0..ROUNDS {
        let mut took = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let began = Instant::now();
            let answer = resolver.resolve(&target).await;
            took.push(began.elapsed());
            answer.map_err(|fault| anyhow!("{fault}"))?;
        }
        medians.push(median(&mut took));
    }
    let usual = median(&mut medians);
    Ok((*medians.first().context("no rounds")?, usual))
}

/// Sorts.
fn median(all: &mut [Duration]) -> Duration {
    all.sort();
    all[all.len() / 2]
}
