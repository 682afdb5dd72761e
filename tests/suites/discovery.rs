//! What merged discovery shows while backends come, hang and go.

use crate::control_kit::{ALPN, Control, aggregated, legacy, legacy_backend};
use crate::proxying::backend::{Backend, handler};
use anyhow::Result;
use umbel_tests::{ReservedPort, wait_for};

const VERBS: &[&str] = &["delete", "get", "list"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_api_service_is_fresh_at_once_and_gone_at_once() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let backend = legacy_backend(&control.ca, VERBS).await?;
    control.register("first.example.com", backend.port).await?;
    control.discovery("first.example.com", "Current", 1).await?;
    control.register("second.example.com", backend.port).await?;
    let took = control.discovery("second.example.com", "Current", 1).await?;
    println!("create to fresh: {took:?}");
    control.unregister("second.example.com").await?;
    wait_for("the group to go", crate::control_kit::BOUND, || async {
        anyhow::ensure!(control.discovered("second.example.com")?.is_none(), "still there");
        anyhow::ensure!(control.shared.load().route("second.example.com", "v1").is_none(), "still routed");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shared_document_tells_for_all_group_versions() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let backend =
        Backend::start(&control.ca, &ALPN, aggregated(&["a.example.com", "stolen.example.com"])).await?;
    control.register("a.example.com", backend.port).await?;
    control.condition("a.example.com", "True").await?;
    control.discovery("a.example.com", "Current", 1).await?;
    assert!(control.discovered("stolen.example.com")?.is_none(), "nobody registered it");
    assert_eq!(backend.requests(), 1, "one request told whether it is available and what it serves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_backend_keeps_its_last_resources() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let place = ReservedPort::new()?;
    let deletable = Backend::start_at(&place, &control.ca, &ALPN, legacy(VERBS)).await?;
    let read_only = legacy_backend(&control.ca, &["get", "list"]).await?;
    control.register("deletable.example.com", deletable.port).await?;
    control.register("metrics.example.com", read_only.port).await?;
    control.discovery("deletable.example.com", "Current", 1).await?;
    control.discovery("metrics.example.com", "Current", 1).await?;
    drop((deletable, read_only));
    control.discovery("deletable.example.com", "Stale", 1).await?;
    control.condition("metrics.example.com", "False").await?;
    control.discovery("metrics.example.com", "Current", 1).await?;
    let _again = Backend::start_at(&place, &control.ca, &ALPN, legacy(VERBS)).await?;
    control.discovery("deletable.example.com", "Current", 1).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_backend_leaves_other_groups_untouched() -> Result<()> {
    let control = Control::start().await?;
    control.name_backend().await?;
    let hanging = handler(|_| std::future::pending());
    let hanging = Backend::start(&control.ca, &ALPN, hanging).await?;
    let good = legacy_backend(&control.ca, VERBS).await?;
    control.register("hanging.example.com", hanging.port).await?;
    control.discovery("hanging.example.com", "Stale", 0).await?;
    control.register("good.example.com", good.port).await?;
    let took = control.discovery("good.example.com", "Current", 1).await?;
    println!("beside a hanging backend: fresh after {took:?}");
    control.condition("good.example.com", "True").await?;
    let (hung, _) = control.condition("hanging.example.com", "False").await?;
    let message = hung["message"].as_str().unwrap_or_default();
    assert!(message.contains("context deadline exceeded"), "{message}");
    Ok(())
}
