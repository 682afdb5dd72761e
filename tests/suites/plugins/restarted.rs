//! A restart does not change which files serve: rejected files stay rejected until other files arrive.

use super::{PATIENCE, Plugins, drop_guest, target, write_manifest};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use umbel::decision::plugins::{Deed, Plugins as _};
use umbel::plugin::{PluginConfig, Reason, State, Status};
use umbel_tests::{Guest, wait_for};

const GOOD: &str = "{settings: {host: 10.0.0.1}}";
/// Fails each call, and is rejected after the first one.
const TRAPS: &str = "{settings: {do: trap}, rehearsal: off, probation: {calls: 1}}";

/// A directory whose hosts save their state in it, in a folder whose name is not a plugin name.
fn start(dir: tempfile::TempDir) -> Result<Plugins> {
    let state = dir.path().join(".state");
    Plugins::start_at(dir, |config| PluginConfig { state_dir: Some(state), ..config })
}

fn restart(plugins: Plugins) -> Result<Plugins> {
    let Plugins { dir, host } = plugins;
    drop(host);
    start(dir)
}

/// A good plugin that serves and is saved.
async fn good() -> Result<Plugins> {
    let dir = tempfile::tempdir()?;
    write_manifest(dir.path(), "p", GOOD)?;
    drop_guest(dir.path(), Guest::Misbehaving, "p")?;
    let plugins = start(dir)?;
    plugins.wait_generation("p", 1).await?;
    wait_saved(plugins.dir.path(), 1).await?;
    Ok(plugins)
}

/// Waits until this many pairs of files and the record are saved.
async fn wait_saved(dir: &Path, pairs: usize) -> Result<()> {
    wait_for("the files to be saved", PATIENCE, || async {
        let saved = dir.join(".state/p");
        let names =
            fs::read_dir(&saved)?.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
        let names = names.collect::<Result<Vec<_>>>()?;
        let found = names.iter().filter(|name| name.contains('-') && !name.starts_with('.')).count();
        ensure!(found == pairs && names.iter().any(|name| name == "record.json"), "{names:?}");
        Ok(())
    })
    .await
}

async fn ask(plugins: &Plugins) -> Result<String> {
    Ok(plugins.resolver("p").resolve(&target(None)).await?.endpoints[0].host.clone())
}

/// Waits for the good files to serve while those in the directory are rejected.
async fn wait_rejected(plugins: &Plugins, reason: Reason) -> Result<Status> {
    let status = plugins
        .wait_status("p", "rejected", |status| status.reason == Some(reason) && status.generation == 1)
        .await?;
    assert_eq!(status.state, State::Rejected, "{status:?}");
    assert_eq!(ask(plugins).await?, "10.0.0.1");
    Ok(status)
}

/// Replaces the good files by files that are rejected after a call.
async fn roll_back(plugins: &Plugins) -> Result<Status> {
    write_manifest(plugins.dir.path(), "p", TRAPS)?;
    plugins.wait_generation("p", 2).await?;
    assert_eq!(ask(plugins).await?, "10.0.0.1", "the generation before answers");
    wait_rejected(plugins, Reason::RolledBack).await
}

#[tokio::test]
async fn what_was_rolled_back_stays_so_however_often_the_gateway_restarts() -> Result<()> {
    let mut plugins = good().await?;
    let before = roll_back(&plugins).await?;
    for _ in 0..2 {
        plugins = restart(plugins)?;
        let after = wait_rejected(&plugins, Reason::RolledBack).await?;
        assert_eq!(after.message, before.message);
        assert_eq!(after.manifest["settings"]["host"], "10.0.0.1", "the manifest of what serves");
    }
    // Another scan of the same bytes changes nothing, but an operator may insist.
    fs::copy(plugins.dir.path().join("p.wasm"), plugins.dir.path().join(".p"))?;
    fs::rename(plugins.dir.path().join(".p"), plugins.dir.path().join("p.wasm"))?;
    drop_guest(plugins.dir.path(), Guest::Misbehaving, "q")?;
    plugins.wait_generation("q", 1).await?;
    assert_eq!(plugins.status("p")?.reason, Some(Reason::RolledBack));
    plugins.host.act("p", Deed::Reload).map_err(anyhow::Error::msg)?;
    assert_eq!(plugins.wait_generation("p", 2).await?.state, State::Probation);
    Ok(())
}

