//! What callers of a healthy service notice while every plugin hangs.

use super::Row;
use super::gateway::{Bound, backend_names, drop_plugin, name_backend, register, start, things};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use umbel_tests::authority::Authority;
use umbel_tests::tls_backend::Backend;
use umbel_tests::{Client, Guest, Umbel, wait_for};

/// Services that are bound to plugins which never answer.
const SICK: usize = 16;
const REQUESTS: usize = 2_000;
const ROUNDS: usize = 3;

/// Measures in turn, so that what else the machine does hits both alike.
pub(super) async fn measure() -> Result<Vec<Row>> {
    let ca = Authority::new("things")?;
    let names = backend_names(SICK + 1);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let backend =
        Backend::start_with(&ca, ca.server(&names, false)?, &["h2", "http/1.1"], 200, things(SICK + 1))
            .await?;
    let calm = gateway(&ca, backend.port, false).await?;
    let beset = gateway(&ca, backend.port, true).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.extend(latencies(&calm.admin()?).await?);
        with.extend(latencies(&beset.admin()?).await?);
    }
    let shown = |all: &mut Vec<Duration>| format!("{:?} / {:?}", quantile(all, 50), quantile(all, 99));
    Ok(vec![Row {
        what: format!(
            "proxied p50 / p99 with every plugin hanging (without plugins {})",
            shown(&mut without)
        ),
        measured: shown(&mut with),
        goal: "unchanged",
    }])
}

async fn gateway(ca: &Authority, port: u16, beset: bool) -> Result<Umbel> {
    let umbel = start(|dir| {
        for number in 0..SICK as u16 {
            if beset {
                let spec = "{settings: {do: loop}, discovery: {enabled: true}}";
                drop_plugin(dir, Guest::Misbehaving, &format!("sick-{number}"), spec, number)?;
            }
        }
        Ok(())
    })
    .await?;
    let admin = umbel.admin()?;
    for number in 0..SICK {
        let plugin = format!("sick-{number}");
        let bound = Bound { resolver: Some(&plugin), health_checker: Some(&plugin) };
        let bound = if beset { bound } else { Bound::default() };
        name_backend(&admin, number, bound).await?;
        register(&admin, ca, (number, number), port, bound).await?;
    }
    name_backend(&admin, SICK, Bound::default()).await?;
    register(&admin, ca, (SICK, SICK), port, Bound::default()).await?;
    let path = path();
    wait_for("the healthy service", super::gateway::PATIENCE, || async {
        admin.get(&path).await?.expect(200).map(drop)
    })
    .await?;
    Ok(umbel)
}

fn path() -> String {
    format!("/apis/g{SICK}.example.com/v1/things")
}

/// How long each of many requests took, one after the other, a new connection each.
async fn latencies(client: &Client) -> Result<Vec<Duration>> {
    let path = path();
    let mut all = Vec::new();
    for _ in 0..REQUESTS {
        let began = Instant::now();
        let answer = client.get(&path).await?;
        ensure!(answer.status == 200, "{}", answer.text());
        all.push(began.elapsed());
    }
    Ok(all)
}

fn quantile(all: &mut [Duration], percent: usize) -> Duration {
    all.sort();
    all[(all.len() * percent / 100).min(all.len() - 1)]
}
