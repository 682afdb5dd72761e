//! A thousand services that plugins resolve and judge, while nobody asks for anything.

use super::Row;
use super::gateway::{
    Bound, backend_names, cpu_seconds, drop_plugin, name_backend, register, start, things, wait_active,
    wait_available,
};
use anyhow::Result;
use std::time::{Duration, Instant};
use umbel_tests::Guest;
use umbel_tests::authority::Authority;
use umbel_tests::tls_backend::Backend;

const SERVICES: usize = 1_000;
const LONG: Duration = Duration::from_secs(30);

/// Compares plugins with the built-in decisions: services that share ten API servers, and services that have one each.
pub(super) async fn measure() -> Result<Vec<Row>> {
    let plugins = Bound { resolver: Some("name"), health_checker: Some("probe") };
    let mut rows = Vec::new();
    for backends in [10, SERVICES] {
        let with = share(backends, plugins).await?;
        let without = share(backends, Bound::default()).await?;
        rows.push(Row {
            what: format!(
                "{SERVICES} services at {backends} API servers, resolved and judged by plugins, idle (by the built-ins {without:.2} %)"
            ),
            measured: format!("{with:.2} % of a core"),
            goal: "≤ 1 %",
        });
    }
    Ok(rows)
}

/// Per cent of a core.
async fn share(backends: usize, bound: Bound<'_>) -> Result<f64> {
    let ca = Authority::new("things")?;
    let names = backend_names(backends);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let alpn = ["h2", "http/1.1"];
    let backend = Backend::start_with(&ca, ca.server(&names, false)?, &alpn, 200, things(SERVICES)).await?;
    let mut umbel = start(|dir| {
        if bound.resolver.is_some() {
            drop_plugin(
                dir,
                Guest::ResolverExternalName,
                "name",
                "{grants: {addresses: [127.0.0.1/32]}}",
                0,
            )?;
            drop_plugin(dir, Guest::HealthDiscoveryProbe, "probe", "{}", 0)?;
        }
        Ok(())
    })
    .await?;
    let admin = umbel.admin()?;
    if bound.resolver.is_some() {
        wait_active(&admin, 2).await?;
    }
    for number in 0..backends {
        name_backend(&admin, number, bound).await?;
    }
    for number in 0..SERVICES {
        register(&admin, &ca, (number, number % backends), backend.port, bound).await?;
    }
    wait_available(&admin, SERVICES).await?;
    // What the registrations set in motion comes to rest first.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let pid = umbel.process().id();
    let (began, before, asked) = (Instant::now(), cpu_seconds(pid)?, backend.requests());
    tokio::time::sleep(LONG).await;
    let share = (cpu_seconds(pid)? - before) / began.elapsed().as_secs_f64() * 100.0;
    println!("{} requests reached the backend in {LONG:?}", backend.requests() - asked);
    Ok(share)
}
