//! The first call that fails counts at once, for every kind of decision.

use super::{Plugins, Recorded, drop_guest, judged, target, write_manifest};
use anyhow::Result;
use umbel::decision::binding::Decisions;
use umbel::decision::plugins::{Deed, Plugins as _};
use umbel::plugin::State;
use umbel_tests::Guest;

const GROUP: &str = r#"{"metadata":{"name":"a.test"},"versions":[]}"#;

#[tokio::test]
async fn the_first_fault_of_each_kind_is_told_until_the_plugin_recovers() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        for name in ["resolves", "checks", "transforms"] {
            write_manifest(
                dir,
                name,
                "{settings: {do: trap}, discovery: {enabled: true, groups: [a.test]}}",
            )?;
            drop_guest(dir, Guest::Misbehaving, name)?;
        }
        Ok(())
    })
    .await?;
    for name in ["resolves", "checks", "transforms"] {
        assert_eq!(plugins.status(name)?.failing, None, "{name} was asked nothing");
    }
    // Discovery calls only the last one.
    for name in ["resolves", "checks"] {
        plugins.host.set_disabled(name, true);
    }
    let transformer = plugins.host.transformers().remove(0);
    transformer.transform(GROUP).await.ok();
    for name in ["resolves", "checks"] {
        plugins.host.set_disabled(name, false);
    }
    plugins.resolver("resolves").resolve(&target(Some("a.test"))).await?;
    let checker = plugins.health_checker("checks");
    checker.check(&judged(&["a.test"]), &Recorded::new(vec![Ok(200)])).await?;
    for name in ["resolves", "checks", "transforms"] {
        let status = plugins.status(name)?;
        let told = status.failing.as_deref().unwrap_or_default();
        assert!(status.state == State::Active && told.contains("generation 1 trapped"), "{status:?}");
        plugins.host.act(name, Deed::Reset).map_err(anyhow::Error::msg)?;
        assert_eq!(plugins.status(name)?.failing, None, "an operator says so");
    }
    Ok(())
}