#[tokio::test]
async fn a_mistake_in_later_files_does_not_bring_rejected_ones_back() -> Result<()> {
    let mut plugins = good().await?;
    let before = roll_back(&plugins).await?;
    for restarts in [false, true] {
        write_manifest(plugins.dir.path(), "p", "{settings: {do: trap}, typo: 1}")?;
        let mistaken = |status: &Status| status.reason == Some(Reason::ManifestInvalid);
        plugins.wait_status("p", "refused", mistaken).await?;
        if restarts {
            plugins = restart(plugins)?;
            plugins.wait_status("p", "refused", mistaken).await?;
        }
        write_manifest(plugins.dir.path(), "p", TRAPS)?;
        let after = wait_rejected(&plugins, Reason::RolledBack).await?;
        assert_eq!(after.message, before.message, "{restarts}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_rehearsal_has_shown_is_known_after_a_restart() -> Result<()> {
    let plugins = good().await?;
    assert_eq!(ask(&plugins).await?, "10.0.0.1");
    write_manifest(plugins.dir.path(), "p", "{settings: {do: trap}}")?;
    wait_rejected(&plugins, Reason::RehearsalTrap).await?;
    let plugins = restart(plugins)?;
    let status = wait_rejected(&plugins, Reason::RehearsalTrap).await?;
    assert!(status.message.contains("trapped"), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn other_files_are_tried_and_the_good_ones_stand_by() -> Result<()> {
    let plugins = good().await?;
    roll_back(&plugins).await?;
    let plugins = restart(plugins)?;
    wait_rejected(&plugins, Reason::RolledBack).await?;
    write_manifest(plugins.dir.path(), "p", "{settings: {host: 10.0.0.3}, rehearsal: off}")?;
    assert_eq!(plugins.wait_generation("p", 2).await?.state, State::Probation);
    assert_eq!(ask(&plugins).await?, "10.0.0.3");
    // Still on probation, so a restart begins with the good files again.
    let plugins = restart(plugins)?;
    let status = plugins.wait_generation("p", 2).await?;
    assert_eq!(status.state, State::Probation, "{status:?}");
    // Complete files with another fault are judged by loading them.
    fs::write(plugins.dir.path().join("p.wasm"), b"broken")?;
    plugins.wait_status("p", "refused", |status| status.reason == Some(Reason::NotAComponent)).await?;
    let plugins = restart(plugins)?;
    wait_rejected(&plugins, Reason::NotAComponent).await?;
    Ok(())
}

#[tokio::test]
async fn a_damaged_record_costs_the_reason_and_nothing_else() -> Result<()> {
    let mut plugins = good().await?;
    roll_back(&plugins).await?;
    for damage in [&b""[..], b"{\"version\":", &[0xff; 64]] {
        let state = plugins.dir.path().join(".state/p/record.json");
        let Plugins { dir, host } = plugins;
        drop(host);
        fs::write(state, damage)?;
        plugins = start(dir)?;
        assert_eq!(plugins.wait_generation("p", 2).await?.state, State::Probation);
        assert_eq!(ask(&plugins).await?, "10.0.0.1", "the good ones stand by");
        wait_rejected(&plugins, Reason::RolledBack).await?;
    }
    // Without saved good files, the rejected ones still do not serve.
    let Plugins { dir, host } = plugins;
    drop(host);
    for entry in fs::read_dir(dir.path().join(".state/p"))? {
        let path = entry?.path();
        if path.is_dir() {
            fs::write(path.join("p.wasm"), b"damaged")?;
        }
    }
    let plugins = start(dir)?;
    let status = plugins.wait_status("p", "rejected", |status| status.reason.is_some()).await?;
    assert_eq!((status.reason, status.generation), (Some(Reason::RolledBack), 0), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_was_removed_begins_anew() -> Result<()> {
    let plugins = good().await?;
    roll_back(&plugins).await?;
    let component = plugins.dir.path().join("p.wasm");
    fs::remove_file(&component)?;
    plugins.wait_status("p", "gone", |status| status.state == State::Removed).await?;
    wait_for("what was saved to be gone", PATIENCE, || async {
        ensure!(!plugins.dir.path().join(".state/p").exists(), "it is still there");
        Ok(())
    })
    .await?;
    drop_guest(plugins.dir.path(), Guest::Misbehaving, "p")?;
    let status = plugins.wait_generation("p", 1).await?;
    assert_eq!(status.state, State::Active, "{status:?}");
    wait_saved(plugins.dir.path(), 1).await?;
    // The same while no gateway runs.
    let Plugins { dir, host } = plugins;
    drop(host);
    fs::remove_file(&component)?;
    let plugins = start(dir)?;
    wait_for("what was saved to be gone", PATIENCE, || async {
        ensure!(!plugins.dir.path().join(".state/p").exists(), "it is still there");
        Ok(())
    })
    .await
}
