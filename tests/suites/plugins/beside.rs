//! What holds one plugin up holds up no other.

use super::{PATIENCE, Plugins, drop_guest, write_manifest};
use anyhow::{Result, ensure};
use std::fs;
use std::os::unix::fs::symlink;
use umbel::plugin::{Reason, State, Status};
use umbel_tests::{Guest, SilentMount, looping_component, wait_for};

/// A plugin comes, and another one goes, while `held` is where it is.
async fn others_come_and_go(plugins: &Plugins, held: impl Fn() -> Result<()>) -> Result<()> {
    let dir = plugins.dir.path();
    fs::remove_file(dir.join("leaves.wasm"))?;
    drop_guest(dir, Guest::Misbehaving, "comes")?;
    plugins.wait_generation("comes", 1).await?;
    wait_for("the plugin to be gone", PATIENCE, || async {
        let left = plugins.status("leaves")?;
        ensure!(left.state == State::Removed, "{left:?}");
        Ok(())
    })
    .await?;
    held()
}

fn is_rejected(reason: Reason) -> impl Fn(&Status) -> bool {
    move |status| (status.state, status.reason) == (State::Rejected, Some(reason))
}

#[tokio::test]
async fn a_first_call_that_does_not_end_delays_no_other_plugin() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| drop_guest(dir, Guest::Misbehaving, "leaves")).await?;
    let dir = plugins.dir.path();
    write_manifest(dir, "hangs", "{limits: {wall: 60s, cpu: 10s}}")?;
    fs::write(dir.join("hangs.wasm"), looping_component()?)?;
    let validating = |status: &Status| status.state == State::Validating;
    plugins.wait_status("hangs", "asked what it is", validating).await?;
    others_come_and_go(&plugins, || {
        let held = plugins.status("hangs")?;
        ensure!(validating(&held), "all of that while it computed: {held:?}");
        Ok(())
    })
    .await?;
    let refused = is_rejected(Reason::DescribeFailed);
    let refused = plugins.wait_status("hangs", "refused", refused).await?;
    assert!(refused.message.contains("used up its CPU budget of 10000 ms"), "{}", refused.message);
    Ok(())
}

#[tokio::test]
async fn a_file_system_that_does_not_answer_holds_back_only_what_lies_on_it() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        drop_guest(dir, Guest::Misbehaving, "leaves")?;
        drop_guest(dir, Guest::Misbehaving, "mounted")
    })
    .await?;
    let dir = plugins.dir.path();
    fs::create_dir(dir.join("silent"))?;
    let Some(linked_to) = SilentMount::start(&dir.join("silent"))? else { return Ok(()) };
    let Some(mounted) = SilentMount::start(&dir.join("mounted.wasm"))? else { return Ok(()) };
    symlink("silent/linked.wasm", dir.join("linked.wasm"))?;
    others_come_and_go(&plugins, || Ok(())).await?;
    let refused = plugins.wait_status("linked", "refused", is_rejected(Reason::CheckTimeout)).await?;
    assert_eq!(refused.message, "reading its files was not over after 10 s");
    assert_eq!(plugins.status("mounted")?.generation, 1, "what was loaded before serves on");
    // It answers at last, though with errors, and what it was held against does not last.
    drop((linked_to, mounted));
    let refused = plugins.wait_status("linked", "read", is_rejected(Reason::Unreadable)).await?;
    assert_eq!(refused.generation, 0, "{refused:?}");
    drop_guest(dir, Guest::Misbehaving, "linked")?;
    plugins.wait_generation("linked", 1).await?;
    assert_eq!(plugins.status("mounted")?.generation, 1);
    Ok(())
}
