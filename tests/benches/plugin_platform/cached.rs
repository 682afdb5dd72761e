//! A hundred plugins: how soon they serve when their native code is cached, and what memory they take.

use super::Row;
use super::gateway::{drop_plugin, memory_mib, start, wait_active};
use anyhow::Result;
use std::time::{Duration, Instant};
use umbel_tests::{Guest, Umbel};

const PLUGINS: u16 = 100;

/// Compares a start without plugins and one with a hundred cached ones.
pub(super) async fn measure() -> Result<Vec<Row>> {
    let mut bare = start(|_| Ok(())).await?;
    let (_, bare_start) = restarted(&mut bare, 0).await?;
    let bare_memory = memory_mib(bare.process().id())?;
    drop(bare);

    let began = Instant::now();
    let mut full = start(|dir| {
        for number in 0..PLUGINS {
            drop_plugin(dir, Guest::ResolverExternalName, &format!("plugin-{number}"), "{}", number)?;
        }
        Ok(())
    })
    .await?;
    wait_active(&full.admin()?, PLUGINS.into()).await?;
    println!("{PLUGINS} plugins started for the first time and compiled in {:?}", began.elapsed());
    let (active, full_start) = restarted(&mut full, PLUGINS.into()).await?;
    let full_memory = memory_mib(full.process().id())?;
    Ok(vec![
        Row {
            what: format!(
                "start to {PLUGINS} plugins serving, from cache (without plugins ready after {bare_start:?})"
            ),
            measured: format!("{active:?}, ready after {full_start:?}"),
            goal: "≤ 1 s",
        },
        Row {
            what: format!("memory of {PLUGINS} plugins beyond a gateway without ({bare_memory:.0} MiB PSS)"),
            measured: format!("{:.0} MiB PSS", full_memory - bare_memory),
            goal: "≤ 150 MiB",
        },
    ])
}

/// Starts it again; how long it takes until the plugins serve, and until it is ready.
async fn restarted(umbel: &mut Umbel, plugins: usize) -> Result<(Duration, Duration)> {
    umbel.terminate(Duration::from_secs(20)).await?;
    let began = Instant::now();
    umbel.restart().await?;
    let ready = began.elapsed();
    wait_active(&umbel.admin()?, plugins).await?;
    Ok((began.elapsed(), ready))
}
