//! What a bad update does: nothing that a client could see.

use super::{Plugins, drop_guest, target, write_manifest};
use anyhow::Result;
use std::fs;
use umbel::decision::binding::Decisions;
use umbel::decision::discovery::Outcome;
use umbel::decision::plugins::{Deed, Plugins as _};
use umbel::plugin::{Reason, State};
use umbel_tests::Guest;

const GROUP: &str = r#"{"metadata":{"name":"a.test"},"versions":[]}"#;

/// Settings, with time limits that only a loop can exceed.
fn spec(settings: &str, further: &str) -> String {
    format!("{{limits: {{wall: 30s}}, discovery: {{enabled: true}}, settings: {settings}{further}}}")
}

async fn start() -> Result<Plugins> {
    Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", &spec("{do: hide, host: 10.0.0.1}", ""))?;
        drop_guest(dir, Guest::Misbehaving, "p")
    })
    .await
}

#[tokio::test]
async fn bad_update_keeps_last_good() -> Result<()> {
    let plugins = start().await?;
    let good = plugins.wait_generation("p", 1).await?;
    assert_eq!(good.state, State::Active, "a first load replaces nothing and is on no probation");
    let resolver = plugins.resolver("p");
    fs::write(plugins.dir.path().join("p.wasm"), b"broken")?;
    let status = plugins.wait_status("p", "refused", |status| status.reason.is_some()).await?;
    assert_eq!((status.state, status.reason), (State::Rejected, Some(Reason::NotAComponent)));
    assert_eq!(status.generation, 1, "the state is that of the file; this is what serves");
    assert_eq!(resolver.resolve(&target(None)).await?.endpoints[0].host, "10.0.0.1");

    write_manifest(plugins.dir.path(), "p", &spec("{do: trap}", ", rehearsal: off"))?;
    drop_guest(plugins.dir.path(), Guest::Misbehaving, "p")?;
    assert_eq!(plugins.wait_generation("p", 2).await?.state, State::Probation);
    for _ in 0..7 {
        assert_eq!(resolver.resolve(&target(None)).await?.endpoints[0].host, "10.0.0.1");
    }
    let status = plugins.status("p")?;
    assert_eq!((status.generation, status.state), (1, State::Rejected), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn probation_rolls_back() -> Result<()> {
    let plugins = start().await?;
    write_manifest(plugins.dir.path(), "p", &spec("{do: trap}", ", rehearsal: off"))?;
    assert_eq!(plugins.wait_generation("p", 2).await?.state, State::Probation);
    let ask = async || plugins.host.transformers().remove(0).transform(GROUP).await;
    for _ in 0..6 {
        assert_eq!(ask().await, Ok(Outcome::Hide("as told".to_owned())), "the generation before answers");
    }
    let status = plugins.status("p")?;
    assert_eq!((status.generation, status.faults), (1, 5), "{status:?}");
    assert_eq!((status.state, status.reason), (State::Rejected, Some(Reason::RolledBack)));
    assert!(status.message.contains("on probation it failed 5 of 5 calls (100 %)"), "{status:?}");

    // The same file is not tried again: a look at it that came later has been done when another plugin serves.
    write_manifest(plugins.dir.path(), "p", &spec("{do: trap}", ", rehearsal: off"))?;
    drop_guest(plugins.dir.path(), Guest::Misbehaving, "q")?;
    plugins.wait_generation("q", 1).await?;
    assert_eq!(plugins.status("p")?.generation, 1);
    let refused = plugins.host.act("p", Deed::Rollback).unwrap_err();
    assert!(refused.contains("no sound generation before"), "{refused}");

    // Unless an operator asks for it; it is on probation again.
    plugins.host.act("p", Deed::Reload).map_err(anyhow::Error::msg)?;
    assert_eq!(plugins.wait_generation("p", 3).await?.state, State::Probation);
    let done = plugins.host.act("p", Deed::Rollback).map_err(anyhow::Error::msg)?;
    assert_eq!(done, "an operator went back from generation 3 to 1");
    let status = plugins.status("p")?;
    assert_eq!((status.reason, status.message), (Some(Reason::RolledBack), done));
    assert_eq!(ask().await, Ok(Outcome::Hide("as told".to_owned())));
    Ok(())
}

#[tokio::test]
async fn a_good_update_settles_and_nothing_stands_behind_it_then() -> Result<()> {
    let plugins = start().await?;
    let terms = ", probation: {calls: 3}";
    write_manifest(plugins.dir.path(), "p", &spec("{host: 10.0.0.2}", terms))?;
    let status = plugins.wait_generation("p", 2).await?;
    assert!(status.message.contains("ends after 3 calls"), "{status:?}");
    for _ in 0..3 {
        assert_eq!(plugins.status("p")?.state, State::Probation);
        assert_eq!(plugins.resolver("p").resolve(&target(None)).await?.endpoints[0].host, "10.0.0.2");
    }
    assert_eq!(plugins.status("p")?.state, State::Active);
    let refused = plugins.host.act("p", Deed::Rollback).unwrap_err();
    assert!(refused.contains("kept until the probation ends"), "{refused}");

    // Time ends it as well, without a call.
    let terms = ", probation: {duration: 1s}";
    write_manifest(plugins.dir.path(), "p", &spec("{host: 10.0.0.3}", terms))?;
    plugins.wait_generation("p", 3).await?;
    plugins.wait_status("p", "settled", |status| status.state == State::Active).await?;
    Ok(())
}
